"""Suspensions, retirements, aliases, deployments; what ended a placement."""

import audits.ids
import django.db.models.deletion
from django.db import migrations, models


APPEND_ONLY = ["governance_retirement"]

GUARDS = """
CREATE FUNCTION crivo_lift_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.lifted_event IS NULL AND NEW.lifted_event IS NOT NULL
     AND (to_jsonb(NEW) - 'lifted_event' - 'lifted_by') = (to_jsonb(OLD) - 'lifted_event' - 'lifted_by') THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a suspension is lifted once and changed in no other way' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER lift_once BEFORE UPDATE OR DELETE ON governance_suspension
  FOR EACH ROW EXECUTE FUNCTION crivo_lift_once();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON governance_suspension
  FOR EACH STATEMENT EXECUTE FUNCTION crivo_refuse_change();
ALTER TABLE governance_suspension ENABLE ALWAYS TRIGGER lift_once;
ALTER TABLE governance_suspension ENABLE ALWAYS TRIGGER append_only_table;
""" + "".join(
    f"""
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION crivo_refuse_change();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION crivo_refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_row;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_table;
"""
    for table in APPEND_ONLY
)

UNDO = "DROP FUNCTION crivo_lift_once() CASCADE"

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON governance_suspension, governance_alias, governance_deployment TO crivo_app;
GRANT SELECT, INSERT ON governance_retirement TO crivo_app;
"""

# Until now a successor was only ever superseding by its first grant.
FILL = """
UPDATE governance_placement p SET superseding_event = s.granted_event
FROM governance_placement s WHERE p.successor_id = s.id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0003_audit_exports'),
        ('governance', '0002_separation_of_duties'),
        ('registry', '0002_grants'),
    ]

    operations = [
        migrations.AddField(
            model_name='placement',
            name='superseding_event',
            field=models.UUIDField(null=True),
        ),
        migrations.CreateModel(
            name='Alias',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('name', models.CharField(max_length=100)),
                ('model', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='aliases', to='registry.model')),
                ('version', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='aliases', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_alias',
                'constraints': [models.UniqueConstraint(fields=('model', 'name'), name='alias_name')],
            },
        ),
        migrations.CreateModel(
            name='Deployment',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('mode', models.CharField(choices=[('live', 'live'), ('challenger', 'challenger'), ('canary', 'canary'), ('shadow', 'shadow'), ('ab', 'A/B test'), ('blue_green', 'blue-green')], max_length=20)),
                ('share', models.FloatField(null=True)),
                ('location', models.CharField(blank=True, max_length=2000)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField(null=True)),
                ('recorded_by', models.UUIDField()),
                ('allowed', models.BooleanField()),
                ('basis', models.JSONField()),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.environment')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='deployments', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_deployment',
                'indexes': [models.Index(condition=models.Q(('until', None)), fields=['version', 'environment'], name='deployment_running')],
                'constraints': [models.CheckConstraint(condition=models.Q(('mode__in', ['live', 'challenger', 'canary', 'shadow', 'ab', 'blue_green'])), name='deployment_mode'), models.CheckConstraint(condition=models.Q(('share', None), models.Q(('share__gte', 0), ('share__lte', 1)), _connector='OR'), name='deployment_share'), models.CheckConstraint(condition=models.Q(('until', None), ('until__gte', models.F('since')), _connector='OR'), name='deployment_until_after_since')],
            },
        ),
        migrations.CreateModel(
            name='Retirement',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('event_id', models.UUIDField()),
                ('retired_by', models.UUIDField()),
                ('successor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='registry.modelversion')),
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='retirement', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_retirement',
                'constraints': [models.CheckConstraint(condition=models.Q(('successor', None), models.Q(('successor', models.F('version')), _negated=True), _connector='OR'), name='retirement_successor')],
            },
        ),
        migrations.CreateModel(
            name='Suspension',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('event_id', models.UUIDField()),
                ('person_id', models.UUIDField(null=True)),
                ('lifted_event', models.UUIDField(null=True)),
                ('lifted_by', models.UUIDField(null=True)),
                ('placement', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='suspensions', to='governance.placement')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='suspensions', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_suspension',
                'constraints': [models.UniqueConstraint(condition=models.Q(('lifted_event', None)), fields=('version', 'placement'), name='suspension_one_open', nulls_distinct=False), models.CheckConstraint(condition=models.Q(models.Q(('lifted_by', None), ('lifted_event', None)), models.Q(('lifted_by__isnull', False), ('lifted_event__isnull', False), models.Q(('lifted_by', models.F('person_id')), _negated=True)), _connector='OR'), name='suspension_lifted_by_another')],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(GUARDS, UNDO),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
