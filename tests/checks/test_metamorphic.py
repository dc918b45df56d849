"""Metamorphic properties of the bias check as a whole: what a change of the data must move in its result, and that it
moves nothing else.

Permuting rows, merging partitions and renaming groups move nothing but the names; swapping the favourable label mirrors
the rates; duplicating the data moves only counts and narrows intervals; a second attribute moves nothing of the first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from audits.checks import parts
from audits.checks.disparity import AGGREGATES, draw_order
from governance.policy.verdict import Evidence, judge
from tests.checks import cast

CHECK = "bias.group_disparity"
TASKS = ("binary", "multi-class", "regression")
INPUTS = ["a", "b"]
SENSITIVE: dict[str, Any] = {"sex": {"use": "monitored"}, "region": {"use": "monitored"}}
PARAMETERS = {"intersections": 2, "min_group": 8, "replicates": 100}
FEW = settings(
    max_examples=6,
    deadline=None,
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # a population of 100 rows does not shrink to a reason
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LIMITS = {"demographic_parity_difference": 0.1, "equalized_odds_difference": 0.2, "accuracy_difference": 0.1}


def trained() -> dict[str, Any]:
    """One model for each task, over `a` and `b` only: no sensitive column is an input."""
    stream = np.random.default_rng(11)
    frame = pd.DataFrame(stream.normal(size=(300, 2)), columns=INPUTS)
    signal = frame["a"] + 0.5 * frame["b"] + stream.normal(0, 0.7, 300)
    several = np.digitize(signal, [-0.5, 0.5])
    return {
        "binary": LogisticRegression().fit(frame, (signal > 0).astype(int)),
        "multi-class": LogisticRegression().fit(frame, several),
        "regression": LinearRegression().fit(frame, signal),
    }


MODELS = trained()


@st.composite
def populations(draw: Any, task: str) -> pd.DataFrame:
    """60 to 200 people in groups of every size, some without one, and a truth the model gets right now and then."""
    rows = draw(st.integers(60, 200))
    stream = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = draw(st.integers(2, 4))
    weights = stream.dirichlet(np.full(groups, 2.0))
    frame = pd.DataFrame(stream.normal(size=(rows, 2)).round(3), columns=INPUTS)
    frame["sex"] = stream.choice([f"g{place}" for place in range(groups)], rows, p=weights)
    frame["region"] = stream.choice(["n", "s"], rows)
    if draw(st.booleans()):
        frame.loc[stream.random(rows) < 0.1, "sex"] = None
    signal = frame["a"] + frame["b"] * 0.4 + (frame["sex"] == "g0") * 0.6 + stream.normal(0, 0.8, rows)
    if task == "regression":
        return frame.assign(y=signal.round(3))
    return frame.assign(y=np.digitize(signal, [0.0] if task == "binary" else [-0.5, 0.5]))


def declared(task: str, **changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"task": task, "target": "y", "sensitive": SENSITIVE, "claimed_metrics": {}}
    if task == "binary":
        plain |= {"output": "probability", "threshold": 0.5, "positive_label": 1, "favourable_label": 1}
    elif task == "multi-class":
        plain |= {"output": "label", "favourable_label": 2}
    else:
        plain |= {"output": "value"}
    return {**plain, **changes}


def found(frame: pd.DataFrame, task: str, data_format: str = "csv", **changes: Any) -> dict[str, Any]:
    parameters = {**PARAMETERS, **changes.pop("parameters", {})}
    result = cast.run(
        CHECK,
        model=MODELS[task],
        evaluation=frame,
        declared=declared(task, **changes),
        parameters=parameters,
        data_format=data_format,
    )
    assert result["outcome"] == "completed", result["error"]
    return result


def by_name(result: dict[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {(item["metric"], item["attribute"], item["group"]): item for item in result["metrics"]}


def verdicts(result: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """What a policy says of it. The data's age plays no part here: evidence without a time is as new as can be."""
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, tzinfo=UTC)
    entry = {"check": CHECK, "require": [{"metric": name, "max": limit} for name, limit in LIMITS.items()]}
    lines = judge({"checks": [entry]}, [Evidence(result, now)], not_before=now)
    return [(line.metric, line.attribute, line.verdict) for line in lines]


