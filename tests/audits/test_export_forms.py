"""Exports for people, words, samples, and workers killed on the way."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from audits import blobs, verbs
from audits.actors import SubjectRef
from audits.checks.contract import Message
from audits.errors import BadRequest, Unprocessable
from audits.ids import uuid7
from audits.ledger.entry import body_of
from audits.ledger.notary import Notary
from audits.ledger.receipts import EntryDamaged
from audits.ledger.rows import Reader, line_of
from audits.ledger.tiles import Disclosure, event_line
from audits.models import AuditExport, Event, Leaf
from audits.services import export_bundle, export_table, export_work, exporting
from audits.services.export_table import cell
from audits.services.exports import claim, request_export
from audits.trail import EXPORTED, TrailQuery
from audits.verifier import sampled, verify_export
from benchmarks.fill import fill
from tests.audits.test_exports import lines, made, unpacked, vkey
from tests.audits.test_notary_crashes import ROOT, environment, eventually
from tests.audits.trail import write
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def ask(
    cast: Cast, form: str = "bundle", language: str = "en", time_zone: str = "UTC", **query: Any
) -> AuditExport:
    return request_export(
        command=cast.command("clara"),
        query=TrailQuery.parse(query, EXPORTED),
        form=form,
        language=language,
        time_zone=time_zone,
    ).value


def files(export: AuditExport) -> dict[str, bytes]:
    assert export.state == "done", export.error
    with blobs.opened(export.workspace_id, export.blob_digest) as file, zipfile.ZipFile(file) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def table(export: AuditExport) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files(export)["events.csv"].decode("utf-8-sig"))))


def odd_events(cast: Cast) -> list[Event]:
    """Everything an event can hold, in every spelling that a shortcut could stumble over."""
    told: list[dict[str, Any]] = [
        {"detail": {"ratio": 1e22, "tiny": 5e-324, "whole": 3.0, "large": 2**53 - 1, "n": -0.0, "e": 1.5e-7}},
        {"detail": {"text": "naïve ✓ 𝄞 \\ \t \n \r \x0b \x7f \u2028", "z𝄞": 1, "zé": [{}, [], None, True]}},
        {"reason": Message("invalid", {"reason": 'a "quoted" \\N \\. one'})},
        {"texts": {"reason": "porque \\ «sim»\n\t", "comment": "=1+1"}},
        {
            "policy": {"id": "p\\", "version": 1, "digest": "d"},
            "evidence": [{"kind": "a", "digest": "b"}] * 2,
        },
        {"outcome": "refused", "before": "sha256:" + "1" * 64, "after": "sha256:" + "2" * 64},
        {},
    ]
    events = []
    for number, more in enumerate(told):
        subject = SubjectRef(
            "dataset", uuid7(), f"=cmd|' /C calc'!A{number}\\\t", "sha256:" + "0" * 64 if number % 2 else ""
        )
        events += write(2, subject, cast.workspace.id, **more)
    return events


def test_the_quick_reader_says_what_the_slow_one_says(
    cast: Cast, notary: Notary, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_events(cast)
    fill(40, cast.workspace, subjects=7)
    notary.run_pass()
    slow: list[int] = []
    real = Reader._slowly

    def counted(self: Reader, index: int, *more: Any) -> Any:
        slow.append(index)
        return real(self, index, *more)

    monkeypatch.setattr(Reader, "_slowly", counted)
    leaves = list(Leaf.objects.select_related("event__workspace").order_by("index"))
    entries = list(Reader().read(0, len(leaves)))
    assert len(entries) == len(leaves) > 50
    for leaf, entry in zip(leaves, entries, strict=True):
        event = leaf.event
        body = body_of(event, event.workspace.salt)
        assert (entry.place, entry.hash, entry.envelope) == (leaf.index, bytes(leaf.hash), body.envelope)
        assert (entry.head, entry.rest, entry.has_texts) == (body.head, body.rest, bool(event.texts))
        told = Disclosure(
            head=body.head, head_salt=bytes.fromhex(event.head_salt), subject_salt=bytes.fromhex(event.subject_salt),
            workspace_salt=bytes.fromhex(event.workspace.salt), rest=body.rest,
            rest_salt=bytes.fromhex(event.rest_salt), texts={"a": ("é\n", b"0" * 16)},
        )  # fmt: skip
        assert line_of(entry, False) == event_line(entry.place, told, with_rest=False)
        assert line_of(entry, True, dict(told.texts)) == event_line(entry.place, told, with_rest=True)
    assert slow == [], "the shortcut was taken everywhere"
    with pytest.raises(EntryDamaged):
        list(Reader().read(0, len(leaves) + 1))


# --- for people --------------------------------------------------------------------------------------------


def test_a_table_for_spreadsheets(cast: Cast, notary: Notary) -> None:
    events = odd_events(cast)
    write(2, None, cast.elsewhere.id)
    export = ask(cast, "csv", "pt-br", "America/Sao_Paulo", subject_kind="dataset")
    notary.run_pass()
    export = made(export)
    rows = table(export)
    assert [row["event_id"] for row in rows] == [
        str(found)
        for found in Event.objects.filter(workspace=cast.workspace, subject_kind="dataset")
        .order_by("leaf__index")
        .values_list("id", flat=True)
    ]
    assert len(rows) == len(events) == export.matches
    for row in rows:
        assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row.values())
        assert row["subject"].startswith("'=cmd"), "shown, but not run"
        assert row["at"].endswith("-03:00")
        at = Event.objects.get(id=row["event_id"]).at
        assert datetime.fromisoformat(row["at"]) == at
    with translation.override("pt-br"):
        told = str(verbs.all_verbs()["dataset.registered"]).split("}")[1].split("{")[0].strip()
    assert told in rows[0]["sentence"]
    about = json.loads(files(export)["about.json"])
    assert about["log"]["size"] == export.log_size == Leaf.objects.count()
    assert about["counts"] == export.counts == {"dataset.registered": len(events)}
    stated = about["stated"]
    assert (stated["time_zone"], stated["language"], stated["form"]) == ("America/Sao_Paulo", "pt-br", "csv")
    assert stated["query"] == {"subject_kind": "dataset"}
    assert Event.objects.get(verb="audit.exported").detail["form"] == "csv"
    assert Event.objects.get(verb="audit.export_completed").detail["counts"] == export.counts


def test_lines_for_programs(cast: Cast, notary: Notary) -> None:
    odd_events(cast)
    export = ask(cast, "jsonl", outcome="refused")
    notary.run_pass()
    told = [json.loads(line) for line in files(made(export))["events.jsonl"].splitlines()]
    assert [row["outcome"] for row in told] == ["refused"] * 2
    everything = ask(cast, "jsonl")
    notary.run_pass()
    told = [json.loads(line) for line in files(made(everything))["events.jsonl"].decode().split("\n") if line]
    words = [row["words"] for row in told if row["words"]]
    assert words == [{"reason": "porque \\ «sim»\n\t", "comment": "=1+1"}] * 2
    assert (
        len(told)
        == Event.objects.filter(workspace=cast.workspace, leaf__isnull=False).count()
        == everything.matches
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert cell(f"{start}1+1") == f"'{start}1+1"
    assert cell(-1) == "'-1"
    assert cell(f"a{start}") == f"a{start}"


@pytest.mark.parametrize(
    "wrong",
    [{"form": "xls"}, {"time_zone": "Mars/Olympus"}, {"time_zone": "../etc/passwd"}, {"language": "tlh"}],
)
def test_what_there_is_not(cast: Cast, wrong: dict[str, str]) -> None:
    kind = Unprocessable if "time_zone" in wrong else BadRequest
    with pytest.raises(kind):
        request_export(command=cast.command("clara"), query=TrailQuery(), **wrong)
    assert not AuditExport.objects.exists()


def test_over_the_api(cast: Cast, notary: Notary, client: Client) -> None:
    body = {"form": "csv", "language": "pt-br", "time_zone": "America/Sao_Paulo", "filter": {"q": "pipeline"}}
    answer = client.post("/api/v1/audit/exports", body, "application/json", headers=cast.headers("clara"))
    assert answer.status_code == 202, answer.content
    told = answer.json()
    assert (told["form"], told["language"], told["filter"]) == ("csv", "pt-br", {"q": "pipeline"})
    notary.run_pass()
    assert made(AuditExport.objects.get(id=told["id"])).state == "done"
    found = client.get(f"/api/v1/audit/exports/{told['id']}/content", headers=cast.headers("clara"))
    assert (found["Content-Type"], found["Content-Disposition"].endswith('.zip"')) == (
        "application/zip",
        True,
    )
    assert zipfile.ZipFile(io.BytesIO(b"".join(found.streaming_content))).namelist() == [
        "about.json",
        "events.csv",
    ]  # type: ignore[attr-defined]
    for wrong in ({"form": 3}, {"form": "xls"}, {"filter": {"sample": 3}}, {"pages": "all"}):
        answer = client.post(
            "/api/v1/audit/exports", wrong, "application/json", headers=cast.headers("clara")
        )
        assert answer.status_code == 400, wrong


# --- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "language", "count"),
    [
        ("patients", "en", 3),
        ("PATIENTS registered", "en", 3),
        ("registrou patients", "pt-br", 3),
        ("registrou", "en", 0),
        ("urgente", "en", 1),
        ("shell patients", "en", 3),
        ("patients nobody", "en", 0),
        ("100%", "en", 0),
        ("_atients", "en", 0),
    ],
)
def test_words_of_the_sentence(cast: Cast, words: str, language: str, count: int) -> None:
    write(2, None, cast.workspace.id)
    write(1, None, cast.workspace.id, texts={"reason": "muito Urgente"})
    with translation.override(language):
        wanted = TrailQuery.parse({"q": words, "subject_kind": "dataset"})
        found = wanted.apply(Event.objects.filter(workspace=cast.workspace), cast.workspace.id)
        assert found.count() == count
    assert TrailQuery.parse(wanted.as_json()) == wanted


@pytest.mark.parametrize("column", ["id", "subject_id", "actor_id", "request_id", "correlation_id"])
def test_a_word_that_is_an_id(cast: Cast, column: str) -> None:
    event = write(1, None, cast.workspace.id)[0]
    wanted = TrailQuery.parse({"q": str(getattr(event, column))})
    assert event in wanted.apply(Event.objects.all())


@pytest.mark.parametrize("q", ["", " ", "a b c d e f g h i", "x" * 201, 3, "a\0"])
def test_words_that_cannot_be_asked(db: None, q: Any) -> None:
    with pytest.raises(BadRequest):
        TrailQuery.parse({"q": q})


def test_with_words_nothing_is_said_of_completeness(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    write(3, None, cast.workspace.id)
    write(1, None, cast.workspace.id, texts={"reason": "urgente"})
    export = ask(cast, q="urgente")
    notary.run_pass()
    folder = unpacked(made(export), tmp_path / "export")
    report = verify_export(folder, vkey())
    assert (report.verified, report.completeness, report.matches, report.heads) == (True, "none", 1, 1)
    assert "COMPLETENESS: NONE" in report.warnings[0]
    assert lines(folder)[0]["texts"]["reason"]["text"] == "urgente"


# --- samples -----------------------------------------------------------------------------------------------


def test_a_sample_can_be_taken_again(cast: Cast, notary: Notary, tmp_path: Path) -> None:
    write(40, None, cast.workspace.id)
    sample = {"per_million": 300_000, "seed": "auditoria-2026"}
    exports = [ask(cast, form, sample=sample) for form in ("bundle", "csv", "bundle")]
    unseeded = ask(cast, sample={"per_million": 300_000})
    notary.run_pass()
    found = []
    for number, export in enumerate(exports):
        made(export)
        if export.form == "csv":
            found.append({int(row["index"]) for row in table(export)})
        else:
            folder = unpacked(export, tmp_path / str(number))
            assert verify_export(folder, vkey()).verified
            found.append({line["index"] for line in lines(folder) if "rest" in line})
    size = exports[0].log_size or 0
    mine = set(Event.objects.filter(workspace=cast.workspace).values_list("leaf__index", flat=True))
    wanted = {index for index in range(size) if index in mine and sampled("auditoria-2026", 300_000, index)}
    assert found == [wanted] * 3
    assert 0 < len(wanted) < size
    assert len(unseeded.query["sample"]["seed"]) == 16, "it was drawn, and is told"
    made(unseeded)
    folder = unpacked(unseeded, tmp_path / "unseeded")
    assert json.loads((folder / "export.json").read_text())["filter"]["sample"] == unseeded.query["sample"]


@pytest.mark.parametrize(
    "sample", [3, {}, {"per_million": 0}, {"per_million": 1.5}, {"per_million": True}, {"per_million": 10**6 + 1},
               {"per_million": 1, "seed": ""}, {"per_million": 1, "seed": "a b"}, {"per_million": 1, "rate": 2}],
)  # fmt: skip
def test_samples_that_cannot_be(db: None, sample: Any) -> None:
    with pytest.raises(BadRequest):
        TrailQuery.parse({"sample": sample}, EXPORTED)


# --- killed on the way -------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing may catch this, as nothing can catch SIGKILL."""


