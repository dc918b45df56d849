"""Exports from the request to the stand-alone verifier, and what happens to them on the way."""

from __future__ import annotations

import json
import tarfile
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audits import blobs
from audits.actors import Command, SubjectRef, system_actor
from audits.checks.contract import Message
from audits.errors import BadRequest, Conflict, Forbidden
from audits.ids import uuid7
from audits.ledger.notary import Notary
from audits.ledger.note import verify_checkpoint
from audits.ledger.receipts import EntryDamaged, receipt_for
from audits.ledger.rows import Reader
from audits.ledger.signing import checkpoint_key
from audits.models import AuditExport, Blob, Event, Leaf
from audits.services import export_bundle, export_table, exporting, exports
from audits.services.exports import claim, complete_export, fail_export, request_export
from audits.tasks import resend_waiting, run_export
from audits.trail import EXPORTED, TrailQuery
from audits.verifier import SignatureMismatchError, verify_export, verify_receipt
from benchmarks.fill import fill
from governance.client.unpack import unpack
from tests.audits.test_verification import rebuild
from tests.audits.trail import past_crivo, write
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def ask(cast: Cast, name: str = "clara", form: str = "bundle", **query: Any) -> AuditExport:
    wanted = TrailQuery.parse(query, EXPORTED)
    return request_export(command=cast.command(name), query=wanted, form=form).value


def made(export: AuditExport) -> AuditExport:
    run_export(str(export.id))
    export.refresh_from_db()
    return export


def unpacked(export: AuditExport, folder: Path) -> Path:
    assert export.state == "done", export.error
    with blobs.opened(export.workspace_id, export.blob_digest) as file:
        unpack(file, folder)
    return folder