def close(first: Any, second: Any) -> bool:
    """Equal, with numbers to 1e-9: sums of floats in another order."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(close(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(close, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return first == pytest.approx(second, abs=1e-9)
    return bool(first == second)


@FEW
@given(data=st.data())
@pytest.mark.parametrize("task", TASKS)
def test_permuting_rows_moves_nothing(task: str, data: Any) -> None:
    frame = data.draw(populations(task))
    order = np.random.default_rng(data.draw(st.integers(0, 2**32))).permutation(len(frame))
    first, second = found(frame, task), found(frame.iloc[order].reset_index(drop=True), task)
    assert close(first, second)  # a model's own sums may differ in the last bits with the place of a row


@FEW
@given(data=st.data())
@pytest.mark.parametrize("task", TASKS)
def test_relabelling_groups_moves_only_their_names(task: str, data: Any) -> None:
    """Not one interval either: a verdict that hangs on what a group is called would be no verdict."""
    frame = data.draw(populations(task))
    names = data.draw(st.permutations(["zz", "aa", "mm", "bb"]))
    renamed = {f"g{place}": name for place, name in enumerate(names)}
    first = found(frame, task)
    second = found(frame.assign(sex=frame["sex"].map(renamed, na_action="ignore")), task)

    def moved(group: str | None) -> str | None:
        return None if group is None else "×".join(renamed.get(part, part) for part in group.split("×"))

    other = by_name(second)
    assert {(name, attribute, moved(group)) for name, attribute, group in by_name(first)} == set(other)
    for (name, attribute, group), item in by_name(first).items():
        theirs = other[name, attribute, moved(group)]
        for part in ("value", "interval", "n", "denominators", "minimum_n", "level"):
            assert close(item[part], theirs[part]), (name, attribute, group, part)
    assert verdicts(first) == verdicts(second)


@FEW
@given(data=st.data())
@pytest.mark.parametrize("task", ["binary", "multi-class"])
def test_merging_partitions_moves_nothing(task: str, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in parts, whatever their size (a model's own sums may differ in the last bits)."""
    frame = data.draw(populations(task))
    monkeypatch.setattr(parts, "PART_ROWS", 1 << 18)
    whole = found(frame, task, "parquet")
    monkeypatch.setattr(parts, "PART_ROWS", data.draw(st.integers(5, len(frame) - 1)))
    assert close(found(frame, task, "parquet"), whole)


MIRRORED = {  # what a rate of the favourable label is, seen from the other one
    "selection_rate": lambda one: 1 - one["selection_rate"],
    "base_rate": lambda one: 1 - one["base_rate"],
    "true_positive_rate": lambda one: 1 - one["false_positive_rate"],
    "false_positive_rate": lambda one: 1 - one["true_positive_rate"],
    "precision": lambda one: one["negative_predictive_value"],
    "negative_predictive_value": lambda one: one["precision"],
    "accuracy": lambda one: one["accuracy"],
}
BLIND = (  # to which of the two labels is the favourable one
    "demographic_parity_difference",
    "equalized_odds_difference",
    "equalized_odds_difference_mean",
    "accuracy_difference",
)


