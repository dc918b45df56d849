"""Findings, waivers, conditions, re-reviews, broken glass and alarms, with what guards them below the service."""

import audits.ids
import django.db.models.deletion
from django.db import migrations, models

# Guards: what even a raw INSERT or UPDATE cannot do.
FIXED = {
    "governance_finding": "state,answered_by,verified_by,closed_by,closed_event",
    "governance_waiver": "state,decided_by,granted_event,flagged_at",
    "governance_condition": "state,reported_by,verified_by,verified_event",
    "governance_placement_review": "state,completed_by,completed_at,completed_event",
    "governance_broken_glass": "state",
    "governance_alarm": "state,signed_off_by",
}
# table: (who signs, the version, the sentence's constraint)
HANDS = {
    "governance_finding": ("verified_by,closed_by", "NEW.version_id", "finding_separation_of_duties"),
    "governance_waiver": ("decided_by", "NEW.version_id", "waiver_separation_of_duties"),
    "governance_condition": (
        "verified_by",
        "(SELECT version_id FROM governance_promotion WHERE id = NEW.promotion_id)",
        "condition_separation_of_duties",
    ),
    "governance_placement_review": (
        "completed_by",
        "(SELECT version_id FROM governance_placement WHERE id = NEW.placement_id)",
        "placement_review_separation_of_duties",
    ),
}


def _hands(table: str) -> str:
    people, version, constraint = HANDS[table]
    return f"""
CREATE FUNCTION crivo_hands_off_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM unnest(ARRAY[{", ".join("NEW." + name for name in people.split(","))}]) AS p(id)
             WHERE crivo_had_a_hand({version}, p.id)) THEN
    RAISE EXCEPTION 'somebody who had a hand in this version may not judge it'
      USING ERRCODE = 'check_violation', CONSTRAINT = '{constraint}';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER separation_of_duties BEFORE INSERT OR UPDATE ON {table}
  FOR EACH ROW EXECUTE FUNCTION crivo_hands_off_{table}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER separation_of_duties;
"""


GUARDS = (
    """
CREATE FUNCTION crivo_had_a_hand(version uuid, person uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT 1 FROM registry_model_version v LEFT JOIN governance_api_token t ON t.id = v.registered_by
    WHERE v.id = version AND person IN (v.author_id, v.registered_by, t.person_id)
  ) OR EXISTS (
    SELECT 1 FROM registry_dataset d JOIN registry_dataset_version dv ON dv.dataset_id = d.id
    WHERE d.owner_id = person AND (
      dv.id = (SELECT evaluation_id FROM registry_model_version WHERE id = version)
      OR dv.id IN (SELECT datasetversion_id FROM registry_model_version_training WHERE modelversion_id = version)
    )
  )
$$;
CREATE FUNCTION crivo_only_these_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR
     to_jsonb(OLD) - string_to_array(TG_ARGV[0], ',') IS DISTINCT FROM to_jsonb(NEW) - string_to_array(TG_ARGV[0], ',')
  THEN
    RAISE EXCEPTION 'rows of % are never deleted, and only % of them change', TG_TABLE_NAME, TG_ARGV[0]
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;
CREATE FUNCTION crivo_alarm_outside_engineering() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.signed_off_by IS NOT NULL AND EXISTS (
    SELECT 1 FROM governance_role_binding b LEFT JOIN governance_api_token t ON t.id = b.token_id
    WHERE b.workspace_id = NEW.workspace_id AND b.revoked_at IS NULL AND b.role IN ('data_scientist', 'pipeline')
      AND NEW.signed_off_by IN (b.person_id, t.person_id)
  ) THEN
    RAISE EXCEPTION 'an alarm is signed off by somebody outside engineering'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'alarm_outside_engineering';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER outside_engineering BEFORE INSERT OR UPDATE ON governance_alarm
  FOR EACH ROW EXECUTE FUNCTION crivo_alarm_outside_engineering();
ALTER TABLE governance_alarm ENABLE ALWAYS TRIGGER outside_engineering;
"""
    + "".join(map(_hands, HANDS))
    + "".join(
        f"""
CREATE TRIGGER only_these_change BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION crivo_only_these_change('{columns}');
ALTER TABLE {table} ENABLE ALWAYS TRIGGER only_these_change;
"""
        for table, columns in FIXED.items()
    )
)

