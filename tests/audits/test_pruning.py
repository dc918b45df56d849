"""Pruning: what goes, what stays, and every proof that holds as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from audits import retention
from audits.actors import Command, SubjectRef, system_actor
from audits.ids import uuid7
from audits.ledger import pruned
from audits.ledger.notary import Notary
from audits.ledger.receipts import receipt_for
from audits.models import DecisionLogVerb, Event, EventText, Leaf, PrunedEvent, SearchText
from audits.services import comparison
from audits.verbs import all_verbs
from audits.verifier import verify_export, verify_receipt
from tests.audits.pruning import DATASET, RUN, exported, log_key, prune, runs, verify
from tests.audits.pruning import cast as cast
from tests.audits.pruning import nothing_is_too_young as nothing_is_too_young
from tests.audits.test_exports import ask, made, unpacked, vkey
from tests.audits.trail import verified, write
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


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
        receipt, _ = verify_receipt(str(receipt_for(row.id)).encode(), log_key())
        before, _ = verify_receipt(str(receipts[row.id]).encode(), log_key())
        assert (receipt.index, receipt.extra) == (before.index, before.extra)

    later = made(ask(cast))
    folder = unpacked(later, tmp_path / "later")
    found = verify_export(folder, vkey(), earlier)
    assert found.verified, found.problems
    assert (found.pruned, found.pruned_to) == (5, event.detail["exports"])
    stated = json.loads((folder / "export.json").read_text())["stated"]
    assert stated["pruned"] == event.detail["exports"]
    assert verify(export, tmp_path / "export").verified, "what was exported before is as good as it was"


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
