"""Change what must not be changed, to see that it is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2  # type: ignore[import-untyped]

TABLE = "audits_event"
TRIGGERS = ("append_only_row", "append_only_table")


def one_byte(export: Path, copy: Path, *, of_verb: str) -> str:
    """Copy an export and change one letter in it: that of the verb of its first `of_verb` event. What was changed."""
    shutil.copytree(export, copy)
    events = copy / "events.jsonl"
    data = bytearray(events.read_bytes())
    wanted = f'"verb":"{of_verb}"'.encode()
    at = data.find(wanted)
    if at < 0:
        raise ValueError(f"the export has no event {of_verb}")
    position = at + len(wanted) - 2
    before, data[position] = chr(data[position]), ord("x")
    events.write_bytes(data)
    return f"byte {position:,} of events.jsonl, “{before}” to “x”"


@contextmanager
def event_rewritten(superuser_url: str, *, verb: str, into: str) -> Iterator[str]:
    """As the database's superuser: switch the triggers off and make the first event `verb` an event `into`.

    Yields the id of the event. Everything is put back afterwards, the triggers included.
    """
    connection = psycopg2.connect(superuser_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {TABLE} WHERE verb = %s ORDER BY at LIMIT 1", [verb])  # noqa: S608
            row = cursor.fetchone()
            if row is None:
                raise ValueError(f"there is no event {verb}")
            _rewrite(cursor, row[0], into)
            try:
                yield str(row[0])
            finally:
                _rewrite(cursor, row[0], verb)
    finally:
        connection.close()


def _rewrite(cursor: psycopg2.extensions.cursor, event: str, verb: str) -> None:
    off = "; ".join(f"ALTER TABLE {TABLE} DISABLE TRIGGER {name}" for name in TRIGGERS)
    on = "; ".join(f"ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER {name}" for name in TRIGGERS)
    cursor.execute(f"BEGIN; {off}")
    cursor.execute(f"UPDATE {TABLE} SET verb = %s WHERE id = %s", [verb, event])  # noqa: S608
    if cursor.rowcount != 1:
        raise ValueError("the event was not there to be changed")
    cursor.execute(f"{on}; COMMIT")


def verbs_of(export: Path) -> dict[str, int]:
    """How often each verb stands in an export, as its manifest says."""
    found = json.loads((export / "export.json").read_text(encoding="utf-8"))["counts"]
    return {str(verb): int(count) for verb, count in found.items()}
