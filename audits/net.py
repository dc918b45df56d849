"""The net below the door: what changes a governed row without an event of its own transaction is written down.

Deferred row triggers (they fire at the commit, when the row is final and every event has been written) look for a
`done` event of the same transaction that names the row's subject, and compare the row with the digest the last such
event gives as its `after`. What has no event, or differs, lands in `out_of_band_change`; TRUNCATE, which no service
does, always does. The function runs with the rights of the owner, so that the service can write no such line and
remove none. ENABLE ALWAYS: a plain trigger is skipped under session_replication_role = replica.

What the net cannot see is a change by somebody who switches triggers off: a superuser, or the owner. That is what the
comparison of every row with its last event is for (audits.services.comparison).

`Net` says for one table which events may speak for its rows:
    kind:column   an event about the subject (kind, row.column)
    kind:*        any event about a subject of that kind, where the row belongs to none (nodes of the lineage)
A table whose first rule is `kind:id` holds subjects itself: the digest of its row is what `record` writes as `after`.
Null members are left out of the digest, so that a column added later (nullable) changes none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True)
class Net:
    """`table` and its rules; `ignored`: columns that are bookkeeping, or derived, and that anybody may move."""

    table: str
    rules: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of subject its rows are; empty for rows that belong to a subject of another table."""
        kind, _, column = self.rules[0].partition(":")
        return kind if column == "id" else ""


def nets() -> list[Net]:
    """Those of the packages above (CRIVO_NETS: dotted paths of lists)."""
    return [net for path in settings.CRIVO_NETS for net in import_string(path)]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _array(values: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(_literal(value) for value in values)}]::text[]"


def install(cursor: Any, wanted: Iterable[Net]) -> list[str]:
    """(Re)make the triggers of these tables, as their owner; tables that do not exist yet are left out. Idempotent.

    A migration that adds a governed table ends with this. Returns the tables that are watched.
    """
    made = []
    for net in wanted:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [net.table])
        if not cursor.fetchone()[0]:
            continue
        # A trigger with events of its own transaction pending cannot be replaced, so they are let off first.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        arguments = ", ".join(_literal(text) for text in (",".join(net.ignored), net.kind, *net.rules))
        cursor.execute(
            f"""
            DROP TRIGGER IF EXISTS net_row ON {net.table};
            DROP TRIGGER IF EXISTS net_truncate ON {net.table};
            CREATE CONSTRAINT TRIGGER net_row AFTER INSERT OR UPDATE OR DELETE ON {net.table}
              DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crivo_net({arguments});
            CREATE TRIGGER net_truncate AFTER TRUNCATE ON {net.table}
              FOR EACH STATEMENT EXECUTE FUNCTION crivo_net_truncate();
            ALTER TABLE {net.table} ENABLE ALWAYS TRIGGER net_row;
            ALTER TABLE {net.table} ENABLE ALWAYS TRIGGER net_truncate;
            """
        )
        if net.kind:
            cursor.execute(
                "INSERT INTO audits_governed (kind, table_name, ignored) VALUES (%s, %s, %s) "
                "ON CONFLICT (kind) DO UPDATE SET table_name = EXCLUDED.table_name, ignored = EXCLUDED.ignored",
                [net.kind, net.table, list(net.ignored)],
            )
        made.append(net.table)
    generate_state(cursor)
    return made


def generate_state(cursor: Any) -> None:
    """(Re)write `crivo_state` with one query per governed table, which a session plans once; what every event pays for
    its `after` is mostly planning. A kind that is governed by no table has no state.
    """
    cursor.execute("SELECT kind, table_name, ignored FROM audits_governed ORDER BY kind")
    branches = "".join(
        _BRANCH.format(kind=_literal(kind), table=_name(table), ignored=_array(ignored))
        for kind, table, ignored in cursor.fetchall()
    )
    cursor.execute(_STATE.format(branches=branches))


def holes(cursor: Any, wanted: Iterable[Net]) -> list[str]:
    """Tables whose triggers are missing or switched off, as `table trigger`."""
    cursor.execute(
        "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE tgname IN ('net_row', 'net_truncate')"
    )
    found = {(table, name): enabled for table, name, enabled in cursor.fetchall()}
    return [
        f"{net.table} {name}"
        for net in wanted
        for name in ("net_row", "net_truncate")
        if found.get((net.table, name)) != "A"
    ]


