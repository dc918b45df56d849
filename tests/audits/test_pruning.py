"""Pruning: what goes, what stays, what is said of it, and everything that must not go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.utils import timezone, translation

from audits import blobs, retention
from audits.actors import Command, SubjectRef, system_actor
from audits.checks.contract import Message
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.ids import uuid7
from audits.ledger import pruned
from audits.ledger.notary import Notary
from audits.ledger.receipts import receipt_for
from audits.ledger.signing import checkpoint_key, make_keys
from audits.models import (
    AuditExport,
    DecisionLogVerb,
    Event,
    EventText,
    Leaf,
    PrunedEvent,
    RetentionPeriod,
    SearchText,
)
from audits.services import comparison, erasure
from audits.services.pruning import prune_log
from audits.verbs import all_verbs
from audits.verifier import Report, verify_export, verify_receipt
from tests.audits.test_export_forms import files
from tests.audits.test_exports import ask, lines, made, unpacked, vkey
from tests.audits.trail import codes, past_crivo, verified, write, write_keys
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
COLUMNS = "event_id, workspace_id, subject_kind, subject_id, subject_seq, at, pruning, envelope"
RUN, DATASET = "check_run.completed", "dataset.registered"


def keep(years: int) -> None:
    """As the owner of the table."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute("UPDATE audits_retention_period SET years = %s", [years])


@pytest.fixture
def nothing_is_too_young(transactional_db: None) -> Iterator[None]:
    keep(0)
    yield
    keep(10)


@pytest.fixture
def cast(committed_cast: Cast, nothing_is_too_young: None) -> Cast:
    return committed_cast


def runs(cast: Cast, count: int, subject: SubjectRef | None = None, **more: Any) -> list[Event]:
    """Events of the decision log."""
    told = []
    for _ in range(count):
        ref = subject or SubjectRef("check_run", uuid7(), "quality · patients@1")
        with transaction.atomic():
            told.append(_recorded(cast, RUN, ref, **more))
    return told


def _recorded(cast: Cast, verb: str, subject: SubjectRef, **more: Any) -> Event:
    from audits.ledger.record import record

    return record(Command(system_actor("worker", cast.workspace.id)), verb=verb, subject=subject, **more)


def exported(cast: Cast, notary: Notary) -> AuditExport:
    """A verifiable export of everything so far, and its own events in a published checkpoint."""
    notary.run_pass()
    export = made(ask(cast))
    assert export.state == "done", export.error
    notary.run_pass()
    return export


def shell(cast: Cast) -> Command:
    return Command(system_actor("shell", cast.workspace.id))


def prune(cast: Cast, export: AuditExport, before: datetime | None = None, **more: Any) -> Event:
    return prune_log(
        command=more.pop("command", None) or shell(cast),
        export_id=export.id,
        before=before or timezone.now(),
        reason=more.pop("reason", "ten years have passed"),
    ).value


def verify(export: AuditExport, folder: Path) -> Report:
    return verify_export(unpacked(export, folder), vkey())


# --- what goes and what stays ------------------------------------------------------------------------------


