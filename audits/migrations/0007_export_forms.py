from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0006_explanations'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditexport',
            name='form',
            field=models.CharField(choices=[('bundle', 'verifiable, for auditors'), ('csv', 'CSV, for spreadsheets'), ('jsonl', 'JSON Lines, for programs')], default='bundle', max_length=10),
        ),
        migrations.AddField(
            model_name='auditexport',
            name='language',
            field=models.CharField(default='en', max_length=10),
        ),
        migrations.AddField(
            model_name='auditexport',
            name='time_zone',
            field=models.CharField(default='UTC', max_length=64),
        ),
        migrations.AddConstraint(
            model_name='auditexport',
            constraint=models.CheckConstraint(condition=models.Q(('form__in', ['bundle', 'csv', 'jsonl'])), name='export_form'),
        ),
    ]