@FEW
@given(frame=populations("binary"))
def test_swapping_the_favourable_label_mirrors_rates_and_moves_no_blind_figure(frame: pd.DataFrame) -> None:
    first, second = found(frame, "binary"), found(frame, "binary", favourable_label=0)
    ours, theirs = by_name(first), by_name(second)
    assert set(ours) == set(theirs)
    groups = {key[1:] for key in ours if key[0] == "selection_rate"}
    for place in groups:
        one = {name: ours[name, *place]["value"] for name in MIRRORED}
        for name, mirror in MIRRORED.items():
            try:
                expected = mirror(one)
            except TypeError:  # 0/0 stays 0/0
                expected = None
            assert close(theirs[name, *place]["value"], expected), (name, place)
    for (name, attribute, group), item in ours.items():
        if name in BLIND or name.startswith(("calibration", "attribute_flips", "forbidden")):
            other = theirs[name, attribute, group]
            for part in ("value", "interval", "n"):
                assert close(item[part], other[part]), (name, attribute, part)
    parity, its = (
        ours["demographic_parity_ratio", "sex", None],
        theirs["demographic_parity_ratio", "sex", None],
    )
    rates = [ours[key]["value"] for key in ours if key[:2] == ("selection_rate", "sex")]
    if parity["value"] is not None and its["value"] is not None:
        assert parity["value"] == pytest.approx(min(rates) / max(rates), abs=1e-12)
        assert its["value"] == pytest.approx((1 - max(rates)) / (1 - min(rates)), abs=1e-12)
    assert verdicts(first) == verdicts(second)


COUNTS = ("attribute_flips", "forbidden_attribute_flips")
# Proportions and their spreads; a quotient of small counts may have no narrower interval when more of it is seen.
NARROWS = ("selection_rate", "base_rate", "accuracy", "demographic_parity_difference", "accuracy_difference")


@FEW
@given(data=st.data())
@pytest.mark.parametrize("task", TASKS)
def test_duplicating_the_data_moves_counts_and_narrows_intervals(task: str, data: Any) -> None:
    frame = data.draw(populations(task))
    every = {"parameters": {"min_group": 1}}  # else a group may come in that was too small
    first = by_name(found(frame, task, **every))
    second = by_name(found(pd.concat([frame] * 4, ignore_index=True), task, **every))
    assert set(first) == set(second)
    for key, item in first.items():
        other = second[key]
        times = 4 if key[0] in COUNTS else 1
        assert close(None if item["value"] is None else item["value"] * times, other["value"]), key
        assert (item["undefined"] is None) == (other["undefined"] is None), key
        if item["n"] is not None and item["value"] is not None:
            assert other["n"] == 4 * item["n"], key
        if item["minimum_n"] is not None:  # of the shares, not of the rows
            assert abs(item["minimum_n"] - other["minimum_n"]) <= 1, key
        if key[0] in NARROWS and key[1] in SENSITIVE and item["interval"]:
            width, narrower = (high - low for low, high in (item["interval"], other["interval"]))
            assert narrower <= width + 1e-9, key


@FEW
@given(data=st.data())
@pytest.mark.parametrize("task", TASKS)
def test_a_second_attribute_moves_nothing_of_the_first(task: str, data: Any) -> None:
    frame = data.draw(populations(task))
    alone = found(frame, task, sensitive={"sex": SENSITIVE["sex"]})
    both = by_name(found(frame, task))
    for key, item in by_name(alone).items():
        if key[1] == "sex":
            assert both[key] == item, key


@FEW
@given(frame=populations("binary"))
def test_a_column_that_is_neither_input_nor_declared_moves_nothing(frame: pd.DataFrame) -> None:
    more = frame.assign(shoe=np.arange(len(frame)) % 7, note="x")
    assert found(frame, "binary") == found(more, "binary")


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=2, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_of_drawing_comes_from_the_counts_alone(rows: list[tuple[int, ...]], random: Any) -> None:
    counts = np.array(rows, dtype=np.int64)
    ordered, mirrored = draw_order(counts)
    assert all(tuple(one) <= tuple(other) for one, other in pairwise(ordered))
    shuffled = rows.copy()
    random.shuffle(shuffled)
    again, turned = draw_order(np.array(shuffled, dtype=np.int64)[:, ::-1])
    assert np.array_equal(ordered, again)
    # a table that is its own mirror image may be read either way
    assert mirrored != turned or sorted(rows) == sorted(row[::-1] for row in rows)
    back = ordered[:, ::-1] if mirrored else ordered
    for function in AGGREGATES.values():
        assert function(back, 2) == pytest.approx(function(counts, 2), abs=1e-12, nan_ok=True)
