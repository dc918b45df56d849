"""A check on data of a zone divided among the zone's workers: what parts are told and count lies in the zone only."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pytest
from django.conf import settings
from sklearn.linear_model import LogisticRegression

from audits import dispatch
from audits.checks.contract import Message
from audits.confine import ConfinedOutcome
from audits.models import CheckPart, CheckRun, Event
from audits.services import check_parts, check_runs, confined, execution, mapping, part_store
from audits.services.check_runs import cancel_check_run
from audits.states import CheckPartState, CheckRunState
from tests.audits import test_check_parts as outside
from tests.audits.test_check_parts import CANARY, Child, patients
from tests.cast import Cast
from tests.governance.test_explanations import everything_kept

pytestmark = pytest.mark.django_db(transaction=True)
RARE = "Kanarienvogel"  # a level of three people


def people() -> pd.DataFrame:
    frame = patients()
    frame.loc[:2, "sex"] = RARE
    return frame


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    return outside.standing_in(monkeypatch)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    found: list[tuple[str, str, str | None]] = []

    def send(task: str, row: str, zone: str | None = None) -> bool:
        found.append((task, row, zone))
        return True

    monkeypatch.setattr(dispatch, "send", send)
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker of the zone `clinic`: the folder of its parts, beside that of its data."""
    monkeypatch.setattr(settings, "CRIVO_ZONES", ["clinic"])
    monkeypatch.setattr(settings, "CRIVO_ZONE", "clinic")
    monkeypatch.setattr(settings, "CRIVO_FILE_ROOTS", [str(tmp_path / "data")])
    monkeypatch.setattr(settings, "CRIVO_ZONE_PARTS", str(tmp_path / "parts"))
    (tmp_path / "data").mkdir()
    return tmp_path / "parts"


@pytest.fixture
def run(committed_cast: Cast, child: Child, place: Path) -> CheckRun:
    return ask(committed_cast, people(), place)


def ask(cast: Cast, frame: pd.DataFrame, place: Path) -> CheckRun:
    content = frame.to_parquet(index=False)
    path = place.parent / "data" / "patients.parquet"
    path.write_bytes(content)
    clean = patients()
    model = LogisticRegression(max_iter=500).fit(clean[["bmi", "age"]], clean.progression)
    return outside.ask(
        cast,
        content,
        model,
        in_zone={
            "zone": "clinic",
            "uri": f"file://{path}",
            "digest": f"sha256:{sha256(content).hexdigest()}",
            "columns": list(frame.columns),
        },
    )


def laid_out(run: CheckRun) -> list[CheckPart]:
    assert execution.run_check(run.id) is None
    return list(CheckPart.objects.order_by("index"))


