"""crivo dataset sketch against the real service."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from audits.checks.contract import Message
from audits.checks.sketches import to_json
from audits.confine import ConfinedOutcome
from registry import sketching
from tests.cast import Cast
from tests.client.test_live import command, crivo_of  # noqa: F401
from tests.registry.test_sketches import people, registered


@pytest.fixture
def answers(committed_cast: Cast, monkeypatch: pytest.MonkeyPatch) -> list[ConfinedOutcome]:
    """What the confined child says, one after the other; the worker takes what is sent at once."""
    registered(committed_cast)
    found = [ConfinedOutcome(result={"sketch": to_json(people(), sensitive={"sex": ()})})]
    monkeypatch.setattr(sketching, "child_outcome", lambda *_, **__: found.pop(0))
    monkeypatch.setattr(
        "audits.dispatch.send", lambda task, row, **_: sketching.make_sketch(UUID(row)) is not None
    )
    return found


def test_it_is_kept_shown_and_fetched(command: Any, answers: list[ConfinedOutcome], tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "people.json"
    ran = command("pipeline", "dataset", "sketch", "people@1", "--output", file)
    assert ran.code == 0, ran
    assert "people@1: the reference sketch is kept" in ran.out
    assert "was there already" not in ran.out
    digest = f"sha256:{sha256(file.read_bytes()).hexdigest()}"
    assert digest in ran.out
    again = command("pipeline", "dataset", "sketch", "people@1")
    assert "was there already" in again.out
    as_json = json.loads(command("pipeline", "dataset", "sketch", "people@1", "--json").out)
    assert (as_json["digest"], as_json["state"]) == (digest, "completed")
    shown = command("pipeline", "show", "dataset-version", "people@1", "--json")
    assert json.loads(shown.out)["sketch"] == digest


def test_what_went_wrong_is_said(
    command: Any,  # noqa: F811
    answers: list[ConfinedOutcome],
) -> None:
    answers.insert(0, ConfinedOutcome(error=Message("timeout", {"kind": "wall", "seconds": 600})))
    ran = command("pipeline", "dataset", "sketch", "people@1")
    assert (ran.code, "no sketch could be made" in ran.out) == (1, True), ran
    assert command("pipeline", "dataset", "sketch", "people@1").code == 0


def test_how_it_is_called(
    command: Any,  # noqa: F811
    answers: list[ConfinedOutcome],
    tmp_path: Path,
) -> None:
    assert command("pipeline", "dataset", "sketch", "people").code == 2
    assert command("clara", "dataset", "sketch", "people@1").code == 1
    assert command("pipeline", "dataset", "sketch", "people@1", "--output", tmp_path / "no" / "x").code == 2
