"""What even a raw INSERT cannot do: decide on one's own version, change a decision, issue a statement twice."""

from django.db import migrations

APPEND_ONLY = ["governance_decision", "governance_exclusion", "governance_attestation"]

GUARDS = """
CREATE FUNCTION crivo_refuse_excluded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM governance_exclusion e
             WHERE e.promotion_id = NEW.promotion_id AND e.person_id = NEW.person_id) THEN
    RAISE EXCEPTION 'person % had a hand in this version and may not decide on it', NEW.person_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'decision_separation_of_duties';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER separation_of_duties BEFORE INSERT ON governance_decision
  FOR EACH ROW EXECUTE FUNCTION crivo_refuse_excluded();
ALTER TABLE governance_decision ENABLE ALWAYS TRIGGER separation_of_duties;
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

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON governance_user, governance_api_token, governance_role_binding, governance_use_case,
  governance_environment, governance_policy_version, governance_promotion, governance_placement TO crivo_app;
GRANT SELECT, INSERT ON governance_promotion_check, governance_decision, governance_exclusion, governance_attestation
  TO crivo_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON governance_user_groups, governance_user_user_permissions, auth_group,
  auth_group_permissions, django_session TO crivo_app;
GRANT SELECT, INSERT ON django_admin_log TO crivo_app;
GRANT SELECT ON auth_permission, django_content_type, django_migrations TO crivo_app;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0001_initial"),
        ("audits", "0002_append_only"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("sessions", "0001_initial"),
    ]
    operations = [
        migrations.RunSQL(GUARDS, "DROP FUNCTION crivo_refuse_excluded() CASCADE"),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
