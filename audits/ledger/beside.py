"""What lies beside the leaves, and could be changed without touching one: each is held against something that is bound.

whose a text is              the event: who acted, or the person its detail names (`texts_of`)
words that search finds      the sealed text they were copied from
when a checkpoint was out    a statement that the notary signed with the row, and that names the row before
events put aside             the event that tells of it
changes past the door        the digest in the event that told of them
holds                        the events that placed and lifted them
names of workspaces          the event that made them
which rows are compared      the digest in the newest event about migrations
name of the log              its key
earlier logs                 the digest in the event that began the log after them
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any, Protocol
from uuid import UUID

from django.db import connection

from audits.canonical import digest_of
from audits.ledger.body import timestamp
from audits.ledger.note import NoteError, NoteSigner, SignatureMismatchError, VerifierKey, sign_note
from audits.models import Checkpoint, Event, EventText, Governed, LogState, OutOfBandChange, SearchText
from audits.sealing import opened
from audits.verifier import verify_note

CHUNK = 1_000


class Report(Protocol):
    def add(self, code: str, sentence: str, index: int | None = None, event: object = "") -> None: ...


def check_beside(report: Report, vkeys: Sequence[VerifierKey]) -> None:
    """Add what is found to the report. Runs in the snapshot of the caller."""
    for origin in LogState.objects.exclude(origin=vkeys[0].name, id=1).values_list("origin", flat=True):
        report.add("origin_differs", f"the database says that the log is {origin}, its key {vkeys[0].name}")
    _check_times(report, vkeys)
    _check_search(report)
    _check_told(report)
    _check_governed(report)
    _check_earlier(report)
    with connection.cursor() as cursor:
        for code, sentence, query in _QUERIES:
            cursor.execute(query)
            for event, what in cursor.fetchall():
                report.add(code, sentence.format(what), event=event or "")


# Event and what to name, of every row that is not what its event says.
_QUERIES = (
    (
        "text_owner",
        "its text {} is put down to somebody else than whose it is",
        "SELECT t.event_id, t.name FROM audits_event_text t JOIN audits_event e ON e.id = t.event_id "
        "WHERE t.person_id::text <> coalesce(e.detail ->> 'texts_of', e.on_behalf_of::text, e.actor_id::text) "
        "ORDER BY 1, 2",
    ),
    (
        "quarantine_false",
        "it was put aside as {}, which no event says",
        "SELECT q.event_id, q.code FROM audits_quarantine q WHERE NOT EXISTS (SELECT 1 FROM audits_event e "
        "WHERE e.subject_kind = 'event' AND e.subject_id = q.event_id AND e.verb = 'event.quarantined' "
        "AND e.detail ->> 'code' = q.code) ORDER BY 1",
    ),
    (
        "hold_differs",
        "the legal hold {} is not what its events say",
        "SELECT coalesce(p.id, h.event_id), coalesce(h.id, p.subject_id)::text FROM audits_legal_hold h "
        "FULL JOIN (SELECT id, subject_id, workspace_id, detail ->> 'person' AS person FROM audits_event "
        "WHERE verb = 'hold.placed' AND outcome = 'done') p ON p.subject_id = h.id "
        "LEFT JOIN audits_event l ON l.verb = 'hold.lifted' AND l.outcome = 'done' AND l.subject_id = p.subject_id "
        "WHERE h.id IS NULL OR p.id IS NULL OR h.event_id <> p.id OR h.person_id::text <> p.person "
        "OR h.workspace_id <> p.workspace_id OR h.lifted_event IS DISTINCT FROM l.id ORDER BY 2",
    ),
    (
        "workspace_differs",
        "the workspace is called {}, and was not when it was made",
        "SELECT e.id, w.name FROM audits_workspace w JOIN audits_event e ON e.verb = 'workspace.bootstrapped' "
        "AND e.outcome = 'done' AND e.subject_kind = 'workspace' AND e.subject_id = w.id "
        "WHERE e.subject_label <> w.name ORDER BY 1",
    ),
)


# --- when a checkpoint was out --------------------------------------------------------------------------------


def statement_text(origin: str, size: int, root: bytes, at: datetime, before: tuple[int, str]) -> str:
    """What the notary signs about a checkpoint it has published. `before`: size of the row before (0: none), and the
    digest of its statement, so that neither can be taken away or moved. The first line is no origin of a log: this can
    never be taken for a checkpoint.
    """
    return f"{origin} published\n{size} {root.hex()}\n{timestamp(at)}\n{before[0]} {before[1]}\n"


def sign_statement(text: str, signer: NoteSigner) -> str:
    return sign_note(text, signer).decode()


def digest_of_statement(statement: str) -> str:
    """Empty for a row written before times were signed."""
    return sha256(statement.encode()).hexdigest() if statement else "unsigned"


def _check_times(report: Report, vkeys: Sequence[VerifierKey]) -> None:
    before, signed = (0, "none"), False
    for row in Checkpoint.objects.order_by("size").iterator(CHUNK):
        what = f"the stored checkpoint over {row.size} entries"
        if row.statement:
            signed = True
            wanted = statement_text(vkeys[0].name, row.size, bytes(row.root), row.published_at, before)
            if not _says(row.statement, wanted, vkeys):
                report.add(
                    "published_differs",
                    f"{what} was not published at {timestamp(row.published_at)}, or the one before it is another",
                )
        elif signed:
            report.add("published_differs", f"{what} does not prove when it was published")
        before = (row.size, digest_of_statement(row.statement))


def _says(statement: str, wanted: str, vkeys: Sequence[VerifierKey]) -> bool:
    try:
        return verify_note(statement.encode(), list(dict.fromkeys(vkeys)))[0] == wanted
    except (NoteError, SignatureMismatchError):
        return False


# --- words that search finds ----------------------------------------------------------------------------------


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _check_search(report: Report) -> None:
    """Words are held against the text they were taken from. A text that cannot be read is told of with its event, and
    says nothing about the words, unless its person was erased: then there must be none."""
    erased = set(
        Event.objects.filter(verb="person.erased", outcome="done").values_list("subject_id", flat=True)
    )
    for chunk in _chunks(SearchText.objects.order_by("id").iterator(CHUNK)):
        written = {
            (text.event_id, text.name): text
            for text in EventText.objects.filter(event__in={row.event_id for row in chunk})
        }
        damaged: set[tuple[UUID, str]] = set()
        words = opened(written.values(), damaged)
        for row in chunk:
            place = (row.event_id, row.name)
            sealed, said = written.get(place), words.get(place)
            if sealed is not None and said is None and (place in damaged or sealed.person_id not in erased):
                continue
            if sealed is None or said is None or (said.text, sealed.person_id) != (row.text, row.person_id):
                report.add(
                    "search_differs",
                    f"search finds it by a {row.name} that is not its own",
                    event=row.event_id,
                )


# --- changes past the door ------------------------------------------------------------------------------------


def change_digest(rows: Sequence[OutOfBandChange]) -> str:
    """Of changes told of together, in the order they were seen."""
    return digest_of([change_content(row) for row in rows])


def change_content(row: OutOfBandChange) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "row": row.row_id,
        "before": row.before,
        "after": row.after,
        "columns": row.columns,
        "role": row.database_role,
    }


def _check_told(report: Report) -> None:
    told = Event.objects.filter(verb="out_of_band.detected", outcome="done").order_by("id")
    for event in told.iterator(CHUNK):
        rows = list(OutOfBandChange.objects.filter(alarm_event=event.id).order_by("at", "id"))
        if not rows or change_digest(rows) != event.after or not _as_told(event, rows):
            report.add(
                "change_differs", "the changes past the door that it tells of are others", event=event.id
            )
    strays = OutOfBandChange.objects.exclude(alarm_event=None).exclude(alarm_event__in=told.values("id"))
    for row in strays.order_by("id"):
        report.add(
            "change_differs", f"the change past the door {row.id} is marked as told, and no event tells of it"
        )


def _as_told(event: Event, rows: Sequence[OutOfBandChange]) -> bool:
    """What the digest leaves out. Of subject, time and program the event names the first row's."""
    said, first = event.detail, rows[0]
    about = said.get("about", {})
    common = (said.get("code"), said.get("table"), said.get("operation"), about.get("workspace"))
    if "workspace" not in about:  # told before it was named
        common = (*common[:3], str(first.workspace_id or ""))
    return all(
        (row.code, row.table_name, row.operation, str(row.workspace_id or "")) == common for row in rows
    ) and (
        first.id,
        first.at.isoformat(),
        first.application,
        first.subject_kind,
        str(first.subject_id or ""),
    ) == (
        event.subject_id,
        said.get("changed_at"),
        said.get("application"),
        about.get("kind"),
        about.get("id"),
    )


