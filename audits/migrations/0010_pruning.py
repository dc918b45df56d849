"""The one way by which rows of the log may go: events of the decision log, after an export of them (audits.retention).

The guard of events and their texts lets a row go only in the transaction that marked it as pruned and holds the event
that tells of it. Marks are written by `crivo_mark_pruned` alone, which keeps an envelope only if it hashes to the leaf;
`crivo_prune` looks at everything the database can judge, and removes what is marked. Both act as the owner; the service
may call them, and has no right of its own on these tables but to read.
"""

import django.db.models.deletion
from django.db import migrations, models

from audits.retention import install

XID = """
ALTER TABLE audits_pruned ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX pruned_xid ON audits_pruned (xid);
"""

# What may be pruned: of the decision log, or a refusal; not what the row of a governed subject is compared with (its
# last change, and whatever came after that); not what a webhook is still to be told of. `held`: a legal hold stands on
# somebody who acted, wrote or is meant there.
PRUNABLE = """
CREATE VIEW audits_prunable AS
SELECT e.id, e.workspace_id, l."index", l.hash, e.at,
  EXISTS (SELECT FROM audits_legal_hold h WHERE h.lifted_event IS NULL AND (
    h.person_id IN (e.actor_id, e.on_behalf_of, e.subject_id)
    OR EXISTS (SELECT FROM audits_event_text t WHERE t.event_id = e.id AND t.person_id = h.person_id))) AS held
FROM audits_event e JOIN audits_leaf l ON l.event_id = e.id
WHERE (e.outcome = 'refused' OR EXISTS (SELECT FROM audits_decision_log d WHERE d.verb = e.verb))
  AND (NOT EXISTS (SELECT FROM audits_governed g WHERE g.kind = e.subject_kind) OR EXISTS (
    SELECT FROM audits_event n WHERE n.subject_kind = e.subject_kind AND n.subject_id = e.subject_id
      AND n.subject_seq > e.subject_seq AND n.outcome = 'done'))
  AND NOT EXISTS (SELECT FROM audits_webhook_delivery w WHERE w.event_id = e.id AND w.state = 'pending');
"""

FUNCTIONS = """
CREATE FUNCTION crivo_mark_pruned(told_by uuid, ids uuid[], envelopes bytea[]) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE marked bigint;
BEGIN
  INSERT INTO audits_pruned (event_id, workspace_id, subject_kind, subject_id, subject_seq, at, pruning, envelope)
    SELECT e.id, e.workspace_id, e.subject_kind, e.subject_id, e.subject_seq, e.at, told_by, given.envelope
    FROM unnest(ids, envelopes) AS given(id, envelope)
    JOIN audits_event e ON e.id = given.id JOIN audits_leaf l ON l.event_id = e.id
    WHERE sha256(decode('00', 'hex') || given.envelope) = l.hash;
  GET DIAGNOSTICS marked = ROW_COUNT;
  IF marked <> cardinality(ids) THEN
    RAISE EXCEPTION 'an envelope is not that of its leaf' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN marked;
END $$;

CREATE FUNCTION crivo_kept_since() RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT clock_timestamp() - make_interval(years => coalesce((SELECT years FROM audits_retention_period), 10))
$$;

CREATE FUNCTION crivo_prune(told_by uuid) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE told record; gone bigint;
BEGIN
  SELECT e.workspace_id AS workspace, (e.detail ->> 'upto')::bigint AS upto, (e.detail ->> 'count')::bigint AS count,
      (e.detail ->> 'before')::timestamptz AS before, (e.detail ->> 'export')::uuid AS export,
      e.detail ->> 'export_digest' AS digest INTO told
    FROM audits_event e WHERE e.id = told_by AND e.verb = 'audit.pruned' AND e.outcome = 'done'
      AND e.xid = pg_current_xact_id();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no event of this transaction tells of this pruning' USING ERRCODE = 'restrict_violation';
  END IF;
  IF told.before IS NULL OR told.before > crivo_kept_since() THEN
    RAISE EXCEPTION 'what is that young is kept' USING ERRCODE = 'restrict_violation';
  END IF;
  PERFORM 1 FROM audits_export x
    JOIN audits_event c ON c.subject_kind = 'audit_export' AND c.subject_id = x.id
      AND c.verb = 'audit.export_completed' AND c.outcome = 'done' AND c.after = x.blob_digest
    JOIN audits_leaf l ON l.event_id = c.id
    WHERE x.id = told.export AND x.workspace_id = told.workspace AND x.state = 'done' AND x.form = 'bundle'
      AND x.query = '{}'::jsonb AND x.blob_digest = told.digest AND x.log_size >= told.upto
      AND EXISTS (SELECT FROM audits_checkpoint k WHERE k.size > l."index");
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no complete, published export covers this pruning' USING ERRCODE = 'restrict_violation';
  END IF;
  PERFORM 1 FROM audits_pruned p LEFT JOIN audits_prunable a ON a.id = p.event_id
    WHERE p.pruning = told_by AND (a.id IS NULL OR a.held OR a.workspace_id <> told.workspace
      OR a."index" >= told.upto OR a.at >= told.before);
  IF FOUND THEN
    RAISE EXCEPTION 'something marked may not be pruned' USING ERRCODE = 'restrict_violation';
  END IF;
  DELETE FROM audits_search_text s USING audits_pruned p WHERE p.event_id = s.event_id AND p.pruning = told_by;
  DELETE FROM audits_event_text t USING audits_pruned p WHERE p.event_id = t.event_id AND p.pruning = told_by;
  DELETE FROM audits_event e USING audits_pruned p WHERE p.event_id = e.id AND p.pruning = told_by;
  GET DIAGNOSTICS gone = ROW_COUNT;
  IF gone <> told.count THEN
    RAISE EXCEPTION 'the event tells of % events, % would go', told.count, gone USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN gone;
END $$;

REVOKE ALL ON FUNCTION crivo_mark_pruned, crivo_prune FROM PUBLIC;
GRANT EXECUTE ON FUNCTION crivo_mark_pruned, crivo_prune TO crivo_app;
GRANT SELECT ON audits_pruned, audits_decision_log, audits_retention_period, audits_prunable TO crivo_app;
INSERT INTO audits_retention_period (id, years) VALUES (1, 10);
"""

