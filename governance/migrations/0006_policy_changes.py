"""Policies change by an approved request; outside sign-off; the rounds of a request under successive versions."""

import audits.ids
import django.core.validators
import django.db.models.deletion
import uuid
from django.db import migrations, models

BACKFILL = """
UPDATE governance_policy_version p SET granted_event = (
  SELECT e.id FROM audits_event e
  WHERE e.subject_kind = 'policy_version' AND e.subject_id = p.id AND e.verb = 'policy.applied' AND e.outcome = 'done'
  ORDER BY e.subject_seq LIMIT 1
);
"""

APPEND_ONLY = [
    "governance_policy_change_exclusion",
    "governance_policy_change_decision",
    "governance_policy_acknowledgement",
]

GUARDS = """
CREATE FUNCTION crivo_refuse_excluded_from_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM governance_policy_change_exclusion e
             WHERE e.change_id = NEW.change_id AND e.person_id = NEW.person_id) THEN
    RAISE EXCEPTION 'person % proposed this change or gains by it and may not decide on it', NEW.person_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'policy_change_separation_of_duties';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER separation_of_duties BEFORE INSERT ON governance_policy_change_decision
  FOR EACH ROW EXECUTE FUNCTION crivo_refuse_excluded_from_change();
ALTER TABLE governance_policy_change_decision ENABLE ALWAYS TRIGGER separation_of_duties;
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

# What was proposed, applied or promised to somebody outside stays: the service may only move where it stands.
GRANTS = """
GRANT SELECT, INSERT ON governance_policy_change, governance_policy_change_exclusion,
  governance_policy_change_decision, governance_policy_acknowledgement, governance_signoff_invitation TO crivo_app;
GRANT UPDATE (state, version_id, settled_at) ON governance_policy_change TO crivo_app;
GRANT UPDATE (used_at, revoked_at) ON governance_signoff_invitation TO crivo_app;
REVOKE UPDATE ON governance_policy_version FROM crivo_app;
GRANT UPDATE (current) ON governance_policy_version TO crivo_app;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0003_audit_exports'),
        ('governance', '0003_lifecycle'),
    ]

    operations = [
        migrations.CreateModel(
            name='PolicyAcknowledgement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('person_id', models.UUIDField()),
                ('event_id', models.UUIDField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'governance_policy_acknowledgement',
            },
        ),
        migrations.CreateModel(
            name='PolicyChange',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('name', models.CharField(max_length=200, validators=[django.core.validators.RegexValidator('^[a-z0-9][a-z0-9._-]*\\Z', code='invalid_name')])),
                ('text', models.TextField()),
                ('body', models.JSONField()),
                ('digest', models.CharField(max_length=80)),
                ('diff', models.JSONField()),
                ('commit', models.CharField(blank=True, max_length=80)),
                ('proposed_by', models.UUIDField()),
                ('proposer_id', models.UUIDField()),
                ('state', models.CharField(choices=[('proposed', 'proposed'), ('approved', 'approved'), ('rejected', 'rejected'), ('withdrawn', 'withdrawn')], default='proposed', max_length=20)),
                ('settled_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'governance_policy_change',
            },
        ),
        migrations.CreateModel(
            name='PolicyChangeExclusion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('person_id', models.UUIDField()),
                ('duty', models.CharField(max_length=40)),
            ],
            options={
                'db_table': 'governance_policy_change_exclusion',
            },
        ),
        migrations.CreateModel(
            name='SignoffInvitation',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('role', models.CharField(choices=[('customer', 'Customer'), ('business_owner', 'Business owner')], max_length=40)),
                ('actor_id', models.UUIDField(default=uuid.uuid4)),
                ('public_id', models.CharField(max_length=16, unique=True)),
                ('secret_hash', models.CharField(max_length=64)),
                ('invited_by', models.UUIDField()),
                ('event_id', models.UUIDField()),
                ('expires_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'governance_signoff_invitation',
            },
        ),
        migrations.RemoveConstraint(
            model_name='promotioncheck',
            name='promotion_check_position',
        ),
        migrations.AddField(
            model_name='policyversion',
            name='granted_event',
            field=models.UUIDField(null=True),
        ),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='policyversion',
            name='granted_event',
            field=models.UUIDField(),
        ),
        migrations.AddField(
            model_name='promotion',
            name='round',
            field=models.SmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='promotioncheck',
            name='round',
            field=models.SmallIntegerField(default=0),
        ),
        migrations.AddConstraint(
            model_name='promotioncheck',
            constraint=models.UniqueConstraint(fields=('promotion', 'round', 'position'), name='promotion_check_round_position'),
        ),
        migrations.AddField(
            model_name='policyacknowledgement',
            name='policy',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='acknowledgements', to='governance.policyversion'),
        ),
        migrations.CreateModel(
            name='PolicyChangeDecision',
            fields=[
                ('change', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='decision', serialize=False, to='governance.policychange')),
                ('person_id', models.UUIDField()),
                ('verdict', models.CharField(choices=[('approve', 'Approve'), ('reject', 'Reject')], max_length=20)),
                ('digest', models.CharField(max_length=80)),
                ('event_id', models.UUIDField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'governance_policy_change_decision',
            },
        ),
        migrations.AddField(
            model_name='policychange',
            name='base',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='governance.policyversion'),
        ),
        migrations.AddField(
            model_name='policychange',
            name='version',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='change', to='governance.policyversion'),
        ),
        migrations.AddField(
            model_name='policychange',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace'),
        ),
        migrations.AddField(
            model_name='policychangeexclusion',
            name='change',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exclusions', to='governance.policychange'),
        ),
        migrations.AddField(
            model_name='signoffinvitation',
            name='promotion',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='signoffs', to='governance.promotion'),
        ),
        migrations.AddField(
            model_name='signoffinvitation',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace'),
        ),
        migrations.AddConstraint(
            model_name='policyacknowledgement',
            constraint=models.UniqueConstraint(fields=('policy', 'person_id'), name='policy_acknowledgement_once'),
        ),
        migrations.AddConstraint(
            model_name='policychangedecision',
            constraint=models.CheckConstraint(condition=models.Q(('verdict__in', ['approve', 'reject'])), name='policy_change_decision_verdict'),
        ),
        migrations.AddConstraint(
            model_name='policychange',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['proposed', 'approved', 'rejected', 'withdrawn'])), name='policy_change_state'),
        ),
        migrations.AddConstraint(
            model_name='policychange',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'approved'), ('version__isnull', False)), models.Q(models.Q(('state', 'approved'), _negated=True), ('version__isnull', True)), _connector='OR'), name='policy_change_approved_has_version'),
        ),
        migrations.AddConstraint(
            model_name='policychange',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'proposed')), fields=('workspace', 'name', 'digest'), name='policy_change_proposed_once'),
        ),
        migrations.AddConstraint(
            model_name='policychangeexclusion',
            constraint=models.UniqueConstraint(fields=('change', 'person_id', 'duty'), name='policy_change_exclusion_once'),
        ),
        migrations.AddConstraint(
            model_name='signoffinvitation',
            constraint=models.CheckConstraint(condition=models.Q(('role__in', ['customer', 'business_owner'])), name='signoff_role'),
        ),
        migrations.AddConstraint(
            model_name='signoffinvitation',
            constraint=models.CheckConstraint(condition=models.Q(('used_at__isnull', True), ('revoked_at__isnull', True), _connector='OR'), name='signoff_used_or_revoked'),
        ),
        migrations.RunSQL(GUARDS, 'DROP FUNCTION crivo_refuse_excluded_from_change() CASCADE'),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
