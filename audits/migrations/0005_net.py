"""The net below the door, sealed texts, and what goes with them: personal keys, legal holds, access records."""

import os
import uuid

import audits.ids
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from audits.net import FUNCTIONS

DEFAULTS = """
ALTER TABLE out_of_band_change
  ALTER COLUMN id SET DEFAULT gen_random_uuid(),
  ALTER COLUMN at SET DEFAULT clock_timestamp(),
  ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE audits_governed ALTER COLUMN since SET DEFAULT clock_timestamp();
"""

GUARDS = """
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON out_of_band_change
  FOR EACH ROW EXECUTE FUNCTION crivo_net_told();
ALTER TABLE out_of_band_change ENABLE ALWAYS TRIGGER append_only_row;
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON out_of_band_change
  FOR EACH STATEMENT EXECUTE FUNCTION crivo_refuse_change();
ALTER TABLE out_of_band_change ENABLE ALWAYS TRIGGER append_only_table;
""" + "".join(
    f"""
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION crivo_refuse_change();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION crivo_refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_row;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_table;
"""
    for table in ("audits_earlier_leaf", "audits_earlier_checkpoint", "audits_access")
)

# Keys and their projection may be deleted: that is what erasing a person is. FOR KEY SHARE asks for UPDATE somewhere.
GRANTS = """
GRANT SELECT, UPDATE (alarm_event) ON out_of_band_change TO crivo_app;
GRANT SELECT ON audits_governed, audits_earlier_leaf, audits_earlier_checkpoint TO crivo_app;
GRANT SELECT, INSERT, DELETE, UPDATE (created_at) ON audits_personal_key TO crivo_app;
GRANT SELECT, INSERT, DELETE ON audits_search_text TO crivo_app;
GRANT SELECT, INSERT, UPDATE (lifted_event) ON audits_legal_hold TO crivo_app;
GRANT SELECT, INSERT ON audits_access TO crivo_app;
"""


