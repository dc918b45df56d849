"""A dataset may belong to a data zone. Decided at its registration: the service has no right to change it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_environment_locks")]
    operations = [
        migrations.AddField(
            model_name="dataset",
            name="zone",
            field=models.CharField(editable=False, max_length=60, null=True),
        ),
        migrations.AddField(
            model_name="dataset",
            name="smallest_cell",
            field=models.SmallIntegerField(editable=False, null=True),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(("smallest_cell", None), ("zone", None))
                | models.Q(("smallest_cell__gte", 2), ("smallest_cell__isnull", False), ("zone__isnull", False)),
                name="dataset_zone",
            ),
        ),
    ]
