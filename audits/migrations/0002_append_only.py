"""The ledger's tables can only grow, whoever writes; and the service owns none of them."""

from django.db import migrations

APPEND_ONLY = [
    "audits_event",
    "audits_event_text",
    "audits_leaf",
    "audits_node",
    "audits_checkpoint",
    "audits_quarantine",
]

# ENABLE ALWAYS: a plain trigger is skipped under session_replication_role = replica.
GUARD = """
CREATE FUNCTION crivo_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
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

# The transaction that wrote the event, set by the database: nobody has the right to insert a value.
XID = """
ALTER TABLE audits_event ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX event_xid ON audits_event (xid);
"""

COLUMNS = (
    "id, at, workspace_id, actor_kind, actor_id, on_behalf_of, verb, subject_kind, subject_id, subject_label, "
    "subject_digest, subject_seq, outcome, reason, texts, policy, evidence, before, after, detail, request_id, "
    "correlation_id, previous, subject_salt, head_salt, rest_salt, mac"
)

GRANTS = f"""
GRANT SELECT ON audits_event TO crivo_app;
GRANT INSERT ({COLUMNS}) ON audits_event TO crivo_app;
GRANT SELECT, INSERT ON audits_event_text, audits_leaf, audits_node, audits_checkpoint, audits_quarantine,
  audits_workspace, audits_blob TO crivo_app;
GRANT SELECT, INSERT, UPDATE ON audits_subject_head, audits_log_state, audits_check_run TO crivo_app;
GRANT SELECT, INSERT, DELETE ON audits_idempotency TO crivo_app;
"""


class Migration(migrations.Migration):
    dependencies = [("audits", "0001_initial")]
    operations = [
        migrations.RunSQL(XID, "ALTER TABLE audits_event DROP COLUMN xid"),
        migrations.RunSQL(GUARD, "DROP FUNCTION crivo_refuse_change() CASCADE"),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