def test_divided_in_its_zone_it_gives_what_its_one_pass_lets_out(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    rows = laid_out(run)
    assert [(row.state, row.rows, row.asked) for row in rows] == [("queued", 250, None)] * 3
    assert sent == [(check_parts.TASK, str(row.id), "clinic") for row in rows]
    assert {path.name for path in place.iterdir()} == {f"{row.id}.0.asked" for row in rows}
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
    sent.clear()
    first = check_parts.claim(rows[0].id)
    assert first is not None
    assert mapping._count(first)
    halfway = everything_kept()
    assert str(rows[0].id) in halfway
    assert [word for word in (CANARY, RARE) if word in halfway or word.encode().hex() in halfway] == []
    stored = part_store.get(CheckPart.objects.get(id=first.id), "clinic", part_store.COUNTED)
    assert stored["pairs"]["rows"] == 300, "what was counted is there"
    asked = check_parts.asked_of(first)
    assert asked is not None
    assert {CANARY, RARE} <= set(asked["survey"]["levels"]["sex"]), "or else this test would prove nothing"
    for path in place.iterdir():
        assert not any(word.encode() in path.read_bytes() for word in (CANARY, RARE))
    assert mapping.run_part(rows[1].id)
    assert child.asked.count("compute") == 3, "the worker that has the data goes on with the next part"
    assert sent == [(check_runs.RUN_TASK, str(run.id), "clinic")]
    finished = execution.run_check(run.id)
    assert finished is not None
    assert (finished.state, finished.run_environment["parts"]) == (CheckRunState.COMPLETED, 3)
    assert list(place.iterdir()) == []
    once, _ = execution.computed(run)
    assert check_runs.digest_of(once.to_json()) == finished.result_digest
    assert "kept_in_zone" in [note["code"] for note in finished.result["notes"]]
    kept = everything_kept()
    assert "demographic_parity_ratio" in kept, "the search reads results"
    assert [word for word in (CANARY, RARE) if word in kept or word in caplog.text] == []
    assert Event.objects.filter(verb="check_run.completed").count() == 1


def test_digests_of_counts_are_not_told(run: CheckRun, child: Child, place: Path, sent: list[Any]) -> None:
    """Few counts are possible: whoever has the digest of some would find them by trying."""
    part, *_ = laid_out(run)
    held = check_parts.claim(part.id)
    assert held is not None
    told = [part_store.put(held, "clinic", part_store.COUNTED, {"n": 3})["counted_digest"] for _ in range(2)]
    assert told[0] != told[1]


def test_the_errors_of_parts_do_not_quote(
    committed_cast: Cast, child: Child, place: Path, sent: list[Any]
) -> None:
    frame = people()
    frame["progression"] = frame.progression.astype(str)
    frame.loc[450, "progression"] = RARE
    run = ask(committed_cast, frame, place)
    second = laid_out(run)[1]
    assert mapping.run_part(second.id)
    second.refresh_from_db()
    assert second.error["code"] == "label_unknown_to_model"
    finished = execution.run_check(run.id)
    assert finished is not None
    assert finished.result["error"]["code"] == "label_unknown_to_model"
    assert RARE not in everything_kept()
    assert list(place.iterdir()) == []


def test_only_workers_of_the_zone_take_a_part(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, *_ = laid_out(run)
    for other in ("", "lab"):
        monkeypatch.setattr(settings, "CRIVO_ZONE", other)
        assert not mapping.run_part(first.id)
        first.refresh_from_db()
        assert (first.state, first.fence) == (CheckPartState.QUEUED, 0)
    CheckPart.objects.update(sent_at=None)
    sent.clear()
    check_parts.resend_waiting()
    assert {zone for _, _, zone in sent} == {"clinic"}


def test_a_cancelled_run_leaves_nothing_in_the_zone(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    committed_cast: Cast,
) -> None:
    first, second, _ = laid_out(run)
    held = check_parts.claim(first.id)
    assert held is not None
    assert mapping._count(held)
    monkeypatch.setattr(settings, "CRIVO_ZONE", "")  # cancelled from outside, where the folder is not
    cancel_check_run(command=committed_cast.command("ana"), run_id=run.id, reason="asked for by mistake")
    assert len(list(place.iterdir())) == 4
    monkeypatch.setattr(settings, "CRIVO_ZONE", "clinic")
    assert not mapping.run_part(second.id), "its message still comes"
    assert list(place.iterdir()) == []
    assert Event.objects.filter(verb="check_run.cancelled").count() == 1
    assert not Event.objects.filter(verb="check_run.completed").exists()


def test_a_worker_that_comes_late_leaves_no_file(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
) -> None:
    first, *_ = laid_out(run)
    dead = check_parts.claim(first.id)
    assert dead is not None
    CheckPart.objects.filter(id=first.id).update(lease_until="2020-01-01T00:00:00Z")
    assert mapping.run_part(first.id)
    before = {path.name for path in place.iterdir()}
    assert not check_parts.finish(dead, {"late": 1}, {})
    assert {path.name for path in place.iterdir()} == before
    assert execution.run_check(run.id) is not None
    assert Event.objects.filter(verb="check_run.completed").count() == 1


@pytest.mark.parametrize("spoilt", [b"", b"of somebody else", None])
@pytest.mark.parametrize("what", [part_store.ASKED, part_store.COUNTED])
def test_a_file_that_is_lost_or_another_gives_no_other_result(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
    what: str,
    spoilt: bytes | None,
) -> None:
    first, *_ = laid_out(run)
    if what == part_store.COUNTED:
        mapping.run_part(first.id)
    for path in place.glob(f"{first.id}.*.{what}"):
        path.unlink() if spoilt is None else path.write_bytes(spoilt)
    if what == part_store.ASKED:
        mapping.run_part(first.id)
        first.refresh_from_db()
        assert (first.state, first.error) == (CheckPartState.FAILED, {"code": "part_lost", "params": {}})
    finished = execution.run_check(run.id)
    assert finished is not None
    assert finished.state == CheckRunState.COMPLETED
    assert "parts" not in finished.run_environment, "it had its one pass"


def test_counts_of_another_part_are_not_taken_for_this_one_s(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
) -> None:
    first, second, _ = laid_out(run)
    mapping.run_part(first.id)
    one, two = (next(place.glob(f"{row.id}.*.counted")) for row in (first, second))
    one.write_bytes(two.read_bytes())
    first.refresh_from_db()
    assert part_store.get(first, "clinic", part_store.COUNTED) is None


def test_without_a_place_for_them_a_zone_s_checks_are_not_divided(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "CRIVO_ZONE_PARTS", "")
    assert execution.run_check(run.id) is not None
    assert child.asked == ["execute"]
    assert not CheckPart.objects.exists()


def test_a_place_that_cannot_be_written_costs_the_division_only(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
) -> None:
    place.write_text("a file where the folder should be")
    assert execution.run_check(run.id) is not None
    assert child.asked == ["lay_out", "execute"]
    assert not CheckPart.objects.exists()


def test_a_place_that_fills_up_costs_the_division_only(
    run: CheckRun,
    child: Child,
    place: Path,
    sent: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, *_ = laid_out(run)

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part_store, "_write", full)
    assert mapping.run_part(first.id)
    finished = execution.run_check(run.id)
    assert finished is not None
    assert (finished.state, child.asked[-1]) == (CheckRunState.COMPLETED, "execute")


def test_files_without_a_row_go_after_an_hour(place: Path) -> None:
    place.mkdir()
    young, old, other = (place / name for name in (
        "0197a000-0000-7000-8000-000000000001.0.asked", "0197a000-0000-7000-8000-000000000002.0.asked", "notes.txt",
    ))  # fmt: skip
    for path in (young, old, other):
        path.write_text("")
    os.utime(old, (time.time() - 2 * part_store.ORPHAN_SECONDS,) * 2)
    os.utime(other, (time.time() - 2 * part_store.ORPHAN_SECONDS,) * 2)
    part_store.sweep()
    assert sorted(place.iterdir()) == sorted([young, other])


def test_data_is_fetched_once_a_worker_and_given_back(
    run: CheckRun, child: Child, place: Path, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    handles: list[IO[bytes]] = []
    real = confined.fetched

    @contextmanager
    def fetched(source: str, digest: str) -> Iterator[IO[bytes]]:
        with real(source, digest) as handle:
            handles.append(handle)
            yield handle

    class Unanswered:
        def run(self, question: dict[str, Any], files: dict[str, int], **how: Any) -> ConfinedOutcome:
            assert os.pread(files["evaluation"], 4, 0) == b"PAR1"
            return ConfinedOutcome(error=Message("timeout"))

    monkeypatch.setattr(confined, "fetched", fetched)
    monkeypatch.setattr(confined, "zygote", Unanswered)
    with confined.fetched_once():
        for _ in range(3):
            Child.real(run.workspace_id, run.input, required_level=1, sources=run.sources)
        assert [handle.closed for handle in handles] == [False]
    assert [handle.closed for handle in handles] == [True]
    Child.real(run.workspace_id, run.input, required_level=1, sources=run.sources)
    assert [handle.closed for handle in handles] == [True, True]