def seal_texts(apps, schema_editor):
    """Texts written before lie open, with their salts: seal them under the key of whoever wrote them."""
    rows = apps.get_model("audits", "EventText").objects.using(schema_editor.connection.alias)
    if not rows.exists():
        return
    from audits.keys import sealing_key
    from audits.sealing import decrypt, encrypt

    keys = apps.get_model("audits", "PersonalKey").objects.using(schema_editor.connection.alias)
    search = apps.get_model("audits", "SearchText").objects.using(schema_editor.connection.alias)
    switch = "ALTER TABLE audits_event_text {} TRIGGER append_only_row"
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    schema_editor.execute(switch.format("DISABLE"))
    for row in rows.select_related("event").iterator(1000):
        person = row.event.on_behalf_of or row.event.actor_id
        key, made = keys.get_or_create(
            person_id=person, defaults={"wrapped": encrypt(sealing_key(), os.urandom(32), person.bytes)}
        )
        secret = decrypt(sealing_key(), bytes(key.wrapped), person.bytes)
        about = f"{row.event_id} {row.name}".encode()
        row.person_id = person
        row.sealed = encrypt(secret, bytes.fromhex(row.salt) + row.text.encode(), about)
        row.save(update_fields=["person_id", "sealed"])
        search.create(event_id=row.event_id, name=row.name, person_id=person, text=row.text)
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    schema_editor.execute(switch.format("ENABLE ALWAYS"))


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0004_webhooks'),
    ]

    operations = [
        migrations.CreateModel(
            name='AccessRecord',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_index=True)),
                ('workspace_id', models.UUIDField(null=True)),
                ('actor_kind', models.CharField(blank=True, max_length=10)),
                ('actor_id', models.UUIDField(null=True)),
                ('method', models.CharField(max_length=10)),
                ('path', models.CharField(max_length=300)),
                ('status', models.SmallIntegerField()),
                ('request_id', models.UUIDField()),
            ],
            options={
                'db_table': 'audits_access',
            },
        ),
        migrations.CreateModel(
            name='Governed',
            fields=[
                ('kind', models.CharField(max_length=60, primary_key=True, serialize=False)),
                ('table_name', models.CharField(max_length=63)),
                ('ignored', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), size=None)),
                ('since', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'audits_governed',
            },
        ),
        migrations.CreateModel(
            name='PersonalKey',
            fields=[
                ('person_id', models.UUIDField(primary_key=True, serialize=False)),
                ('wrapped', models.BinaryField(max_length=60)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'audits_personal_key',
            },
        ),
        migrations.AddField("eventtext", "person_id", models.UUIDField(db_index=True, null=True)),
        migrations.AddField("eventtext", "sealed", models.BinaryField(null=True)),
        migrations.AddField(
            model_name='subjecthead',
            name='state',
            field=models.CharField(blank=True, max_length=80),
        ),
        migrations.CreateModel(
            name='EarlierCheckpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('origin', models.CharField(max_length=200)),
                ('size', models.BigIntegerField()),
                ('root', models.BinaryField(max_length=32)),
                ('note', models.TextField()),
                ('published_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'audits_earlier_checkpoint',
                'constraints': [models.UniqueConstraint(fields=('origin', 'size'), name='earlier_checkpoint_size')],
            },
        ),
        migrations.CreateModel(
            name='EarlierLeaf',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('origin', models.CharField(max_length=200)),
                ('index', models.BigIntegerField()),
                ('event_id', models.UUIDField(db_index=True)),
                ('hash', models.BinaryField(max_length=32)),
                ('published_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'audits_earlier_leaf',
                'constraints': [models.UniqueConstraint(fields=('origin', 'index'), name='earlier_leaf_place')],
            },
        ),
        migrations.CreateModel(
            name='SearchText',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40)),
                ('person_id', models.UUIDField(db_index=True)),
                ('text', models.TextField()),
                ('event', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.event')),
            ],
            options={
                'db_table': 'audits_search_text',
            },
        ),
        migrations.CreateModel(
            name='LegalHold',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('person_id', models.UUIDField()),
                ('event_id', models.UUIDField()),
                ('lifted_event', models.UUIDField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'audits_legal_hold',
                'indexes': [models.Index(condition=models.Q(('lifted_event', None)), fields=['person_id'], name='legal_hold_standing')],
            },
        ),
        migrations.CreateModel(
            name='OutOfBandChange',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('code', models.CharField(max_length=20)),
                ('table_name', models.CharField(max_length=63)),
                ('operation', models.CharField(max_length=10)),
                ('row_id', models.CharField(blank=True, max_length=60)),
                ('subject_kind', models.CharField(blank=True, max_length=60)),
                ('subject_id', models.UUIDField(null=True)),
                ('before', models.CharField(blank=True, max_length=80)),
                ('after', models.CharField(blank=True, max_length=80)),
                ('columns', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), size=None)),
                ('database_role', models.CharField(max_length=63)),
                ('application', models.CharField(blank=True, max_length=200)),
                ('alarm_event', models.UUIDField(null=True)),
                ('workspace', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'out_of_band_change',
                'indexes': [models.Index(condition=models.Q(('alarm_event', None)), fields=['at'], name='out_of_band_untold')],
            },
        ),
        migrations.RunPython(seal_texts, migrations.RunPython.noop),
        migrations.RemoveField("eventtext", "salt"),
        migrations.RemoveField("eventtext", "text"),
        migrations.AlterField("eventtext", "person_id", models.UUIDField(db_index=True)),
        migrations.AlterField("eventtext", "sealed", models.BinaryField()),
        migrations.RunSQL(
            FUNCTIONS + DEFAULTS + GUARDS,
            "DROP FUNCTION crivo_net, crivo_net_truncate, crivo_net_told, crivo_state, crivo_digest CASCADE",
        ),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