# --- which rows are compared, earlier logs --------------------------------------------------------------------


def governed_digest() -> str:
    """Of the table that says which rows are held against their events, and since when."""
    rows = Governed.objects.order_by("kind").values_list("kind", "table_name", "ignored", "since")
    return digest_of([[kind, table, ignored, timestamp(since)] for kind, table, ignored, since in rows])


def _check_governed(report: Report) -> None:
    last = Event.objects.filter(verb="schema.migrated", outcome="done").order_by("-subject_seq").first()
    if last is None or "governed" not in last.detail:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM django_migrations")
        newest = cursor.fetchone()[0]
    if newest == last.detail.get("upto") and governed_digest() != last.detail["governed"]:
        report.add("governed_differs", "which rows are compared was changed since", event=last.id)


# The same lines of a log before it is moved aside and after.
_LEAF = "l.\"index\", l.event_id, encode(l.hash, 'hex')"
_CHECKPOINT = "c.size, encode(c.root, 'hex'), c.published_at, c.note, c.statement"
LIVE = (
    f'SELECT {_LEAF}, (SELECT c.published_at FROM audits_checkpoint c WHERE c.size > l."index" '  # noqa: S608
    'ORDER BY c.size LIMIT 1) FROM audits_leaf l ORDER BY l."index"',
    f"SELECT {_CHECKPOINT} FROM audits_checkpoint c ORDER BY c.size",  # noqa: S608
)
ASIDE = (
    f'SELECT {_LEAF}, l.published_at FROM audits_earlier_leaf l WHERE l.origin = %s ORDER BY l."index"',  # noqa: S608
    f"SELECT {_CHECKPOINT} FROM audits_earlier_checkpoint c WHERE c.origin = %s ORDER BY c.size",  # noqa: S608
)


class _Hash:
    """What COPY writes to; memory stays flat."""

    def __init__(self) -> None:
        self.value = sha256()

    def write(self, data: bytes) -> int:
        self.value.update(data)
        return len(data)


def rows_digest(queries: Sequence[str], *parameters: str) -> str:
    """SHA-256 over the rows of these queries, as COPY writes them in UTC."""
    found = _Hash()
    with connection.cursor() as cursor:
        for query in queries:
            cursor.copy_expert(
                f"COPY ({cursor.mogrify(query, parameters or None).decode()}) TO STDOUT", found
            )
            found.write(b"\n")
    return found.value.hexdigest()


def _check_earlier(report: Report) -> None:
    begun = Event.objects.filter(verb="log.reopened", outcome="done")
    for event in begun.filter(detail__has_key="moved").order_by("id"):
        if rows_digest(ASIDE, event.detail["earlier"]) != event.detail["moved"]:
            report.add(
                "earlier_differs",
                f"what was kept of the log {event.detail['earlier']} was changed",
                event=event.id,
            )
