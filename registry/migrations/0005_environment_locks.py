"""Environment locks: kept once for a version, never changed."""

import audits.ids
import django.db.models.deletion
from django.db import migrations, models

from audits.net import Net, install

GUARDS = """
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON registry_environment_lock
  FOR EACH ROW EXECUTE FUNCTION crivo_refuse_change();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON registry_environment_lock
  FOR EACH STATEMENT EXECUTE FUNCTION crivo_refuse_change();
ALTER TABLE registry_environment_lock ENABLE ALWAYS TRIGGER append_only_row;
ALTER TABLE registry_environment_lock ENABLE ALWAYS TRIGGER append_only_table;
GRANT SELECT, INSERT ON registry_environment_lock TO crivo_app;
"""


def watch(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        install(cursor, [Net("registry_environment_lock", ("model_version:version_id",))])


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0005_net'),
        ('registry', '0004_dialects'),
    ]

    operations = [
        migrations.CreateModel(
            name='EnvironmentLock',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('format', models.CharField(max_length=20)),
                ('digest', models.CharField(max_length=80)),
                ('size', models.BigIntegerField()),
                ('packages', models.JSONField()),
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='environment_lock', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'registry_environment_lock',
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
        migrations.RunPython(watch, migrations.RunPython.noop),
    ]
