"""The count cube: exact, addable, the same by either way of counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.checks import cube as module
from audits.checks.bias import favourable_counts
from audits.checks.cube import Cube, count
from audits.checks.labels import canonical_column

CLASSES = ("no", "maybe", "yes")
ROW = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 2), st.integers(0, 2))
ROWS = st.lists(ROW, min_size=1, max_size=80)


def build(rows: Any) -> Cube:
    first, second, truth, predicted = (list(part) for part in zip(*rows, strict=True))
    columns = {"one": canonical_column(first), "two": canonical_column(second)}
    return count(columns, np.array(truth, dtype=np.int64), np.array(predicted, dtype=np.int64), CLASSES)


def as_table(cube: Cube, names: list[str]) -> dict[Any, int]:
    keys, table = cube.groups(names)
    return {
        (*key, truth, predicted): int(table[place, truth, predicted])
        for place, key in enumerate(keys)
        for truth in range(3)
        for predicted in range(3)
        if table[place, truth, predicted]
    }


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_marginals_are_what_pandas_counts(rows: Any) -> None:
    cube = build(rows)
    frame = pd.DataFrame(rows, columns=["one", "two", "truth", "predicted"])
    assert cube.rows == len(rows)
    for names in (["one"], ["two"], ["one", "two"], ["two", "one"]):
        expected = frame.groupby([*names, "truth", "predicted"]).size().to_dict()
        assert as_table(cube, names) == expected


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 80))
def test_partial_cubes_add_up_to_the_whole(rows: Any, place: int) -> None:
    first, second = rows[:place], rows[place:]
    if not first or not second:
        return
    added = build(first) + build(second)
    assert added.rows == len(rows)
    for names in (["one"], ["one", "two"]):
        assert as_table(added, names) == as_table(build(rows), names)


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_sparse_counting_finds_the_same(rows: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DENSE_CELLS", 1)
        patch.setattr(module, "_SAFE", 7)  # renumber at every step
        sparse = build(rows)
    assert as_table(sparse, ["one", "two"]) == as_table(build(rows), ["one", "two"])


def test_cubes_of_different_questions_do_not_add() -> None:
    one = build([("a", "x", 0, 0)])
    other = Cube(one.attributes, one.levels, ("no", "yes"), one.cells, one.counts)
    with pytest.raises(ValueError, match="cannot be added"):
        one + other


def test_any_class_can_be_the_favourable_one() -> None:
    rows = [("a", "x", 2, 2), ("a", "x", 2, 0), ("a", "x", 1, 2), ("a", "x", 0, 1), ("a", "x", 1, 1)]
    _, table = build(rows).groups(["one"])
    assert favourable_counts(table, 2).tolist() == [[1, 1, 1, 2]]
    assert favourable_counts(table, 1).tolist() == [[1, 1, 1, 2]]
    assert favourable_counts(table, 0).tolist() == [[0, 1, 1, 3]]


def test_many_levels_cost_cells_and_not_their_product() -> None:
    n = 3000
    columns = {f"c{place}": (np.arange(n, dtype=np.int64), tuple(map(str, range(n)))) for place in range(8)}
    zeros = np.zeros(n, dtype=np.int64)
    assert len(count(columns, zeros, zeros, CLASSES).counts) == n
