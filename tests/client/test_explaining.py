"""crivo explain against the real service and the real confined child."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from audits.services import confined
from audits.services.explaining import run_explanation
from governance.client import Crivo
from tests.cast import Cast
from tests.client.test_live import command, crivo_of  # noqa: F401
from tests.governance.test_explanations import registered


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker that answers as soon as it is told."""
    monkeypatch.setattr("audits.dispatch.send", lambda task, row, **_: run_explanation(UUID(row)) is not None)
    yield
    confined.zygote().close()
    confined.zygote.cache_clear()


def test_a_record_in_a_file(
    command: Any,  # noqa: F811
    crivo_of: Any,  # noqa: F811
    committed_cast: Cast,
    tmp_path: Path,
    at_work: Any,
) -> None:
    _, record = registered(committed_cast)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    ran = command("ana", "explain", "progression", "1", "--record", path, "--lime")
    assert ran.code == 0, ran.err
    assert "progression@1 decides 1" in ran.out
    assert "second opinion (LIME):" in ran.out
    assert "73519" not in ran.out
    as_json = json.loads(command("ana", "explain", "progression@1", "--record", path, "--json").out)
    assert as_json["contributions"][0]["feature"] == "bmi"
    client: Crivo = crivo_of("ana")
    with client as crivo:  # its connection is a session of the database
        assert crivo.explains_record(as_json["id"], record)
        assert not crivo.explains_record(as_json["id"], {**record, "bmi": 1.0})
    del record["s5"]
    path.write_text(json.dumps(record))
    ran = command("ana", "explain", "progression", "1", "--record", path)
    assert (ran.code, "lacks s5" in ran.out) == (1, True)
    assert command("clara", "explain", "progression", "1", "--record", path).code == 1
