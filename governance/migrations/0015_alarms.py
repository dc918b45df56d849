"""An alarm is raised by broken glass, or by an event of the notary about a change past the door."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("governance", "0014_net")]
    operations = [
        migrations.AlterField(
            model_name="alarm",
            name="glass",
            field=models.OneToOneField(
                null=True, on_delete=models.PROTECT, related_name="alarm", to="governance.brokenglass"
            ),
        ),
        migrations.AddField(model_name="alarm", name="about_event", field=models.UUIDField(null=True, unique=True)),
        migrations.AddField(model_name="alarm", name="about", field=models.CharField(blank=True, max_length=400)),
        migrations.AddConstraint(
            model_name="alarm",
            constraint=models.CheckConstraint(
                condition=models.Q(about_event__isnull=False, glass=None)
                | models.Q(about_event=None, glass__isnull=False),
                name="alarm_raised_by_one",
            ),
        ),
    ]
