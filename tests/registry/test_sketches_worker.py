"""A sketch made by a real worker in a data zone, on data full of canaries: none of them is found outside."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from audits import blobs
from audits.checks.sketch_form import from_bytes, small_cells
from registry.models import ReferenceSketch
from tests.cast import Cast
from tests.checks import test_zones as data
from tests.governance.test_api import Caller
from tests.governance.test_explanations import everything_kept
from tests.governance.test_zone_worker import found_in, until, worker, zone  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_nothing_planted_leaves_with_it(
    committed_cast: Cast,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    zone: Path,  # noqa: F811
    worker: Path,  # noqa: F811
) -> None:
    cast = committed_cast
    settings.CRIVO_ZONES = ["clinic"]
    monkeypatch.delattr(current_app._get_current_object(), "send_task")  # this test has a worker: it is told
    frame, _ = data.data()
    content = frame.to_csv(index=False).encode()
    (zone / "training.csv").write_bytes(content)
    assert any(word in content.decode() for word in data.planted())
    caller = Caller(cast, "pipeline")
    assert caller.post("datasets", {"name": "training", "zone": "clinic"}).status_code == 201
    about = {
        "uri": f"file://{zone}/training.csv",
        "digest": f"sha256:{sha256(content).hexdigest()}",
        "metadata": {"columns": list(frame.columns), "sensitive": {"sex": {}, "team": {}}},
    }
    assert caller.post("datasets/training/versions", about).status_code == 201
    path = "datasets/training/versions/1/sketch"
    assert caller.post(path, {}).status_code == 202
    until(lambda: ReferenceSketch.objects.get().finished, 300, worker)
    answer = caller.get(path)
    assert answer.json()["state"] == "completed", answer.content
    kept = caller.get(f"{path}/content").content
    found = from_bytes(kept)
    assert (list(small_cells(found)), found.rows) == ([], len(frame))
    assert set(found.groups or {}) == {"sex", "team"}
    assert found_in(kept.decode()) == []
    assert found_in(answer.content.decode()) == []
    assert found_in(everything_kept()) == []
    log = worker.read_text(errors="replace")
    assert "make_sketch" in log, "the search reads the log of the worker that made it"
    assert found_in(log) == []
    with blobs.opened(cast.workspace.id, answer.json()["digest"]) as file:
        assert file.read() == kept
