"""On refusal nothing changes: every row of every table is as before, but for the refusal's own event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from django.db import connections

# What a refusal may add to, and bookkeeping that no promise is about.
LEDGER = {"audits_event", "audits_subject_head", "audits_event_text"}
IGNORED = LEDGER | {"audits_idempotency", "django_session", "audits_leaf", "audits_node", "audits_checkpoint"}
IGNORED |= {"audits_log_state", "audits_access"}


def digests() -> dict[str, str]:
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = sorted({row[0] for row in cursor.fetchall()} - IGNORED)
        found = {}
        for table in tables:
            cursor.execute(f"SELECT (to_jsonb(t) - 'last_used_at')::text FROM {table} t ORDER BY 1")
            found[table] = sha256(repr(cursor.fetchall()).encode()).hexdigest()
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE outcome = 'refused') FROM audits_event")
        found["events"], found["refusals"] = map(str, cursor.fetchone())
    return found


def assert_unchanged(before: dict[str, str], after: dict[str, str], *, refusals: int) -> None:
    """Between two digests lies nothing but this number of refusal events."""
    added, refused = (int(after[name]) - int(before[name]) for name in ("events", "refusals"))
    tables = set(before) - {"events", "refusals"}
    changed = sorted(table for table in tables if before[table] != after[table])
    assert not changed, f"a refusal changed {changed}"
    assert (added, refused) == (refusals, refusals)


@contextmanager
def unchanged(*, refusals: int) -> Iterator[None]:
    """Nothing changes inside but exactly this number of new refusal events."""
    before = digests()
    yield
    assert_unchanged(before, digests(), refusals=refusals)
