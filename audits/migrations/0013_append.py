"""An event takes two ways to the database: its subject's head is read and locked in one, row and head written in one.

The statements are planned once per session, inside functions. They run with the rights of whoever calls them: the
service may no more than before. Names are qualified, so that no search path decides what is meant.
"""

import django.db.models.deletion
from django.db import migrations, models

from audits.net import generate_state

EVENT = (
    "id, at, workspace_id, actor_kind, actor_id, on_behalf_of, verb, subject_kind, subject_id, subject_label, "
    "subject_digest, subject_seq, outcome, reason, texts, policy, evidence, before, after, detail, request_id, "
    "correlation_id, previous, subject_salt, head_salt, rest_salt, mac"
)
HEAD = """
CREATE FUNCTION crivo_head(of_kind text, subject uuid, of_workspace uuid, new_salt text, reading boolean,
  OUT seq bigint, OUT digest text, OUT salt text, OUT now_is timestamptz, OUT workspace uuid, OUT workspace_salt text,
  OUT state text, OUT row_state text) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  SELECT h.seq, h.digest, h.salt, h.workspace_id, h.state INTO seq, digest, salt, workspace, state
    FROM public.audits_subject_head h WHERE h.kind = of_kind AND h.subject_id = subject FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO public.audits_subject_head (kind, subject_id, workspace_id, seq, digest, salt, state)
      VALUES (of_kind, subject, of_workspace, 0, '', new_salt, '') ON CONFLICT DO NOTHING;
    -- Somebody else may have made it meanwhile: it is theirs that counts, once they are done with it.
    SELECT h.seq, h.digest, h.salt, h.workspace_id, h.state INTO seq, digest, salt, workspace, state
      FROM public.audits_subject_head h WHERE h.kind = of_kind AND h.subject_id = subject FOR UPDATE;
  END IF;
  SELECT w.salt INTO workspace_salt FROM public.audits_workspace w WHERE w.id = workspace;
  IF reading THEN row_state := public.crivo_state(of_kind, subject); END IF;
  now_is := clock_timestamp();  -- not before the lock is held
END $$;
"""
APPEND = f"""
CREATE FUNCTION crivo_append(event json, head_digest text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE e public.audits_event;
BEGIN
  e := json_populate_record(NULL::public.audits_event, event);
  INSERT INTO public.audits_event ({EVENT})
    VALUES ({", ".join(f"e.{name}" for name in EVENT.split(", "))});
  UPDATE public.audits_subject_head h SET seq = e.subject_seq, digest = head_digest, state = e.after
    WHERE h.kind = e.subject_kind AND h.subject_id = e.subject_id;
END $$;
"""


def generate(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        generate_state(cursor)


class Migration(migrations.Migration):
    dependencies = [("audits", "0012_published_statement")]
    operations = [
        migrations.RunSQL(HEAD + APPEND, "DROP FUNCTION crivo_head, crivo_append"),
        migrations.RunPython(generate, migrations.RunPython.noop),
        # Indexes that others cover, paid for with every event: of the workspace alone, and of patterns of verbs.
        migrations.AlterField(
            "event",
            "workspace",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="audits.workspace",
            ),
        ),
        migrations.AlterField("event", "verb", models.CharField(max_length=80)),
        migrations.AddIndex("event", models.Index(fields=["verb"], name="event_verb")),
    ]
