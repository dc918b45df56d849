"""`crivo audit` and `crivo verify`: exports fetched, unpacked and verified, events searched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.client import verifying
from tests.client import answers
from tests.client.double import Double, answer, problem

PROJECT = Path(__file__).resolve().parents[2]
Run = Callable[..., Any]


def test_an_export_that_would_write_elsewhere(run: Run, double: Double, tmp_path: Path) -> None:
    from tests.client.test_unpack import archive

    export = {"id": answers.ID, "state": "done"}
    double.replies = [
        answer(202, {**export, "state": "queued"}),
        answer(200, export),
        answer(200, archive(("../evil", b"x")).getvalue()),
    ]
    ran = run("audit", "export", tmp_path / "in" / "export")
    assert ran.code == 3
    assert list(tmp_path.rglob("evil")) == []


def test_an_export_in_order(run: Run, double: Double, tmp_path: Path) -> None:
    from tests.client.test_unpack import archive

    double.replies = [
        answer(202, {"id": answers.ID, "state": "queued"}),
        answer(200, {"id": answers.ID, "state": "running"}),
        answer(200, {"id": answers.ID, "state": "done"}),
        answer(200, archive(("checkpoint", b"x")).getvalue()),
    ]
    ran = run("audit", "export", tmp_path / "export")
    assert ran.code == 0
    assert double.asked[0].json == {"filter": {}}
    assert (tmp_path / "export/checkpoint").read_bytes() == b"x"
    assert run("audit", "export", tmp_path / "export").code == 2


def test_an_export_that_failed(run: Run, double: Double, tmp_path: Path) -> None:
    failed = {"id": answers.ID, "state": "failed", "reason": answers.reason("x", "Entry 7 is not genuine.")}
    double.replies = [answer(202, failed), answer(200, failed)]
    ran = run("audit", "export", tmp_path / "export")
    assert (ran.code, "Entry 7 is not genuine." in ran.err) == (3, True)
    assert not (tmp_path / "export").exists()


def test_the_verifier_is_the_one_source() -> None:
    assert verifying.verifier_path() == PROJECT / "audits" / "verifier.py"


def test_a_missing_verifier_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    monkeypatch.setattr(verifying, "PLACES", (tmp_path / "none",))
    ran = run("verify", tmp_path)
    assert ran.code == 2
    assert "audits/verifier.py" in ran.err


def test_what_is_no_export_is_unreadable(run: Run, tmp_path: Path) -> None:
    assert run("verify", tmp_path).code == 2
    assert run("verify", tmp_path, "--json").code == 2


def test_what_is_not_found_because_it_was_pruned(run: Run, double: Double) -> None:
    note = answers.reason("events_pruned", "3 events from before 2016 were pruned; they are in the export e.")
    double.replies = [answer(200, {"next": None, "results": [], "pruned": [note]})]
    ran = run("audit", "events", "--limit", "5")
    assert (ran.code, "they are in the export e." in ran.out) == (0, True), ran.err
    assert len(double.asked) == 1


def test_events_are_searched_as_they_are_exported(run: Run, double: Double, tmp_path: Path) -> None:
    given = ["--verb", "promotion.refused", "--verb", "promotion.granted", "--outcome", "done",
             "--from", "2026-01-01T00:00:00Z"]  # fmt: skip
    double.replies = [answer(200, {"next": None, "results": []}), problem(403, "not_permitted")]
    assert run("audit", "events", *given, "--limit", "5").code == 0
    assert double.asked[0].path == (
        "/api/v1/audit/events?page_size=5&verb=promotion.refused&verb=promotion.granted&outcome=done"
        "&from=2026-01-01T00%3A00%3A00Z"
    )
    assert run("audit", "export", tmp_path / "export", *given).code == 1
    assert double.asked[1].json == {
        "filter": {
            "verb": ["promotion.refused", "promotion.granted"],
            "outcome": "done",
            "from": "2026-01-01T00:00:00Z",
        }
    }
