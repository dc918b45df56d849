"""Too much of everything: each is killed, named, and over when `run` returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from audits.checks.contract import Message
from audits.confine import Limits, Zygote
from tests.confine.conftest import SMALL, Run


def test_memory_bomb(probe: Run) -> None:
    outcome = probe("memory_bomb", memory_bytes=128 << 20)
    assert outcome.error == Message("out_of_memory", {"memory_bytes": 128 << 20})
    assert 100 << 20 < outcome.max_rss_bytes < 300 << 20


def test_memory_outside_python_counts_too(probe: Run) -> None:
    outcome = probe("native_memory_bomb", memory_bytes=128 << 20)
    assert outcome.result is not None
    assert 64 << 20 <= outcome.result["mapped"] <= 128 << 20


def test_endless_loop_runs_out_of_cpu(probe: Run) -> None:
    outcome = probe("endless_loop", cpu_seconds=1)
    assert outcome.error == Message("timeout", {"kind": "cpu", "seconds": 1})
    assert 0.9 < outcome.seconds < 8


def test_loop_that_ignores_signals_is_killed(probe: Run) -> None:
    assert probe("stubborn_loop", cpu_seconds=1).error == Message("timeout", {"kind": "cpu", "seconds": 1})


def test_sleep_runs_into_the_wall(probe: Run) -> None:
    outcome = probe("sleeper", wall_seconds=0.3)
    assert outcome.error == Message("timeout", {"kind": "wall", "seconds": 0.3})
    assert 0.3 <= outcome.seconds < 3


def test_a_child_that_nobody_waits_for_is_ended(zygote: Zygote, artifact: Path, probe: Run) -> None:
    asked: list[int] = []
    outcome = zygote.run(
        {},
        {"artifact": artifact},
        limits=Limits(**SMALL),
        entry="tests.confine.probes:endless_loop",
        stopped=lambda: asked.append(1) or len(asked) > 1,
    )
    assert outcome.error == Message("killed_by_signal", {"signal": "SIGKILL"})
    assert len(asked) == 2


def test_flood_of_the_result_pipe(probe: Run) -> None:
    outcome = probe("flood")
    assert outcome.error == Message("garbled_output", {"reason": "more_than_one_answer"})
    assert outcome.seconds < 5


@pytest.mark.parametrize("entry", ["huge_claim", "huge_result"])
def test_answer_beyond_the_limit(probe: Run, entry: str) -> None:
    outcome = probe(entry, output_bytes=1000)
    assert outcome.error == Message("output_too_large", {"limit_bytes": 1000})


@pytest.mark.parametrize("name", ["wall_seconds", "cpu_seconds", "memory_bytes", "output_bytes", "threads"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})