# Volatile: after a wait for the head, the row of now.
_STATE = """
CREATE OR REPLACE FUNCTION crivo_state(of_kind text, subject uuid) RETURNS text LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' AS $$
DECLARE content jsonb;
BEGIN
{branches}  RETURN NULL;
END $$;
"""

_BRANCH = """  IF of_kind = {kind} THEN
    SELECT to_jsonb(t) INTO content FROM public.{table} t WHERE t.id = subject;
    RETURN public.crivo_digest(content, {ignored});
  END IF;
"""

# The digest of a row: canonical because jsonb has one text for one value, and the time zone is fixed.
_NET = """
CREATE FUNCTION crivo_digest(content jsonb, ignored text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT 'sha256:' || encode(sha256(convert_to(jsonb_strip_nulls(content - ignored)::text, 'UTF8')), 'hex')
$$;

CREATE FUNCTION crivo_net() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public SET timezone = 'UTC' AS $$
DECLARE
  ignored text[] := string_to_array(TG_ARGV[0], ',');
  own_kind text := TG_ARGV[1];
  this xid8 := pg_current_xact_id();
  was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - ignored END;
  now_is jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - ignored END;
  content jsonb := coalesce(now_is, was);
  wanted_kind text; named text; said text; code text := 'no_event'; found_event boolean := false;
BEGIN
  IF TG_OP = 'UPDATE' AND was = now_is THEN RETURN NULL; END IF;
  FOR i IN 2 .. TG_NARGS - 1 LOOP
    wanted_kind := split_part(TG_ARGV[i], ':', 1);
    named := split_part(TG_ARGV[i], ':', 2);
    IF named = '*' THEN
      PERFORM 1 FROM audits_event e WHERE e.xid = this AND e.outcome = 'done' AND e.subject_kind = wanted_kind LIMIT 1;
    ELSE
      SELECT e.after INTO said FROM audits_event e WHERE e.xid = this AND e.outcome = 'done'
        AND e.subject_kind = wanted_kind AND e.subject_id = (content ->> named)::uuid
        ORDER BY e.subject_seq DESC LIMIT 1;
    END IF;
    IF FOUND THEN
      found_event := true;
      EXIT WHEN i > 2 OR own_kind = '';
      -- This row, or what later statements of the transaction made of it, is what the event says came out.
      IF TG_OP <> 'DELETE' AND said = crivo_digest(now_is, ARRAY[]::text[]) THEN RETURN NULL; END IF;
      IF said = crivo_state(own_kind, (content ->> 'id')::uuid) THEN RETURN NULL; END IF;
      code := 'differs';
      found_event := false;
      EXIT;
    END IF;
  END LOOP;
  IF found_event THEN RETURN NULL; END IF;
  INSERT INTO out_of_band_change (code, table_name, operation, row_id, subject_kind, subject_id, workspace_id,
      before, after, columns, database_role, application)
    VALUES (code, TG_TABLE_NAME, lower(TG_OP), coalesce(content ->> 'id', ''), split_part(TG_ARGV[2], ':', 1),
      CASE WHEN split_part(TG_ARGV[2], ':', 2) <> '*' THEN (content ->> split_part(TG_ARGV[2], ':', 2))::uuid END,
      (content ->> 'workspace_id')::uuid,
      coalesce(crivo_digest(was, ARRAY[]::text[]), ''), coalesce(crivo_digest(now_is, ARRAY[]::text[]), ''),
      CASE WHEN TG_OP = 'UPDATE' THEN
        (SELECT array_agg(key ORDER BY key) FROM jsonb_each(now_is) n WHERE n.value IS DISTINCT FROM was -> n.key)
      ELSE ARRAY[]::text[] END,
      session_user, left(coalesce(current_setting('application_name', true), ''), 200));
  RETURN NULL;
END $$;

CREATE FUNCTION crivo_net_truncate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
  INSERT INTO out_of_band_change (code, table_name, operation, row_id, subject_kind, before, after, columns,
      database_role, application)
    VALUES ('no_event', TG_TABLE_NAME, 'truncate', '', '', '', '', ARRAY[]::text[], session_user,
      left(coalesce(current_setting('application_name', true), ''), 200));
  RETURN NULL;
END $$;

-- What was seen stays as it was seen; only the event that tells of it is added, once.
CREATE FUNCTION crivo_net_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.alarm_event IS NULL AND NEW.alarm_event IS NOT NULL
      AND to_jsonb(OLD) - 'alarm_event' = to_jsonb(NEW) - 'alarm_event' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""

FUNCTIONS = _STATE.format(branches="") + _NET  # nothing is governed before the first `install`
