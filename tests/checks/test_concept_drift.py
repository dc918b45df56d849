"""Performance over time: windows that tell a model that ages from one that does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.checks.concept_drift import cut
from tests.checks import cast

CHECK = "drift.concept"


def aged(flip_after: int | None) -> tuple[Any, pd.DataFrame]:
    """Rows in random order of a year; the truth is turned over after the given day."""
    training, evaluation = cast.diabetes()
    model = cast.logistic(training)
    frame = pd.concat([evaluation] * 4, ignore_index=True)
    frame["progression"] = cast.predicted(model, frame).astype(int)
    day = np.random.default_rng(1).integers(0, 365, len(frame))
    frame["seen"] = (pd.Timestamp("2025-01-01") + pd.to_timedelta(day, unit="D")).strftime("%Y-%m-%d")
    if flip_after is not None:
        frame["progression"] ^= (day > flip_after).astype(int)
    return model, frame


def run(model: Any, frame: pd.DataFrame, **what: Any) -> dict[str, Any]:
    declared = what.pop("declared", cast.semantics(time_column="seen"))
    return cast.run(CHECK, model=model, evaluation=frame, declared=declared, **what)


def test_a_model_that_stays_right_drops_by_nothing() -> None:
    result = run(*aged(None))
    drop = cast.metric(result, "performance_drop")
    assert drop["value"] == 0
    assert drop["interval"][0] < 0 < drop["interval"][1]
    assert drop["denominators"] == {"rows": 708, "windows": 10}
    assert cast.metric(result, "performance_worst_window")["value"] == 1


def test_a_world_that_turns_over_is_seen_in_the_last_windows() -> None:
    result = run(*aged(200))
    assert cast.metric(result, "performance_drop")["value"] == 1
    table = cast.table(result, "performance_over_time")
    assert table["value"].iloc[0] == 1
    assert table["value"].iloc[-1] == 0
    assert table["n"].sum() == 708
    assert (table["from"].iloc[0], table["to"].iloc[-1]) == ("2025-01-02", "2025-12-31")


def test_rows_in_another_order_give_the_same_result() -> None:
    model, frame = aged(200)
    assert run(model, frame.sample(frac=1, random_state=3)) == run(model, frame)


def test_rows_of_one_moment_stay_together() -> None:
    times = np.repeat(np.arange(5), 40)
    parts = cut(times, 4)
    assert sum(map(len, parts)) == 200
    for part in parts:
        assert len(part) % 40 == 0
    assert len(cut(np.zeros(100, dtype=np.int64), 10)) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"seen": "yesterday"}, "time_unreadable"),
        ({"seen": None}, "time_unreadable"),
        ({"seen": np.inf}, "time_unreadable"),
    ],
)
def test_a_column_that_holds_no_time_is_named(change: dict[str, Any], code: str) -> None:
    model, frame = aged(None)
    result = run(model, frame.assign(**change))
    assert (result["error"]["code"], result["error"]["params"]["column"]) == (code, "seen")
    assert result["error"]["params"]["rows"] == len(frame)


def test_without_a_declared_time_column_there_is_no_answer() -> None:
    model, frame = aged(None)
    result = run(model, frame, declared=cast.semantics())
    assert result["error"] == {"code": "semantics_missing", "params": {"field": "time_column"}}


def test_one_moment_makes_no_second_window() -> None:
    model, frame = aged(None)
    found = cast.metric(run(model, frame.assign(seen="2025-01-01")), "performance_drop")
    assert (found["value"], found["undefined"]["code"]) == (None, "too_few_windows")
