"""Pruning: what exports, commands, the API and the pages say of what is gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone, translation

from audits.checks.contract import Message
from audits.ids import uuid7
from audits.ledger import pruned
from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key, make_keys
from audits.models import Event, Leaf, PrunedEvent
from audits.verifier import verify_export, verify_receipt
from tests.audits.pruning import DATASET, RUN, exported, log_key, prune, runs, verify
from tests.audits.pruning import cast as cast
from tests.audits.pruning import nothing_is_too_young as nothing_is_too_young
from tests.audits.test_export_forms import files
from tests.audits.test_exports import ask, lines, made, unpacked, vkey
from tests.audits.trail import verified, write, write_keys
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


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
    verify_receipt(proof.content, log_key())
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
