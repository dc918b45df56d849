"""Reference sketches: made once of a dataset version, never changed after."""

import audits.ids
import django.db.models.deletion
from django.db import migrations, models

from audits.net import Net, install

# Once it is told what came of it, a row stays: neither changed nor taken away.
GUARDS = """
GRANT SELECT, INSERT, UPDATE ON registry_reference_sketch TO crivo_app;
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON registry_reference_sketch
  FOR EACH ROW WHEN (OLD.state IN ('completed', 'errored')) EXECUTE FUNCTION crivo_refuse_change();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON registry_reference_sketch
  FOR EACH STATEMENT EXECUTE FUNCTION crivo_refuse_change();
ALTER TABLE registry_reference_sketch ENABLE ALWAYS TRIGGER append_only_row;
ALTER TABLE registry_reference_sketch ENABLE ALWAYS TRIGGER append_only_table;
"""
QUEUE = ("state", "fence", "lease_until", "sent_at", "attempts")


def watch(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        install(cursor, [Net("registry_reference_sketch", ("dataset_version:version_id",), QUEUE)])


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0012_published_statement'),
        ('registry', '0006_zones'),
    ]

    operations = [
        migrations.CreateModel(
            name='ReferenceSketch',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('requested_by', models.UUIDField()),
                ('k', models.SmallIntegerField()),
                ('state', models.CharField(choices=[('queued', 'queued'), ('running', 'running'), ('completed', 'completed'), ('errored', 'errored')], default='queued', max_length=20)),
                ('fence', models.IntegerField(default=0)),
                ('lease_until', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('attempts', models.SmallIntegerField(default=0)),
                ('format', models.CharField(blank=True, max_length=20)),
                ('digest', models.CharField(blank=True, max_length=80)),
                ('size', models.BigIntegerField(null=True)),
                ('rows', models.BigIntegerField(null=True)),
                ('columns', models.JSONField(default=list)),
                ('attributes', models.JSONField(default=dict)),
                ('error', models.JSONField(null=True)),
                ('run_environment', models.JSONField(default=dict)),
                ('queued_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sketches', to='registry.datasetversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'registry_reference_sketch',
                'indexes': [models.Index(condition=models.Q(('state__in', ['queued', 'running'])), fields=['lease_until'], name='reference_sketch_open')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'errored'), _negated=True), fields=('version',), name='reference_sketch_once'), models.CheckConstraint(condition=models.Q(models.Q(('digest', ''), ('error__isnull', True), ('state__in', ['queued', 'running'])), models.Q(('error__isnull', True), ('state', 'completed'), models.Q(('digest', ''), _negated=True)), models.Q(('digest', ''), ('error__isnull', False), ('state', 'errored')), _connector='OR'), name='reference_sketch_finished_has_digest')],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
        migrations.RunPython(watch, migrations.RunPython.noop),
    ]
