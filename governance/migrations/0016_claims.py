"""A finding that Crivo opens itself, on a claim that its own figures do not bear out: once per claim and data."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0015_alarms'),
    ]

    operations = [
        migrations.AddField(
            model_name='finding',
            name='measured_on',
            field=models.CharField(max_length=80, null=True),
        ),
        migrations.AddField(
            model_name='finding',
            name='metric',
            field=models.CharField(max_length=100, null=True),
        ),
        migrations.AddField(
            model_name='finding',
            name='reason',
            field=models.JSONField(null=True),
        ),
        migrations.AlterField(
            model_name='finding',
            name='opened_by',
            field=models.UUIDField(null=True),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('measured_on', None), ('metric', None), ('opened_by__isnull', False)), models.Q(('measured_on__isnull', False), ('metric__isnull', False), ('opened_by', None)), _connector='OR'), name='finding_opened_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.UniqueConstraint(fields=('version', 'metric', 'measured_on'), name='finding_one_per_claim'),
        ),
    ]