def test_rows_go_and_every_proof_holds(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    old = runs(cast, 5, texts={"reason": "porque sim"})
    kept = write(3, None, cast.workspace.id)
    export = exported(cast, notary)
    earlier = (Path(str(tmp_path)) / "published/checkpoint").read_bytes()
    receipts = {event.id: receipt_for(event.id) for event in old}
    leaves = list(Leaf.objects.order_by("index").values_list("index", "event_id", "hash"))
    event = prune(cast, export)
    assert not Event.objects.filter(id__in=[row.id for row in old]).exists()
    assert not EventText.objects.filter(event_id__in=[row.id for row in old]).exists()
    assert not SearchText.objects.filter(event_id__in=[row.id for row in old]).exists()
    assert Event.objects.filter(id__in=[row.id for row in kept]).count() == 3
    assert (event.verb, event.detail["count"], event.detail["total"]) == ("audit.pruned", 5, 5)
    assert event.detail["exports"] == [
        {"export": str(export.id), "export_digest": export.blob_digest, "count": 5}
    ]
    assert event.evidence == [{"kind": "audit_export", "digest": export.blob_digest}]
    assert (
        list(Leaf.objects.order_by("index").values_list("index", "event_id", "hash"))[: len(leaves)] == leaves
    )
    notary.run_pass()

    report = verified(earlier)
    assert (report.verified, report.pruned) == (True, 5), report.findings
    for row in old:
        assert receipt_for(row.id) is not None
        receipt, _ = verify_receipt(str(receipt_for(row.id)).encode(), _key())
        before, _ = verify_receipt(str(receipts[row.id]).encode(), _key())
        assert (receipt.index, receipt.extra) == (before.index, before.extra)

    later = made(ask(cast))
    folder = unpacked(later, tmp_path / "later")
    found = verify_export(folder, vkey(), earlier)
    assert found.verified, found.problems
    assert (found.pruned, found.pruned_to) == (5, event.detail["exports"])
    stated = json.loads((folder / "export.json").read_text())["stated"]
    assert stated["pruned"] == event.detail["exports"]
    assert verify(export, tmp_path / "export").verified, "what was exported before is as good as it was"


def _key() -> Any:
    return checkpoint_key().vkey


def test_row_by_row_nothing_differs_and_nothing_alarms(cast: Cast, notary: Notary) -> None:
    runs(cast, 4)
    prune(cast, exported(cast, notary))
    report = comparison.compare()
    assert (report.differences, report.holes) == ([], [])
    notary.run_pass()
    comparison.compare_and_tell()
    assert not Event.objects.filter(verb__in=["row.differs", "net.torn", "out_of_band.detected"]).exists()


def test_a_pruning_after_a_pruning(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    runs(cast, 3)
    first = exported(cast, notary)
    prune(cast, first)
    runs(cast, 4)
    second = exported(cast, notary)
    event = prune(cast, second)
    notary.run_pass()
    assert (event.detail["count"], event.detail["total"]) == (4, 7)
    assert [row["export"] for row in event.detail["exports"]] == [str(first.id), str(second.id)]
    assert verified().verified
    found = verify(made(ask(cast)), tmp_path / "later")
    assert (found.verified, found.pruned) == (True, 7), found.problems
    filtered = verify(made(ask(cast, verb=DATASET)), tmp_path / "filtered")
    assert (filtered.verified, filtered.pruned) == (True, 7), filtered.problems
    assert "audit.pruned" not in filtered.counts, "it is disclosed, and no match"


def test_of_a_chain_the_rest_still_fits(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    """In the middle of a subject: a refusal between two events that stay."""
    subject = SubjectRef("dataset", uuid7(), "patients")
    write(1, subject, cast.workspace.id)
    refused = write(1, subject, cast.workspace.id, outcome="refused")[0]
    write(1, subject, cast.workspace.id)
    prune(cast, exported(cast, notary))
    assert not Event.objects.filter(id=refused.id).exists()
    write(1, subject, cast.workspace.id)
    notary.run_pass()
    assert verified().verified
    assert verify(made(ask(cast)), tmp_path / "later").verified


def test_the_front_ends_where_something_is_younger(cast: Cast, notary: Notary) -> None:
    old = runs(cast, 2)
    moment = timezone.now()
    young = runs(cast, 2)
    prune(cast, exported(cast, notary), before=moment)
    assert set(PrunedEvent.objects.values_list("event_id", flat=True)) == {row.id for row in old}
    assert Event.objects.filter(id__in=[row.id for row in young]).count() == 2


def test_other_workspaces_are_left_alone(cast: Cast, notary: Notary) -> None:
    with transaction.atomic():
        from audits.ledger.record import record

        other = record(
            Command(system_actor("worker", cast.elsewhere.id)),
            verb=RUN,
            subject=SubjectRef("check_run", uuid7(), "x"),
        )
    runs(cast, 1)
    prune(cast, exported(cast, notary))
    assert Event.objects.filter(id=other.id).exists()
    assert pruned.digest_of_pruned(cast.elsewhere.id)[0] == 0


# --- classes -----------------------------------------------------------------------------------------------


def test_the_classes_are_of_known_verbs_and_the_database_knows_them() -> None:
    verbs = retention.decision_log()
    assert verbs <= set(all_verbs())
    assert set(DecisionLogVerb.objects.values_list("verb", flat=True)) == verbs
    telling = {
        "audit.",
        "person.",
        "hold.",
        "log.",
        "key.",
        "role.",
        "alarm.",
        "out_of_band.",
        "row.",
        "net.",
    }
    assert not [verb for verb in verbs if verb.startswith(tuple(telling))]


def test_what_answers_follow_from_is_evidence() -> None:
    """Nothing that a state, a right or the gate is derived from may ever go."""
    from governance.standings import PLACEMENT_STATE_AFTER, VERSION_STATE_AFTER

    needed = {*PLACEMENT_STATE_AFTER, *VERSION_STATE_AFTER, "role.bound", "role.unbound", "role.lapsed"}
    needed |= {"promotion.requested", "promotion.reopened", "promotion.checked", "promotion.granted"}
    needed |= {"promotion.refused", "promotion.withdrawn", "placement.restored", "placement.superseded"}
    needed |= {
        "policy.applied",
        "person.deactivated",
        "person.reactivated",
        "key.rotated",
        "use_case.registered",
    }
    assert needed <= set(all_verbs())
    assert not needed & retention.decision_log()


def test_evidence_stays_and_so_does_the_last_change_of_a_governed_row(cast: Cast, notary: Notary) -> None:
    subject = SubjectRef("dataset", uuid7(), "patients")
    first = write(1, subject, cast.workspace.id)[0]
    refusals = write(2, subject, cast.workspace.id, outcome="refused")
    runs(cast, 1)
    prune(cast, exported(cast, notary))
    left = set(Event.objects.filter(subject_id=subject.id).values_list("id", flat=True))
    assert left == {first.id, *[row.id for row in refusals]}, (
        "nothing came after them that the row could follow"
    )


# --- who may, and what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ana", "bruno", "bia", "clara", "rita", "davi", "pipeline"])
def test_who_may_not(cast: Cast, notary: Notary, name: str) -> None:
    runs(cast, 1)
    export = exported(cast, notary)
    command = cast.command(name)
    with unchanged(refusals=1), pytest.raises(Forbidden):
        prune(cast, export, command=command)
    refused = Event.objects.get(verb="audit.pruned")
    assert (refused.outcome, refused.subject_kind) == ("refused", "retention")


def test_nothing_young_goes(cast: Cast, notary: Notary) -> None:
    runs(cast, 1)
    export = exported(cast, notary)
    keep(10)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_too_young"):
        prune(cast, export, before=timezone.now() - timedelta(days=3651))
    with unchanged(refusals=1), pytest.raises(Conflict, match="pruning_nothing"):
        prune(cast, export, before=timezone.now() - timedelta(days=3654))


def test_how_long_it_is_kept_is_set_by_the_owner_with_an_entry(cast: Cast, notary: Notary) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE audits_retention_period SET years = 0")
    keep(10)
    call_command("keep_decision_log", "12", "--reason", "schedule 5")
    event = Event.objects.get(verb="retention.set")
    assert (event.detail, RetentionPeriod.objects.get().years) == ({"before": 10, "years": 12}, 12)
    for years, reason in (("0", "r"), ("101", "r"), ("11", " ")):
        with pytest.raises(CommandError):
            call_command("keep_decision_log", years, "--reason", reason)
    assert RetentionPeriod.objects.get().years == 12
    assert Event.objects.filter(verb="retention.set", outcome="refused").count() == 3


@pytest.mark.parametrize("reason", ["", "  ", "x" * 4001])
def test_without_a_reason(cast: Cast, notary: Notary, reason: str) -> None:
    runs(cast, 1)
    export = exported(cast, notary)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        prune(cast, export, reason=reason)


def test_an_export_of_something_else(cast: Cast, notary: Notary) -> None:
    runs(cast, 2)
    notary.run_pass()
    unfit = [made(ask(cast, form="csv")), made(ask(cast, verb=RUN)), made(ask(cast, q="quality")), ask(cast)]
    notary.run_pass()
    for export in unfit:
        with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_incomplete"):
            prune(cast, export)
    with unchanged(refusals=0), pytest.raises(NotFound):
        prune_log(command=shell(cast), export_id=uuid7(), before=timezone.now(), reason="r")
    elsewhere = Command(system_actor("shell", cast.elsewhere.id))
    with unchanged(refusals=0), pytest.raises(NotFound):
        prune(cast, unfit[0], command=elsewhere)


def test_what_came_after_the_export_stays(cast: Cast, notary: Notary) -> None:
    old = runs(cast, 1)
    export = exported(cast, notary)
    later = runs(cast, 1)
    notary.run_pass()
    prune(cast, export)
    assert not Event.objects.filter(id=old[0].id).exists()
    assert Event.objects.filter(id=later[0].id).exists()
    with unchanged(refusals=1), pytest.raises(Conflict, match="pruning_nothing"):
        prune(cast, export)


def test_an_export_that_does_not_verify(cast: Cast, notary: Notary, settings: Any) -> None:
    runs(cast, 2)
    export = exported(cast, notary)
    path = Path(blobs._storage().path(blobs.name_of(export.workspace_id, export.blob_digest)))
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole.replace(b"check_run.completed", b"check_run.cxmpleted", 1))
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_unverified"):
        prune(cast, export)
    path.write_bytes(whole)
    key = Path(settings.CRIVO_PUBLISH) / "vkey"
    text = key.read_text()
    key.write_text("other+00000000+AAAA\n")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_unverified"):
        prune(cast, export)
    key.write_text(text)
    path.unlink()
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="pruning_export_unverified"):
        prune(cast, export)


@pytest.mark.parametrize("how", ["wrote", "acted"])
def test_under_a_legal_hold(cast: Cast, notary: Notary, how: str) -> None:
    person = cast.people["bruno"].id
    if how == "wrote":
        runs(cast, 1, texts={"reason": "my words"}, texts_of=person)
    else:
        with transaction.atomic():
            from audits.ledger.record import record

            record(cast.command("bruno"), verb=RUN, subject=SubjectRef("check_run", uuid7(), "x"))
    export = exported(cast, notary)
    hold = erasure.place_hold(command=shell(cast), person=person, reason="case 12").value
    with unchanged(refusals=1), pytest.raises(Conflict, match="pruning_on_hold"):
        prune(cast, export)
    erasure.lift_hold(command=shell(cast), hold_id=hold.id, reason="closed")
    assert prune(cast, export).detail["count"] == 1


def test_a_row_that_was_changed_is_not_pruned_away(cast: Cast, notary: Notary) -> None:
    """Nobody loses the traces of a tamper by pruning them."""
    victim = runs(cast, 2)[0]
    export = exported(cast, notary)
    past_crivo(f"UPDATE audits_event SET subject_label = 'x' WHERE id = '{victim.id}'")
    with pytest.raises(Exception, match="entry_damaged"):
        prune(cast, export)
    assert not PrunedEvent.objects.exists()
    assert Event.objects.filter(id=victim.id).exists()


# --- no other way ------------------------------------------------------------------------------------------


def _told(cast: Cast, export: AuditExport, **more: Any) -> Event:
    detail = {
        "export": str(export.id), "export_digest": export.blob_digest, "before": timezone.now().isoformat(),
        "upto": export.log_size, "count": 1, "total": 1, "pruned": "0" * 64, "exports": [], **more,
    }  # fmt: skip
    return _recorded(cast, "audit.pruned", pruned.retention_ref(cast.workspace), detail=detail)


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


# --- exports after it --------------------------------------------------------------------------------------


def test_a_head_left_out_is_not_a_pruned_one(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    runs(cast, 3)
    prune(cast, exported(cast, notary))
    write(2, None, cast.workspace.id)
    notary.run_pass()
    folder = unpacked(made(ask(cast, verb=DATASET)), tmp_path / "export")
    assert verify_export(folder, vkey()).verified
    whole = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    told = next(line["index"] for line in lines(folder) if line["head"]["verb"] == "audit.pruned")
    for number, line in enumerate(lines(folder)):
        (folder / "events.jsonl").write_bytes(b"".join(whole[:number] + whole[number + 1 :]))
        report = verify_export(folder, vkey())
        code = "pruned_untold" if line["index"] == told else "pruned_differs"
        assert code in {problem.code for problem in report.problems}, number
    (folder / "events.jsonl").write_bytes(b"".join(whole))
    manifest = json.loads((folder / "export.json").read_text())
    from audits.verifier import canonical

    for wrong in ({"pruned": told - 1}, {"pruned": 10**6}):
        (folder / "export.json").write_bytes(canonical({**manifest, **wrong}) + b"\n")
        assert not verify_export(folder, vkey()).verified, wrong
    manifest.pop("pruned")
    (folder / "export.json").write_bytes(canonical(manifest) + b"\n")
    report = verify_export(folder, vkey())
    assert {"head_missing", "match_extra"} <= {problem.code for problem in report.problems}


def test_with_words_and_for_people(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    runs(cast, 3)
    event = prune(cast, exported(cast, notary))
    notary.run_pass()
    assert verify(made(ask(cast, q="quality")), tmp_path / "words").verified
    about = json.loads(files(made(ask(cast, form="csv")))["about.json"])
    assert about["stated"]["pruned"] == event.detail["exports"]
    assert RUN not in about["counts"]


def test_while_an_export_is_made(cast: Cast, notary: Notary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its event is published no later export can say what is absent."""
    runs(cast, 3)
    export = exported(cast, notary)
    prune(cast, export)
    for form in ("bundle", "csv"):
        failed = made(ask(cast, form=form))
        assert (failed.state, failed.error) == ("failed", {"code": "export_pruned_meanwhile", "params": {}})
    notary.run_pass()
    assert made(ask(cast)).state == "done"


# --- by command, and what is said --------------------------------------------------------------------------


def test_by_command(cast: Cast, notary: Notary, capsys: pytest.CaptureFixture[str]) -> None:
    runs(cast, 2)
    export = exported(cast, notary)
    before = timezone.now().isoformat()
    for wrong in (
        (str(uuid7()), "--before", before, "--reason", "r"),
        (str(export.id), "--before", "yesterday", "--reason", "r"),
        (str(export.id), "--before", "2026-01-01T00:00:00", "--reason", "r"),
        (str(export.id), "--before", before, "--reason", " "),
    ):
        with pytest.raises(CommandError):
            call_command("prune_log", *wrong)
    assert not PrunedEvent.objects.exists()
    call_command("prune_log", str(export.id), "--before", before, "--reason", "ten years")
    out = capsys.readouterr().out
    assert out.startswith("2 events from before ")
    assert str(export.id) in out
    assert export.blob_digest in out
    notary.run_pass()
    call_command("verify_ledger")
    out = capsys.readouterr().out
    assert "2 events were pruned, as the log says:" in out
    assert f"they are in the export {export.id}" in out


def test_notes_of_a_gap(cast: Cast, notary: Notary) -> None:
    subject = runs(cast, 1)[0]
    runs(cast, 2)
    export = exported(cast, notary)
    event = prune(cast, export)
    said = {
        "before": event.detail["before"], "export": str(export.id), "digest": export.blob_digest,
    }  # fmt: skip
    here = cast.workspace.id
    assert pruned.notes(here) == [Message("events_pruned", {"count": 3, **said})]
    assert pruned.notes(here, subject=("check_run", subject.subject_id)) == [
        Message("events_pruned", {"count": 1, **said})
    ]
    assert pruned.notes(here, since=timezone.now()) == []
    assert pruned.notes(cast.elsewhere.id) == []


def test_the_export_can_be_handed_out_as_a_folder(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    """What is missing from the database is in the export that is named: whole, with its words."""
    old = runs(cast, 1, texts={"reason": "porque sim"})[0]
    export = exported(cast, notary)
    prune(cast, export)
    folder = unpacked(export, tmp_path / "export")
    found = next(line for line in lines(folder) if line["head"]["subject"]["id"] == str(old.subject_id))
    assert found["texts"]["reason"]["text"] == "porque sim"
    shutil.rmtree(folder)


def test_going_on_after_an_incident(cast: Cast, published: Path, settings: Any, tmp_path: Path) -> None:
    """A new log takes over what is left of pruned events: numbers without a gap, and exports that verify."""
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    old = runs(cast, 3)
    prune(cast, exported(cast, notary))
    notary.run_pass()
    notary.release()
    settings.CRIVO_ORIGIN, settings.CRIVO_KEYS = "crivo.example/audit-2", str(tmp_path / "new-keys")
    make_keys()
    call_command("reopen_log", "--incident", "INC-9: drill")
    write_keys()
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    try:
        write(1, None, cast.workspace.id)
        notary.run_pass()
        assert set(Leaf.objects.values_list("event_id", flat=True)) >= {row.id for row in old}
        report = verified()
        assert (report.verified, report.pruned) == (True, 3), report.findings
        found = verify(made(ask(cast)), tmp_path / "later")
        assert (found.verified, found.pruned, found.origin) == (True, 3, "crivo.example/audit-2")
    finally:
        notary.release()


# --- where people look -------------------------------------------------------------------------------------


def test_the_api_says_what_was_pruned(cast: Cast, notary: Notary, client: Client) -> None:
    old = runs(cast, 2)
    export = exported(cast, notary)
    prune(cast, export)
    notary.run_pass()
    clara = cast.headers("clara")
    found = client.get("/api/v1/audit/events?verb=check_run.completed", headers=clara).json()
    assert found["results"] == []
    assert [
        (note["code"], note["params"]["export"], note["params"]["count"]) for note in found["pruned"]
    ] == [("events_pruned", str(export.id), 2)]
    assert export.blob_digest in found["pruned"][0]["text"]
    later = timezone.now().isoformat().replace("+00:00", "Z")
    assert client.get(f"/api/v1/audit/events?from={later}", headers=clara).json()["pruned"] == []
    proof = client.get(f"/api/v1/audit/proof/{old[0].id}", headers=clara)
    assert proof.status_code == 200
    verify_receipt(proof.content, _key())
    assert client.get(f"/api/v1/audit/proof/{old[0].id}", headers=cast.headers("davi")).status_code in (
        403,
        404,
    )

    state = client.get(f"/api/v1/audit/state?subject=check_run:{old[0].subject_id}", headers=clara).json()
    assert (state["events"], state["count"]) == ([], 0)
    assert [note["params"]["count"] for note in state["pruned"]] == [1]
    assert client.get(f"/api/v1/audit/state?subject=check_run:{uuid7()}", headers=clara).status_code == 404


def test_the_pages_say_what_was_pruned(cast: Cast, notary: Notary, client: Client) -> None:
    old = runs(cast, 2)
    export = exported(cast, notary)
    prune(cast, export)
    client.force_login(cast.people["clara"])
    for address in (
        "/admin/trail?verb=check_run.completed",
        f"/admin/trail/state?subject=check_run:{old[0].subject_id}",
    ):
        page = client.get(address, headers={"Accept-Language": "en"})
        assert page.status_code == 200
        assert str(export.id) in page.content.decode(), address
    with translation.override("en"):  # what a request activates stays active after it
        page = client.get("/admin/trail?verb=check_run.completed", headers={"Accept-Language": "pt-br"})
    assert "foram podados; estão na exportação" in page.content.decode()


def test_a_webhook_is_told_nothing_of_it_and_waits_for_nothing(
    cast: Cast, notary: Notary, client: Client
) -> None:
    from audits.models import Webhook, WebhookDelivery
    from audits.services import webhook_delivery

    old = runs(cast, 2)
    notary.run_pass()
    hook = Webhook.objects.create(
        workspace=cast.workspace, name="h", url="https://receiver.example/", cursor=0
    )
    for event, state in zip(old, ("pending", "delivered"), strict=True):
        WebhookDelivery.objects.create(
            webhook=hook, event=event, leaf_index=Leaf.objects.get(event=event).index, state=state,
            subject_kind=event.subject_kind, subject_id=event.subject_id, next_at=timezone.now(),
        )  # fmt: skip
    assert prune(cast, exported(cast, notary)).detail["count"] == 1
    assert Event.objects.filter(id=old[0].id).exists(), "somebody is still to be told of it"
    gone = WebhookDelivery.objects.get(event_id=old[1].id)
    gone.attempts = 1
    gone.save()
    WebhookDelivery.objects.filter(id=gone.id).update(state="pending")
    webhook_delivery.deliver(WebhookDelivery.objects.select_related("webhook").get(id=gone.id))
    gone.refresh_from_db()
    assert gone.state == "dead"
    assert gone.tries.get().error["code"] == "webhook_event_pruned"  # type: ignore[attr-defined]