# ENABLE ALWAYS: a plain trigger is skipped under session_replication_role = replica.
GUARDS = """
CREATE FUNCTION crivo_refuse_unless_pruned() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE event uuid;
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF TG_TABLE_NAME = 'audits_event' THEN event := OLD.id; ELSE event := OLD.event_id; END IF;
    PERFORM 1 FROM audits_pruned p JOIN audits_event told ON told.id = p.pruning
      WHERE p.event_id = event AND p.xid = pg_current_xact_id()
        AND told.xid = pg_current_xact_id() AND told.verb = 'audit.pruned' AND told.outcome = 'done';
    IF FOUND THEN RETURN OLD; END IF;
  END IF;
  RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

-- A mark without the pruning would let a row look as if it had gone rightly.
CREATE FUNCTION crivo_pruned_is_gone() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM audits_event e WHERE e.id = NEW.event_id) THEN
    RAISE EXCEPTION 'an event that is still there is not pruned' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;
""" + "".join(
    f"""
DROP TRIGGER append_only_row ON {table};
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION crivo_refuse_unless_pruned();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_row;
"""
    for table in ("audits_event", "audits_event_text")
) + """
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON audits_pruned
  FOR EACH ROW EXECUTE FUNCTION crivo_refuse_change();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON audits_pruned
  FOR EACH STATEMENT EXECUTE FUNCTION crivo_refuse_change();
CREATE CONSTRAINT TRIGGER pruned_is_gone AFTER INSERT ON audits_pruned
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crivo_pruned_is_gone();
ALTER TABLE audits_pruned ENABLE ALWAYS TRIGGER append_only_row;
ALTER TABLE audits_pruned ENABLE ALWAYS TRIGGER append_only_table;
ALTER TABLE audits_pruned ENABLE ALWAYS TRIGGER pruned_is_gone;
"""

# Where pg_temp is not named it is searched first: a temporary audits_event of the service's own would have spoken for
# changes that no event tells of.
TEMPORARY = """
ALTER FUNCTION crivo_net() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION crivo_net_truncate() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION crivo_state(text, uuid) SET search_path = pg_catalog, public, pg_temp;
"""


def install_verbs(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        install(cursor)


class Migration(migrations.Migration):

    dependencies = [
        ('audits', '0009_check_parts'),
    ]

    operations = [
        migrations.CreateModel(
            name='DecisionLogVerb',
            fields=[
                ('verb', models.CharField(max_length=80, primary_key=True, serialize=False)),
            ],
            options={
                'db_table': 'audits_decision_log',
            },
        ),
        migrations.CreateModel(
            name='RetentionPeriod',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('years', models.SmallIntegerField(default=10)),
            ],
            options={
                'db_table': 'audits_retention_period',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1), ('years__gte', 0)), name='retention_period_single')],
            },
        ),
        migrations.AlterField(
            model_name='leaf',
            name='event',
            field=models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='leaf', to='audits.event'),
        ),
        migrations.AlterField(
            model_name='webhookdelivery',
            name='event',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.event'),
        ),
        migrations.CreateModel(
            name='PrunedEvent',
            fields=[
                ('event_id', models.UUIDField(primary_key=True, serialize=False)),
                ('subject_kind', models.CharField(max_length=60)),
                ('subject_id', models.UUIDField()),
                ('subject_seq', models.BigIntegerField()),
                ('at', models.DateTimeField()),
                ('pruning', models.UUIDField(db_index=True)),
                ('envelope', models.BinaryField()),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audits.workspace')),
            ],
            options={
                'db_table': 'audits_pruned',
                'indexes': [models.Index(fields=['workspace', 'at'], name='pruned_workspace_at')],
                'constraints': [models.UniqueConstraint(fields=('subject_kind', 'subject_id', 'subject_seq'), name='pruned_subject_seq')],
            },
        ),
        migrations.RunSQL(XID + PRUNABLE + FUNCTIONS + GUARDS + TEMPORARY, migrations.RunSQL.noop),
        migrations.RunPython(install_verbs, migrations.RunPython.noop),
    ]