GRANTS = f"GRANT SELECT, INSERT, UPDATE ON {', '.join(FIXED)} TO crivo_app"


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0004_webhooks'),
        ('governance', '0008_notices'),
        ('registry', '0002_grants'),
    ]

    operations = [
        migrations.AlterField(
            model_name='rolebinding',
            name='role',
            field=models.CharField(choices=[('pipeline', 'Pipeline'), ('data_scientist', 'Data scientist'), ('validator', 'Validator'), ('approver', 'Approver'), ('risk_manager', 'Risk manager'), ('auditor', 'Auditor'), ('deployer', 'Deployer'), ('administrator', 'Administrator'), ('incident_manager', 'Incident manager')], max_length=40),
        ),
        migrations.CreateModel(
            name='BrokenGlass',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('broken_by', models.UUIDField()),
                ('expires_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('broken', 'broken'), ('ended', 'ended early')], default='broken', max_length=10)),
                ('granted_event', models.UUIDField()),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.environment')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='broken_glass', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_broken_glass',
            },
        ),
        migrations.CreateModel(
            name='Alarm',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('raised_by', models.UUIDField()),
                ('state', models.CharField(choices=[('open', 'open'), ('signed_off', 'signed off')], default='open', max_length=10)),
                ('signed_off_by', models.UUIDField(null=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
                ('glass', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='alarm', to='governance.brokenglass')),
            ],
            options={
                'db_table': 'governance_alarm',
            },
        ),
        migrations.CreateModel(
            name='Condition',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('n', models.SmallIntegerField()),
                ('due', models.DateTimeField()),
                ('state', models.CharField(choices=[('open', 'open'), ('reported', 'reported as fulfilled'), ('fulfilled', 'fulfilled')], default='open', max_length=10)),
                ('set_by', models.UUIDField()),
                ('reported_by', models.UUIDField(null=True)),
                ('verified_by', models.UUIDField(null=True)),
                ('verified_event', models.UUIDField(null=True)),
                ('decision', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='conditions', to='governance.decision')),
                ('promotion', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='conditions', to='governance.promotion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_condition',
            },
        ),
        migrations.CreateModel(
            name='Finding',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('severity', models.CharField(choices=[('low', 'low'), ('medium', 'medium'), ('high', 'high'), ('critical', 'critical')], max_length=10)),
                ('state', models.CharField(choices=[('open', 'open'), ('answered', 'answered'), ('verified', 'verified'), ('closed', 'closed')], default='open', max_length=10)),
                ('owner_id', models.UUIDField()),
                ('due', models.DateTimeField()),
                ('evidence_digest', models.CharField(blank=True, max_length=80)),
                ('opened_by', models.UUIDField()),
                ('answered_by', models.UUIDField(null=True)),
                ('verified_by', models.UUIDField(null=True)),
                ('closed_by', models.UUIDField(null=True)),
                ('closed_event', models.UUIDField(null=True)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='findings', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_finding',
            },
        ),
        migrations.CreateModel(
            name='PlacementReview',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('due', models.DateTimeField()),
                ('state', models.CharField(choices=[('open', 'open'), ('completed', 'completed')], default='open', max_length=10)),
                ('completed_by', models.UUIDField(null=True)),
                ('completed_at', models.DateTimeField(null=True)),
                ('completed_event', models.UUIDField(null=True)),
                ('placement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reviews', to='governance.placement')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_placement_review',
            },
        ),
        migrations.CreateModel(
            name='Waiver',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('check_slug', models.CharField(max_length=100)),
                ('metric', models.CharField(blank=True, max_length=100)),
                ('attribute', models.CharField(blank=True, max_length=200)),
                ('state', models.CharField(choices=[('requested', 'requested'), ('approved', 'approved'), ('refused', 'refused'), ('revoked', 'revoked')], default='requested', max_length=10)),
                ('expires_at', models.DateTimeField()),
                ('requested_by', models.UUIDField()),
                ('decided_by', models.UUIDField(null=True)),
                ('granted_event', models.UUIDField(null=True)),
                ('flagged_at', models.DateTimeField(null=True)),
                ('environment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.environment')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='waivers', to='registry.modelversion')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'governance_waiver',
            },
        ),
        migrations.AddConstraint(
            model_name='brokenglass',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['broken', 'ended'])), name='broken_glass_state'),
        ),
        migrations.AddConstraint(
            model_name='alarm',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'signed_off'])), name='alarm_state'),
        ),
        migrations.AddConstraint(
            model_name='alarm',
            constraint=models.CheckConstraint(condition=models.Q(('signed_off_by', None), models.Q(('signed_off_by', models.F('raised_by')), _negated=True), _connector='OR'), name='alarm_signed_off_by_other'),
        ),
        migrations.AddConstraint(
            model_name='alarm',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'signed_off'), _negated=True), ('signed_off_by__isnull', False), _connector='OR'), name='alarm_signed_off_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='condition',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'reported', 'fulfilled'])), name='condition_state'),
        ),
        migrations.AddConstraint(
            model_name='condition',
            constraint=models.UniqueConstraint(fields=('decision', 'n'), name='condition_n'),
        ),
        migrations.AddConstraint(
            model_name='condition',
            constraint=models.CheckConstraint(condition=models.Q(('reported_by', None), models.Q(('reported_by', models.F('set_by')), _negated=True), _connector='OR'), name='condition_reported_by_other'),
        ),
        migrations.AddConstraint(
            model_name='condition',
            constraint=models.CheckConstraint(condition=models.Q(('verified_by', None), models.Q(('verified_by', models.F('reported_by')), _negated=True), _connector='OR'), name='condition_verified_by_other'),
        ),
        migrations.AddConstraint(
            model_name='condition',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'fulfilled'), _negated=True), models.Q(('reported_by__isnull', False), ('verified_by__isnull', False), ('verified_event__isnull', False)), _connector='OR'), name='condition_fulfilled_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(('severity__in', ['low', 'medium', 'high', 'critical'])), name='finding_severity'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'answered', 'verified', 'closed'])), name='finding_state'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(('verified_by', None), models.Q(('verified_by', models.F('owner_id')), _negated=True), _connector='OR'), name='finding_not_verified_by_owner'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(('closed_by', None), models.Q(models.Q(('closed_by', models.F('owner_id')), _negated=True), models.Q(('closed_by', models.F('opened_by')), _negated=True), models.Q(('closed_by', models.F('verified_by')), _negated=True)), _connector='OR'), name='finding_closed_by_another'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'closed'), _negated=True), models.Q(('closed_by__isnull', False), ('closed_event__isnull', False), ('verified_by__isnull', False)), _connector='OR'), name='finding_closed_after_verification'),
        ),
        migrations.AddConstraint(
            model_name='placementreview',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'completed'])), name='placement_review_state'),
        ),
        migrations.AddConstraint(
            model_name='placementreview',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('placement',), name='placement_review_one_open'),
        ),
        migrations.AddConstraint(
            model_name='placementreview',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'completed'), _negated=True), models.Q(('completed_at__isnull', False), ('completed_by__isnull', False), ('completed_event__isnull', False)), _connector='OR'), name='placement_review_completed_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['requested', 'approved', 'refused', 'revoked'])), name='waiver_state'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.CheckConstraint(condition=models.Q(('decided_by', None), models.Q(('decided_by', models.F('requested_by')), _negated=True), _connector='OR'), name='waiver_decided_by_another'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'approved'), _negated=True), models.Q(('decided_by__isnull', False), ('granted_event__isnull', False)), _connector='OR'), name='waiver_approved_by_somebody'),
        ),
        migrations.AddConstraint(
            model_name='waiver',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'requested')), fields=('version', 'environment', 'check_slug', 'metric', 'attribute'), name='waiver_one_request'),
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
