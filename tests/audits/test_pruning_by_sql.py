"""Pruning past the service: what the database refuses, and what is found where its triggers are off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from audits.ids import uuid7
from audits.ledger import pruned
from audits.ledger.notary import Notary
from audits.models import AuditExport, Event, PrunedEvent
from tests.audits.pruning import COLUMNS, exported, keep, prune, recorded, runs
from tests.audits.pruning import cast as cast
from tests.audits.pruning import nothing_is_too_young as nothing_is_too_young
from tests.audits.test_exports import ask, made
from tests.audits.trail import codes, past_crivo, verified, write
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


# --- no other way ------------------------------------------------------------------------------------------


def _told(cast: Cast, export: AuditExport, **more: Any) -> Event:
    detail = {
        "export": str(export.id), "export_digest": export.blob_digest, "before": timezone.now().isoformat(),
        "upto": export.log_size, "count": 1, "total": 1, "pruned": "0" * 64, "exports": [], **more,
    }  # fmt: skip
    return recorded(cast, "audit.pruned", pruned.retention_ref(cast.workspace), detail=detail)


def _mark(cursor: Any, told_by: Any, *events: Event) -> None:
    from audits.ledger.receipts import entry_of

    rows = Event.objects.select_related("workspace", "leaf").in_bulk([event.id for event in events])
    cursor.execute(
        "SELECT crivo_mark_pruned(%s, %s::uuid[], %s::bytea[])",
        [
            told_by,
            [str(event_id) for event_id in rows],
            [entry_of(row, row.leaf) for row in rows.values()],  # type: ignore[attr-defined]
        ],
    )


ATTEMPTS: dict[str, Callable[[Any, Cast, AuditExport, Event, Event], None]] = {}


def attempt(function: Callable[[Any, Cast, AuditExport, Event, Event], None]) -> None:
    ATTEMPTS[function.__name__.replace("_", " ")] = function


@attempt
def delete_it(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    cursor.execute("DELETE FROM audits_event WHERE id = %s", [old.id])


@attempt
def delete_it_with_an_event(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    _told(cast, export)
    cursor.execute("DELETE FROM audits_event WHERE id = %s", [old.id])


@attempt
def mark_it_by_hand(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    cursor.execute(
        f"INSERT INTO audits_pruned ({COLUMNS}) "
        "SELECT id, workspace_id, subject_kind, subject_id, subject_seq, at, id, '' FROM audits_event WHERE id = %s",
        [old.id],
    )


@attempt
def mark_it_and_stop(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    _mark(cursor, _told(cast, export).id, old)


@attempt
def mark_it_with_an_envelope_that_is_none(
    cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event
) -> None:
    cursor.execute(
        "SELECT crivo_mark_pruned(%s, ARRAY[%s]::uuid[], ARRAY['x']::bytea[])", [uuid7(), str(old.id)]
    )


@attempt
def prune_without_an_event(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    told_by = uuid7()
    _mark(cursor, told_by, old)
    cursor.execute("SELECT crivo_prune(%s)", [told_by])


@attempt
def prune_with_an_event_of_before(
    cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event
) -> None:
    earlier = Event.objects.get(verb="audit.pruned")
    _mark(cursor, earlier.id, old)
    cursor.execute("SELECT crivo_prune(%s)", [earlier.id])


@attempt
def prune_evidence(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    told = _told(cast, export)
    _mark(cursor, told.id, kept)
    cursor.execute("SELECT crivo_prune(%s)", [told.id])


@attempt
def prune_more_than_is_told(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    told = _told(cast, export, count=0)
    _mark(cursor, told.id, old)
    cursor.execute("SELECT crivo_prune(%s)", [told.id])


@attempt
def prune_beyond_the_front(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    told = _told(cast, export, upto=0)
    _mark(cursor, told.id, old)
    cursor.execute("SELECT crivo_prune(%s)", [told.id])


@attempt
def prune_after_another_export(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    told = _told(cast, export, export_digest="sha256:" + "0" * 64)
    _mark(cursor, told.id, old)
    cursor.execute("SELECT crivo_prune(%s)", [told.id])


@attempt
def prune_what_is_young(cursor: Any, cast: Cast, export: AuditExport, old: Event, kept: Event) -> None:
    keep(1)
    told = _told(cast, export)
    _mark(cursor, told.id, old)
    cursor.execute("SELECT crivo_prune(%s)", [told.id])


@pytest.mark.parametrize("name", list(ATTEMPTS))
def test_the_database_lets_no_other_go(cast: Cast, notary: Notary, name: str) -> None:
    first = runs(cast, 1)
    export = exported(cast, notary)
    prune(cast, export)
    old, kept = runs(cast, 1)[0], write(1, None, cast.workspace.id)[0]
    export = exported(cast, notary)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        ATTEMPTS[name](cursor, cast, export, old, kept)
    assert Event.objects.filter(id__in=[old.id, kept.id]).count() == 2
    assert set(PrunedEvent.objects.values_list("event_id", flat=True)) == {first[0].id}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audits_event WHERE id = %s",
        "UPDATE audits_event SET verb = verb WHERE id = %s",
        "DELETE FROM audits_event_text WHERE event_id = %s",
        "UPDATE audits_pruned SET pruning = event_id WHERE event_id <> %s",
        "DELETE FROM audits_pruned WHERE event_id <> %s",
    ],
)
def test_not_even_the_owner_with_the_triggers_on(cast: Cast, notary: Notary, statement: str) -> None:
    runs(cast, 1)
    prune(cast, exported(cast, notary))
    event = runs(cast, 1, texts={"reason": "sim"})[0]
    for setting in ("", "SET LOCAL session_replication_role = replica;"):
        if setting:
            with connections["migrator"].cursor() as cursor:
                cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user")
                if not cursor.fetchone()[0]:
                    continue
        with (
            pytest.raises(DatabaseError, match="never changed or removed"),
            transaction.atomic(using="migrator"),
            connections["migrator"].cursor() as cursor,
        ):
            cursor.execute(setting + statement, [event.id])


def test_a_table_of_ones_own_speaks_for_nothing(cast: Cast, notary: Notary) -> None:
    """A temporary table of the same name comes first where a function with the owner's rights looks for it by name."""
    old = runs(cast, 1)[0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
        if not cursor.fetchone()[0]:
            pytest.skip("the service may make no temporary tables here")
    told_by = uuid7()
    notary.run_pass()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE audits_event AS SELECT * FROM public.audits_event WHERE false")
        cursor.execute("GRANT ALL ON pg_temp.audits_event TO PUBLIC")
        cursor.execute(
            "INSERT INTO pg_temp.audits_event (id, workspace_id, verb, outcome, detail, xid) "
            "VALUES (%s, %s, 'audit.pruned', 'done', '{}', pg_current_xact_id())",
            [told_by, cast.workspace.id],
        )
        with pytest.raises(DatabaseError, match="no event of this transaction"):
            cursor.execute("SELECT crivo_prune(%s)", [told_by])
        transaction.set_rollback(True)
    assert Event.objects.filter(id=old.id).exists()


# --- detected where the triggers are off -------------------------------------------------------------------


def test_a_row_taken_away_is_still_found(cast: Cast, notary: Notary) -> None:
    runs(cast, 2)
    prune(cast, exported(cast, notary))
    victim = runs(cast, 2)[0]
    notary.run_pass()
    assert verified().verified
    past_crivo(f"DELETE FROM audits_event WHERE id = '{victim.id}'")
    report = verified()
    assert "event_missing" in codes(report)
    assert {finding.event for finding in report.findings if finding.code == "event_missing"} == {
        str(victim.id)
    }


def _disguised(victim: Event, envelope: bytes, pruning: Any) -> None:
    past_crivo(
        f"INSERT INTO audits_pruned ({COLUMNS}) "
        f"SELECT id, workspace_id, subject_kind, subject_id, subject_seq, at, '{pruning}', "
        f"decode('{envelope.hex()}', 'hex') FROM audits_event WHERE id = '{victim.id}'",
        f"DELETE FROM audits_event WHERE id = '{victim.id}'",
    )


@pytest.mark.parametrize("pruning", ["the real one", "none"])
def test_a_row_taken_away_and_disguised_as_pruned(
    cast: Cast, notary: Notary, tmp_path: Path, pruning: str
) -> None:
    from audits.ledger.receipts import entry_of

    runs(cast, 2)
    told = prune(cast, exported(cast, notary))
    victim = write(2, None, cast.workspace.id)[0]
    notary.run_pass()
    row = Event.objects.select_related("workspace", "leaf").get(id=victim.id)
    envelope = entry_of(row, row.leaf)  # type: ignore[attr-defined]
    _disguised(victim, envelope, told.id if pruning == "the real one" else uuid7())
    report = verified()
    assert "pruned_differs" in codes(report)
    if pruning == "none":
        assert str(victim.id) in {finding.event for finding in report.findings}
    export = made(ask(cast))
    assert (export.state, export.error) == ("failed", {"code": "export_pruned_meanwhile", "params": {}})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audits_pruned SET envelope = 'x' WHERE event_id = '{e}'",
        "UPDATE audits_pruned SET subject_seq = 7 WHERE event_id = '{e}'",
        "UPDATE audits_pruned SET pruning = '{e}' WHERE event_id = '{e}'",
        "DELETE FROM audits_pruned WHERE event_id = '{e}'",
        "UPDATE audits_event SET detail = jsonb_set(detail, '{{total}}', '3') WHERE verb = 'audit.pruned'",
        "DELETE FROM audits_event WHERE verb = 'audit.pruned'",
        "DELETE FROM audits_leaf WHERE event_id = '{e}'",
    ],
)
def test_marks_that_were_changed_are_found(cast: Cast, notary: Notary, statement: str) -> None:
    old = runs(cast, 2)[0]
    prune(cast, exported(cast, notary))
    notary.run_pass()
    assert verified().verified
    past_crivo(statement.format(e=old.id))
    assert not verified().verified


def test_an_event_that_was_put_back(cast: Cast, notary: Notary) -> None:
    old = runs(cast, 1)[0]
    with connections["migrator"].cursor() as cursor:
        cursor.execute("CREATE TABLE kept_aside AS SELECT * FROM audits_event WHERE id = %s", [old.id])
    try:
        prune(cast, exported(cast, notary))
        notary.run_pass()
        past_crivo("INSERT INTO audits_event SELECT * FROM kept_aside")
    finally:
        with connections["migrator"].cursor() as cursor:
            cursor.execute("DROP TABLE kept_aside")
    assert "pruned_differs" in codes(verified())