@pytest.mark.parametrize("form", ["bundle", "csv", "jsonl"])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_the_next_worker_goes_on(
    cast: Cast, notary: Notary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str, at: int
) -> None:
    """Killed in the chunk after `at` others: what was saved is not done again, and the bytes come out the same."""
    for module in (export_bundle, export_table):
        monkeypatch.setattr(module, "CHUNK", 256)
        monkeypatch.setattr(module, "SAVED", 1)
    fill(1_100, cast.workspace, subjects=20)
    notary.run_pass()
    export, whole = ask(cast, form), ask(cast, form)
    made(whole)
    asked: list[int] = []
    module, name = (export_bundle, "_texts") if form == "bundle" else (export_table, "_rows")
    real = getattr(module, name)

    def dies(*arguments: Any) -> Any:
        asked.append(1)
        if len(asked) == at + 1:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(module, name, dies)
    with pytest.raises(Killed):
        exporting.run_export(export.id)
    notary.run_pass()  # the log has grown meanwhile; the export is of the log it was begun with
    AuditExport.objects.filter(id=export.id).update(lease_until=timezone.now() - timedelta(seconds=1))
    asked.clear()
    asked.extend([0] * 100)
    done = made(export)
    chunks = -(-(whole.log_size or 0) // 256)
    assert len(asked) - 100 == chunks - at, "only what was not saved is done again"
    assert (done.state, done.attempts) == ("done", 2)
    if at:
        assert (done.log_size, done.counts, done.matches) == (whole.log_size, whole.counts, whole.matches)
    if form == "bundle":
        report = verify_export(unpacked(done, tmp_path / "export"), vkey())
        assert report.verified, report.problems
        ours, theirs = unpacked(done, tmp_path / "a"), unpacked(whole, tmp_path / "b")
        if at:
            assert (ours / "events.jsonl").read_bytes() == (theirs / "events.jsonl").read_bytes()
    elif at:
        ours, theirs = files(done), files(whole)
        assert {k: v for k, v in ours.items() if k != "about.json"} == {
            k: v for k, v in theirs.items() if k != "about.json"
        }
    assert not list(Path(blobs._storage().path("exports")).glob(str(export.id)))


def test_a_worker_that_is_still_at_it_is_not_disturbed(cast: Cast, notary: Notary) -> None:
    """Its successor, who thinks it dead, works in a folder of its own."""
    export = ask(cast)
    notary.run_pass()
    with export_work.work_for(export.id) as first, export_work.work_for(export.id) as second:
        assert first.root != second.root


def test_a_real_worker_killed(cast: Cast, notary: Notary, published: Path, tmp_path: Path) -> None:
    """SIGKILL of the process that makes an export, again and again: the last one finishes it."""
    fill(6_000, cast.workspace, subjects=20)
    notary.run_pass()
    export = ask(cast)
    program = (
        "import django, sys; django.setup(); from audits.services import exporting, export_bundle as b; "
        "b.CHUNK, b.SAVED = 256, 1; real = b._texts; import time; "
        "b._texts = lambda entries: (time.sleep(0.05), real(entries))[1]; "
        f"exporting.run_export('{export.id}')"
    )
    env = {
        **environment(published),
        "DJANGO_SETTINGS_MODULE": "governance.settings",
        "CRIVO_BLOB_OPTIONS": json.dumps({"location": str(blobs._storage().path(""))}),
    }
    saved = Path(blobs._storage().path("exports")) / str(export.id) / "progress.json"
    starts = []
    for _ in range(2):
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        worker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env)
        try:
            assert eventually(lambda before=before: saved.exists() and saved.stat().st_mtime_ns > before)  # type: ignore[misc]
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
        starts.append(json.loads(saved.read_text())["start"])
        AuditExport.objects.filter(id=export.id).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert 0 < starts[0] < starts[1]
    done = made(export)
    assert (done.state, done.attempts) == ("done", 3)
    report = verify_export(unpacked(done, tmp_path / "export"), vkey())
    assert report.verified, report.problems
    assert report.matches == Counter(done.counts).total() > 6_000


def test_folders_of_what_is_finished_go(cast: Cast, notary: Notary) -> None:
    home = Path(blobs._storage().path("exports"))
    open_one, gone = ask(cast), uuid7()
    for name in (open_one.id, gone):
        (home / str(name)).mkdir(parents=True)
        os.utime(home / str(name), (time.time() - 10**6,) * 2)
    (home / "not-ours").mkdir()
    assert export_work.forget_finished() == 1
    assert (home / str(open_one.id)).exists()
    assert claim(open_one.id) is not None
    (home / "not-ours").rmdir()
