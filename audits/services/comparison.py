"""Every governed row against the `after` of its last event: what the net cannot see (triggers switched off) shows here.

The net itself is looked at, too: a trigger that is missing or off is an alarm of its own. Memory stays flat; the
database computes the digests. Runs in the worker, from time to time, and by `manage.py compare_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection, transaction

from audits.actors import Command, SubjectRef, system_actor
from audits.models import Governed, Workspace
from audits.net import Net, holes, nets
from audits.services.alarms import tell_of_difference, tell_of_holes


@dataclass(frozen=True)
class Difference:
    """`found` is the digest of the row (empty: it is gone), `said` the last event's after (empty: no event)."""

    workspace: UUID
    subject: SubjectRef
    found: str
    said: str
    event: UUID | None


@dataclass
class Comparison:
    """`uncovered`: rows whose last event was written before the net was there, so that it says nothing of them."""

    rows: int = 0
    uncovered: int = 0
    differences: list[Difference] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)


# One snapshot for row and event: a service in between is seen whole or not at all. Head rows give the workspace.
_COMPARE = """
WITH said AS (
  SELECT DISTINCT ON (e.subject_id) e.subject_id, e.id, e.after, e.at, e.workspace_id
  FROM audits_event e WHERE e.subject_kind = %(kind)s ORDER BY e.subject_id, e.subject_seq DESC
), found AS (
  SELECT t.id, t.workspace_id, crivo_digest(to_jsonb(t), %(ignored)s::text[]) AS digest FROM {table} t
)
SELECT coalesce(f.id, s.subject_id), coalesce(s.workspace_id, f.workspace_id), coalesce(f.digest, ''),
  coalesce(s.after, ''), s.id, coalesce(s.at < %(since)s, false)
FROM found f FULL JOIN said s ON s.subject_id = f.id
WHERE f.digest IS DISTINCT FROM nullif(s.after, '')
"""


def compare() -> Comparison:
    """Look only: nothing is written. One read-only snapshot."""
    watched = nets()
    report = Comparison()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL timezone = 'UTC'")  # as crivo_state has it: times are part of the digest
        report.holes = holes(cursor, watched)
        since = dict(Governed.objects.values_list("kind", "since"))
        for net in watched:
            if net.kind and net.kind in since:
                _compare(cursor, net, since[net.kind], report)
    return report


def _compare(cursor: object, net: Net, since: object, report: Comparison) -> None:
    run = cursor.execute  # type: ignore[attr-defined]
    run(f"SELECT count(*) FROM {net.table}")  # noqa: S608 - a name from our own table of nets
    report.rows += cursor.fetchone()[0]  # type: ignore[attr-defined]
    run(
        _COMPARE.format(table=net.table),
        {"kind": net.kind, "ignored": list(net.ignored), "since": since},
    )
    for subject, workspace, found, said, event, before in cursor.fetchall():  # type: ignore[attr-defined]
        if before:
            report.uncovered += 1
            continue
        report.differences.append(Difference(workspace, SubjectRef(net.kind, subject), found, said, event))


def compare_and_tell() -> Comparison:
    """Compare, and leave an event and an alarm for what is new. What it finds stays found until the row is repaired."""
    report = compare()
    first = Workspace.objects.order_by("created_at", "id").first()
    if first is None:
        return report
    tell_of_holes(command=Command(system_actor("worker", first.id)), holes=report.holes)
    for row in report.differences:
        tell_of_difference(
            command=Command(system_actor("worker", row.workspace)),
            subject=row.subject,
            found=row.found,
            said=row.said,
            said_by=row.event,
        )
    return report