def vkey() -> str:
    return str(checkpoint_key().vkey)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_from_the_request_to_the_verifier(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    write(5, None, cast.workspace.id, texts={"reason": "porque é seguro"})
    write(3, None, cast.elsewhere.id)
    export = ask(cast)
    assert (export.state, export.log_size) == ("queued", None)
    notary.run_pass()
    export = made(export)
    assert (export.state, export.attempts, export.error) == ("done", 1, None)
    folder = unpacked(export, tmp_path / "export")
    report = verify_export(folder, vkey())
    assert report.verified, report.problems
    assert report.completeness == "filtered"
    assert report.warnings == []
    mine = Event.objects.filter(workspace=cast.workspace, leaf__isnull=False)
    assert export.log_size == report.size == Leaf.objects.count()
    assert export.heads == export.matches == report.matches == mine.count()
    assert sum(export.counts.values()) == mine.count()
    assert export.counts["audit.exported"] == 1, "the export is itself in the trail"
    texts = [line["texts"]["reason"]["text"] for line in lines(folder) if "texts" in line]
    assert texts == ["porque é seguro"] * 5
    assert {line["head"]["workspace"] for line in lines(folder)} == {str(cast.workspace.id)}
    stated = json.loads((folder / "export.json").read_text())["stated"]
    assert stated["workspace"] == "default"
    assert stated["query"] == {}
    assert stated["requested_by"] == str(cast.people["clara"].id)
    finished = Event.objects.get(verb="audit.export_completed")
    assert finished.subject_id == export.id
    assert finished.after == export.blob_digest
    assert finished.evidence == [{"kind": "audit_export", "digest": export.blob_digest}]
    assert Blob.objects.get(digest=export.blob_digest).size == export.blob_size


def test_one_changed_byte_anywhere_is_caught(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    write(4, None, cast.workspace.id, texts={"reason": "sim"})
    export = ask(cast, verb="dataset.registered")
    notary.run_pass()
    folder = unpacked(made(export), tmp_path / "export")
    assert verify_export(folder, vkey()).verified
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == "vkey":
            continue
        data = path.read_bytes()
        for position in range(0, len(data), max(1, len(data) // 23)):
            if path.name == "export.json" and data.index(b'"stated"') <= position:
                continue  # said by the exporter, and marked as proved by nothing
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            try:
                caught = not verify_export(folder, vkey()).verified
            except Exception:  # unreadable is no verdict, and no success
                caught = True
            assert caught, (path.name, position)
        path.write_bytes(data)
    assert verify_export(folder, vkey()).verified


@pytest.mark.parametrize(
    "query",
    [
        {"verb": "dataset.registered"},
        {"verb": ["dataset.registered", "role.bound"]},
        {"outcome": "refused"},
        {"subject_kind": "role_binding"},
        {"from": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00+01:00"},
        {"from": "2020-01-01T00:00:00Z", "subject_kind": "dataset", "outcome": "done"},
    ],
)
def test_a_filter_finds_what_the_database_finds(
    cast: Cast, notary: Notary, tmp_path: Path, query: dict[str, Any]
) -> None:
    write(3, None, cast.workspace.id)
    with pytest.raises(Forbidden):
        ask(cast, "bruno")
    export = ask(cast, **query)
    notary.run_pass()
    folder = unpacked(made(export), tmp_path / "export")
    report = verify_export(folder, vkey())
    assert report.verified, report.problems
    found = TrailQuery.parse(query).apply(
        Event.objects.filter(workspace=cast.workspace, leaf__index__lt=report.size)
    )
    assert {line["index"] for line in lines(folder) if "rest" in line} == set(
        found.values_list("leaf__index", flat=True)
    )
    assert (report.matches, export.matches) == (found.count(), found.count())


@pytest.mark.parametrize("field", ["actor", "subject_id", "correlation_id", "request_id"])
def test_a_filter_by_id(cast: Cast, notary: Notary, tmp_path: Path, field: str) -> None:
    event = write(3, None, cast.workspace.id)[1]
    wanted = getattr(event, "actor_id" if field == "actor" else field)
    export = ask(cast, **{field: str(wanted)})
    notary.run_pass()
    report = verify_export(unpacked(made(export), tmp_path / "export"), vkey())
    assert report.verified
    name = "actor_id" if field == "actor" else field
    found = Event.objects.filter(workspace=cast.workspace, leaf__isnull=False, **{name: wanted}).count()
    assert report.matches == found > 0


def test_a_dropped_match_is_caught(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    write(5, None, cast.workspace.id)
    export = ask(cast, verb="dataset.registered")
    notary.run_pass()
    folder = unpacked(made(export), tmp_path / "export")
    kept = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    victim = next(number for number, line in enumerate(kept) if b'"rest"' in line)
    (folder / "events.jsonl").write_bytes(b"".join(kept[:victim] + kept[victim + 1 :]))
    report = verify_export(folder, vkey())
    assert "head_missing" in {problem.code for problem in report.problems}


@pytest.mark.parametrize(
    "given",
    [
        {"verb": "no.such_verb"},
        {"verb": 3},
        {"verb": [None]},
        {"verb": {"a": 1}},
        {"outcome": "maybe"},
        {"actor": "ana"},
        {"actor": 7},
        {"subject_id": ["x"]},
        {"subject_kind": ""},
        {"subject_kind": "x" * 61},
        {"from": "yesterday"},
        {"from": "2026-01-01T00:00:00"},
        {"to": 5},
        {"to": "9999-12-31T23:59:59-23:00"},
        {"where": "1=1"},
    ],
)
def test_a_query_that_means_nothing(db: None, given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        TrailQuery.parse(given)


def test_a_query_reads_back_as_written() -> None:
    given = {
        "verb": ["audit.exported"],
        "outcome": "done",
        "actor": str(uuid7()),
        "subject_kind": "dataset",
        "from": "2026-01-01T00:00:00.000000Z",
    }
    assert TrailQuery.parse(given).as_json() == given
    assert TrailQuery.parse(given).as_filter()["actor"] == [{"id": given["actor"]}]


# --- who may, and once only --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bruno", "bia", "ana", "rita", "pipeline"])
def test_who_is_no_auditor_exports_nothing(cast: Cast, name: str) -> None:
    cast.actor(name)
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        ask(cast, name)
    refused = Event.objects.get(outcome="refused")
    assert (refused.verb, refused.subject_id) == ("audit.exported", cast.workspace.id)


def test_nothing_is_published_yet(cast: Cast, published: Path) -> None:
    export = made(ask(cast))
    assert (export.state, export.error) == ("failed", {"code": "nothing_published", "params": {}})
    assert Event.objects.get(verb="audit.export_failed").reason["code"] == "nothing_published"


def test_a_message_delivered_twice_is_done_once(cast: Cast, notary: Notary) -> None:
    export = ask(cast)
    notary.run_pass()
    made(export)
    digest = export.blob_digest
    notary.run_pass()
    made(export)
    assert (export.blob_digest, export.attempts) == (digest, 1)
    assert Event.objects.filter(verb="audit.export_completed").count() == 1
    assert claim(export.id) is None


def test_a_lease_keeps_others_away_until_it_ends(cast: Cast, notary: Notary) -> None:
    export = ask(cast)
    notary.run_pass()
    first = claim(export.id)
    assert first is not None
    assert claim(export.id) is None
    assert exporting.run_export(export.id) is None
    AuditExport.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert claim(export.id) is not None, "a second worker is at it now"
    command = Command(system_actor("worker", export.workspace_id))
    why = Message("nothing_published")
    with unchanged(refusals=0), pytest.raises(Conflict, match="export_taken_over"):
        fail_export(command=command, export_id=export.id, fence=first.fence, why=why)
    AuditExport.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert made(export).state == "done"
    with pytest.raises(Conflict, match="export_taken_over"):
        exports.renew(first, 1, 2)
    with pytest.raises(Conflict, match="export_taken_over"):
        complete_export(
            command=command, export_id=export.id, fence=first.fence, stored=blobs.Stored("", 0), manifest={}
        )
    export.refresh_from_db()
    assert (export.state, export.fence) == ("done", 3)


def test_a_worker_that_was_overtaken_writes_nothing(
    cast: Cast, notary: Notary, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(30, None, cast.workspace.id)
    export = ask(cast)
    notary.run_pass()
    monkeypatch.setattr(exporting, "RENEW_SECONDS", -1.0)
    real = Reader.read

    def overtaken(self: Reader, start: int, stop: int) -> Any:
        AuditExport.objects.filter(id=export.id).update(lease_until=timezone.now() - timedelta(1))
        assert claim(export.id) is not None
        return real(self, start, stop)

    monkeypatch.setattr(Reader, "read", overtaken)
    assert exporting.run_export(export.id) is None
    export.refresh_from_db()
    assert (export.state, export.fence, export.blob_digest) == ("running", 2, "")


def test_an_export_whose_workers_die_is_given_up(cast: Cast, notary: Notary) -> None:
    export = ask(cast)
    notary.run_pass()
    for _ in range(exports.MAX_ATTEMPTS):
        assert claim(export.id) is not None
        AuditExport.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    export = made(export)
    assert (export.state, export.error) == (
        "failed",
        {"code": "export_killed_workers", "params": {"attempts": 3}},
    )


def test_the_sweep_sends_what_was_lost(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr("audits.dispatch.send", lambda *what, **_: bool(sent.append(what)) or True)
    export = ask(cast)
    assert sent == [("audits.tasks.run_export", str(export.id))]
    resend_waiting()
    assert len(sent) == 1, "not at once"
    AuditExport.objects.update(sent_at=timezone.now() - timedelta(seconds=21))
    resend_waiting()
    resend_waiting()
    assert sent == [("audits.tasks.run_export", str(export.id))] * 2


# --- tampering ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audits_event SET verb = 'model.registered' WHERE id = '{e}'",
        "UPDATE audits_event SET head_salt = 'zz' WHERE id = '{e}'",
        "DELETE FROM audits_event WHERE id = '{e}'",
        "UPDATE audits_leaf SET hash = sha256('x') WHERE event_id = '{e}'",
    ],
)
def test_no_export_is_made_of_a_changed_row(cast: Cast, notary: Notary, statement: str) -> None:
    event = write(3, None, cast.workspace.id)[1]
    export = ask(cast)
    notary.run_pass()
    past_crivo(statement.format(e=event.id))
    export = made(export)
    assert (export.state, export.blob_digest) == ("failed", "")
    index = Leaf.objects.get(event_id=event.id).index
    assert export.error == {"code": "entry_damaged", "params": {"index": index, "event": str(event.id)}}


def test_no_export_is_made_of_leaves_that_were_moved(cast: Cast, notary: Notary) -> None:
    write(3, None, cast.workspace.id)
    export = ask(cast)
    notary.run_pass()
    past_crivo(
        "UPDATE audits_leaf SET index = 1000 WHERE index = 1",
        "UPDATE audits_leaf SET index = 1 WHERE index = 2",
        "UPDATE audits_leaf SET index = 2 WHERE index = 1000",
    )
    assert made(export).error == {"code": "ledger_diverged", "params": {}}


FORGERIES = {
    "reordered": lambda order: [*order[:-2], order[-1], order[-2]],
    "one put off": lambda order: [*order[:-3], *order[-2:]],
    "the whole history replaced": lambda order: order[3:],
}


@pytest.mark.parametrize("kind", list(FORGERIES))
def test_a_fresh_export_of_a_forged_log_is_caught_by_an_earlier_checkpoint(
    cast: Cast, published: Path, tmp_path: Path, kind: str
) -> None:
    """The forger owns the database, the folder and the notary: only a copy somebody else kept tells."""
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    write(6, SubjectRef("dataset", uuid7(), "p"), cast.workspace.id)
    notary.run_pass()
    kept = (published / "checkpoint").read_bytes()
    size = verify_checkpoint(kept, checkpoint_key().vkey).size
    notary.release()
    rebuild(FORGERIES[kind](list(range(size))))
    for path in [published / "checkpoint", *(published / "checkpoints").iterdir()]:
        path.unlink()
    write(8, None, cast.workspace.id)
    export = ask(cast)
    assert notary.acquire()
    notary.run_pass()
    notary.release()
    folder = unpacked(made(export), tmp_path / "export")
    alone = {problem.code for problem in verify_export(folder, vkey()).problems}
    assert alone <= {"seq_missing", "previous_differs", "seq_repeated"}, "its tree and signature are in order"
    report = verify_export(folder, vkey(), kept)
    assert "history_differs" in {problem.code for problem in report.problems}, report.problems


def test_an_honest_log_agrees_with_every_checkpoint_kept(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    for _ in range(4):
        write(3, None, cast.workspace.id)
        notary.run_pass()
    folder = unpacked(made(ask(cast)), tmp_path / "export")
    kept = sorted((Path(notary.publication.folder) / "checkpoints").iterdir())
    assert len(kept) == 4
    for path in kept:
        assert verify_export(folder, vkey(), path.read_bytes()).verified


# --- receipts ----------------------------------------------------------------------------------------------


def test_receipts_verify_for_every_event_and_no_other(notary: Notary) -> None:
    events = write(11)
    assert receipt_for(events[0].id) is None, "not sequenced yet"
    notary.run_pass()
    later = write(1)[0]
    assert receipt_for(later.id) is None
    assert receipt_for(uuid7()) is None
    key = checkpoint_key().vkey
    texts = {event.id: receipt_for(event.id) for event in events}
    for position, event in enumerate(events):
        text = texts[event.id]
        assert text is not None
        receipt, checkpoint = verify_receipt(text.encode(), key)
        assert (receipt.index, checkpoint.size) == (position, 11)
        assert json.loads(receipt.extra or b"")["event_id"] == str(event.id)
        other = texts[events[position - 1].id]
        assert other is not None
        with pytest.raises(SignatureMismatchError):
            verify_receipt(text.encode(), key, verify_receipt(other.encode(), key)[0].extra)


def test_a_receipt_costs_four_queries_at_any_size(notary: Notary, django_assert_num_queries: Any) -> None:
    events = write(70)
    notary.run_pass()
    with django_assert_num_queries(3):
        assert receipt_for(events[13].id)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audits_event SET verb = 'model.registered' WHERE id = '{e}'",
        "UPDATE audits_leaf SET hash = sha256('x') WHERE event_id = '{e}'",
        "UPDATE audits_node SET hash = sha256('x') WHERE level = 1",
        "DELETE FROM audits_node WHERE level = 1",
    ],
)
def test_no_receipt_that_would_not_verify(notary: Notary, statement: str) -> None:
    event = write(5)[0]
    notary.run_pass()
    past_crivo(statement.format(e=event.id))
    with pytest.raises(EntryDamaged):
        receipt_for(event.id)


def test_memory_does_not_grow_with_the_log(
    cast: Cast, notary: Notary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four times the events, the same peak: nothing but the chunk is held."""
    monkeypatch.setattr(export_bundle, "CHUNK", 256)
    monkeypatch.setattr(export_table, "CHUNK", 256)
    peaks: dict[str, list[int]] = {}
    for count in (1_000, 3_000):
        fill(count, cast.workspace, subjects=50)
        notary.run_pass()
        for form in ("bundle", "csv"):
            export = ask(cast, form=form)
            tracemalloc.start()
            assert made(export).state == "done", export.error
            peaks.setdefault(form, []).append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    for small, large in peaks.values():
        assert large < small * 1.3, peaks


@pytest.mark.parametrize("form", ["bundle", "csv", "jsonl"])
def test_how_far_it_is_can_be_seen(
    cast: Cast, notary: Notary, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    for module in (export_bundle, export_table):
        monkeypatch.setattr(module, "CHUNK", 256)
    monkeypatch.setattr(exporting, "RENEW_SECONDS", -1.0)
    fill(1_000, cast.workspace, subjects=20)
    notary.run_pass()
    export, seen, real = ask(cast, form=form), [], exporting.renew

    def spied(*arguments: Any) -> None:
        real(*arguments)
        row = AuditExport.objects.get(id=export.id)
        seen.append((row.done_entries, row.log_size))

    monkeypatch.setattr(exporting, "renew", spied)
    size = made(export).log_size
    assert size is not None
    assert seen == [(min(done, size), size) for done in range(256, size + 256, 256)]


def test_the_tar_is_the_same_for_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "tile" / "0").mkdir(parents=True)
    (tmp_path / "a" / "vkey").write_text("k")
    (tmp_path / "a" / "tile" / "0" / "000").write_bytes(b"x" * 999)
    exporting.pack(tmp_path / "a", tmp_path / "1.tar")
    exporting.pack(tmp_path / "a", tmp_path / "2.tar")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    with tarfile.open(tmp_path / "1.tar") as tar:
        assert tar.getnames() == ["tile/0/000", "vkey"]
