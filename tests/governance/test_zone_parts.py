"""Long data full of canaries, checked in parts by real workers of a data zone: while parts are on their way and at the
end, none of the canaries is found in a row, an event or the log, and nothing is left in the zone's folder of parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from audits.checks.catalogue import CATALOGUE
from audits.models import CheckPart, CheckRun, Event
from audits.services.reproductions import request_reproduction
from tests.cast import Cast
from tests.checks import test_zones as data
from tests.governance import test_zone_worker as whole
from tests.governance.test_explanations import everything_kept

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
ROWS = 300_000
DIVIDED = [slug for slug, definition in CATALOGUE.items() if definition.mapped]


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    folder = tmp_path / "zone"
    folder.mkdir()
    return folder


@pytest.fixture
def workers(committed_cast: Cast, published: Path, zone: Path, tmp_path: Path) -> Iterator[Path]:
    settings = {
        "CRIVO_ZONE_PARTS": str(tmp_path / "parts"),
        "CRIVO_MAP_ROWS": str(ROWS // 2),
        "CRIVO_PART_ROWS": "50000",
    }
    with whole.worker_in(zone, published, tmp_path / "worker.log", processes=2, **settings) as log:
        yield log


def test_what_parts_count_stays_in_the_zone(
    committed_cast: Cast,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    zone: Path,
    workers: Path,
    tmp_path: Path,
) -> None:
    assert {"bias.group_disparity", "data.quality", "drift.distribution"} <= set(DIVIDED)
    settings.CRIVO_ZONES = ["clinic"]
    monkeypatch.delattr(
        current_app._get_current_object(), "send_task"
    )  # this test has workers: they are told
    training, evaluation = data.frame(1), data.frame(2, ROWS)
    evaluation.loc[3:6, "town"] = "Kanarienvogelstadt"
    whole.registered(committed_cast, zone, (training, evaluation), "parquet", DIVIDED)
    unfinished = CheckRun.objects.filter(state__in=["queued", "running"])
    seen: set[str] = set()
    found: list[str] = []

    def finished() -> bool:
        if CheckPart.objects.filter(state__in=["queued", "running"]).exists():
            found.extend(whole.found_in(everything_kept()))
            seen.update(path.suffix for path in (tmp_path / "parts").glob("*"))
        return not unfinished.exists()

    whole.until(finished, 900, workers)
    assert found == []
    assert seen >= {".asked", ".counted"}, "the folder was used"
    runs = list(CheckRun.objects.order_by("check_slug"))
    assert [run.check_slug for run in runs] == sorted(DIVIDED)
    assert [(run.check_slug, run.result["error"]) for run in runs if run.state != "completed"] == []
    assert all(run.run_environment["parts"] > 1 for run in runs), [run.run_environment for run in runs]
    assert set(CheckPart.objects.values_list("state", "asked", "counted")) == {("done", None, None)}
    assert Event.objects.filter(verb="check_run.completed").count() == len(runs)
    everything = everything_kept()
    assert "demographic_parity_ratio" in everything, "the search reads results"
    assert whole.found_in(everything) == []
    log = workers.read_text(errors="replace")
    assert str(CheckPart.objects.all()[0].id) in log, "the search reads the log of who counted it"
    assert whole.found_in(log) == []
    whole.until(lambda: list((tmp_path / "parts").iterdir()) == [], 30, workers)
    quality = next(run for run in runs if run.check_slug == "data.quality")
    again = request_reproduction(command=committed_cast.command("ana"), run_id=quality.id).value
    whole.until(lambda: again.refresh_from_db() is None and again.finished, 300, workers)
    assert again.outcome == "identical"
