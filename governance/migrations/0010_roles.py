"""Groups, scopes of roles, recertification; what a use case is asked, and its history.

A binding never changes but for being taken away, a membership but for its end: the service may update nothing else.
"""

import audits.ids
import datetime
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

APPEND_ONLY = ["governance_role_recertification", "governance_use_case_version"]

# What is there already keeps its effect: the event that told of it is looked up.
BACKFILL = """
UPDATE governance_role_binding b SET granted_event = e.id FROM audits_event e
  WHERE e.subject_kind = 'role_binding' AND e.subject_id = b.id AND e.verb = 'role.bound' AND e.outcome = 'done';
INSERT INTO governance_use_case_version (id, use_case_id, n, content, event_id, created_at)
  SELECT gen_random_uuid(), u.id, 1, jsonb_build_object('name', u.name, 'purpose', u.purpose, 'risk_tier', u.risk_tier,
    'computed_tier', '', 'owner', u.owner_id::text, 'intake', '{}'::jsonb, 'questionnaire', NULL), e.id, u.created_at
  FROM governance_use_case u JOIN audits_event e ON e.subject_kind = 'use_case' AND e.subject_id = u.id
    AND e.verb = 'use_case.registered' AND e.outcome = 'done';
"""

GUARDS = "".join(
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

GRANTS = """
REVOKE UPDATE ON governance_role_binding FROM crivo_app;
GRANT UPDATE (revoked_at) ON governance_role_binding TO crivo_app;
GRANT SELECT, INSERT, UPDATE (description) ON governance_group TO crivo_app;
GRANT SELECT, INSERT, UPDATE (removed_at) ON governance_group_membership TO crivo_app;
GRANT SELECT, INSERT ON governance_role_recertification, governance_use_case_version TO crivo_app;
"""

# Who builds models may do so by a group, too, or in every workspace.
OUTSIDE_ENGINEERING = """
CREATE OR REPLACE FUNCTION crivo_alarm_outside_engineering() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.signed_off_by IS NOT NULL AND EXISTS (
    SELECT 1 FROM governance_role_binding b LEFT JOIN governance_api_token t ON t.id = b.token_id
      LEFT JOIN governance_group_membership m ON m.group_id = b.group_id AND m.removed_at IS NULL
    WHERE (b.workspace_id = NEW.workspace_id OR b.scope_kind = 'service') AND b.revoked_at IS NULL
      AND b.role IN ('data_scientist', 'pipeline') AND NEW.signed_off_by IN (b.person_id, t.person_id, m.person_id)
  ) THEN
    RAISE EXCEPTION 'an alarm is signed off by somebody outside engineering'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'alarm_outside_engineering';
  END IF;
  RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0004_webhooks'),
        ('governance', '0009_findings'),
    ]

    operations = [
        migrations.AlterModelManagers(name='user', managers=[]),
        migrations.CreateModel(
            name='Group',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('name', models.CharField(max_length=200, validators=[django.core.validators.RegexValidator('^[a-z0-9][a-z0-9._-]*\\Z', code='invalid_name')])),
                ('description', models.TextField(blank=True)),
            ],
            options={
                'db_table': 'governance_group',
            },
        ),
        migrations.CreateModel(
            name='GroupMembership',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('added_event', models.UUIDField()),
                ('removed_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'governance_group_membership',
            },
        ),
        migrations.CreateModel(
            name='RoleRecertification',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('by', models.UUIDField()),
                ('event_id', models.UUIDField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'governance_role_recertification',
            },
        ),
        migrations.CreateModel(
            name='UseCaseVersion',
            fields=[
                ('id', models.UUIDField(default=audits.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('n', models.IntegerField()),
                ('content', models.JSONField()),
                ('event_id', models.UUIDField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'governance_use_case_version',
                'ordering': ['n'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='rolebinding',
            name='role_binding_one_principal',
        ),
        migrations.RemoveConstraint(
            model_name='rolebinding',
            name='role_binding_once',
        ),
        migrations.RemoveConstraint(
            model_name='usecase',
            name='use_case_risk_tier',
        ),
        migrations.AddField(
            model_name='rolebinding',
            name='granted_event',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='rolebinding',
            name='recertify_every',
            field=models.DurationField(default=datetime.timedelta(days=365)),
        ),
        migrations.AddField(
            model_name='rolebinding',
            name='scope_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='rolebinding',
            name='scope_kind',
            field=models.CharField(choices=[('service', 'the whole service'), ('workspace', 'the workspace'), ('model', 'one model'), ('dataset', 'one dataset')], default='workspace', max_length=20),
        ),
        migrations.AddField(
            model_name='usecase',
            name='computed_tier',
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.AddField(
            model_name='usecase',
            name='intake',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='usecase',
            name='n',
            field=models.IntegerField(default=1),
        ),
        migrations.AddField(
            model_name='usecase',
            name='questionnaire',
            field=models.JSONField(null=True),
        ),
        migrations.AlterField(
            model_name='usecase',
            name='risk_tier',
            field=models.CharField(choices=[('minimal', 'minimal'), ('limited', 'limited'), ('high', 'high'), ('prohibited', 'prohibited')], max_length=20),
        ),
        migrations.AddConstraint(
            model_name='usecase',
            constraint=models.CheckConstraint(condition=models.Q(('risk_tier__in', ['minimal', 'limited', 'high', 'prohibited'])), name='use_case_risk_tier'),
        ),
        migrations.AddField(
            model_name='group',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace'),
        ),
        migrations.AddField(
            model_name='rolebinding',
            name='group',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='bindings', to='governance.group'),
        ),
        migrations.AddConstraint(
            model_name='rolebinding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('group__isnull', True), ('person__isnull', False), ('token__isnull', True)), models.Q(('group__isnull', False), ('person__isnull', True), ('token__isnull', True)), models.Q(('group__isnull', True), ('person__isnull', True), ('token__isnull', False)), _connector='OR'), name='role_binding_one_principal'),
        ),
        migrations.AddConstraint(
            model_name='rolebinding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('scope_id__isnull', True), ('scope_kind__in', ['service', 'workspace'])), models.Q(('scope_id__isnull', False), ('scope_kind__in', ['model', 'dataset'])), _connector='OR'), name='role_binding_scope'),
        ),
        migrations.AddConstraint(
            model_name='rolebinding',
            constraint=models.CheckConstraint(condition=models.Q(('recertify_every__gt', datetime.timedelta(0))), name='role_binding_recertify_every'),
        ),
        migrations.AddConstraint(
            model_name='rolebinding',
            constraint=models.UniqueConstraint(condition=models.Q(('revoked_at', None)), fields=('workspace', 'role', 'person', 'group', 'token', 'scope_kind', 'scope_id'), name='role_binding_once', nulls_distinct=False),
        ),
        migrations.AddField(
            model_name='groupmembership',
            name='group',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='memberships', to='governance.group'),
        ),
        migrations.AddField(
            model_name='groupmembership',
            name='person',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='memberships', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='rolerecertification',
            name='binding',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='recertifications', to='governance.rolebinding'),
        ),
        migrations.AddField(
            model_name='usecaseversion',
            name='use_case',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='history', to='governance.usecase'),
        ),
        migrations.AddConstraint(
            model_name='group',
            constraint=models.UniqueConstraint(fields=('workspace', 'name'), name='group_name'),
        ),
        migrations.AddConstraint(
            model_name='groupmembership',
            constraint=models.UniqueConstraint(condition=models.Q(('removed_at', None)), fields=('group', 'person'), name='group_membership_once'),
        ),
        migrations.AddConstraint(
            model_name='usecaseversion',
            constraint=models.UniqueConstraint(fields=('use_case', 'n'), name='use_case_version_n'),
        ),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
        migrations.RunSQL(OUTSIDE_ENGINEERING, migrations.RunSQL.noop),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
