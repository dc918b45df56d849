from __future__ import annotations

import random

import pytest

from audits.plots import svg
from audits.plots.beeswarm import MISSING, ROW, beeswarm_plot, place
from tests.plots.reading import HOSTILE, NUMBERS, brazilian, described, marks, outside, pseudo, texts, tree

ROWS = [("bmi", 0.0, -0.2), ("bmi", 0.5, 0.0), ("bmi", 1.0, 0.2), ("sex", None, 0.1)]


def test_nothing_to_draw() -> None:
    assert beeswarm_plot([]) == ""
    assert beeswarm_plot([("a", 0.5, None), ("a", 0.5, float("inf"))]) == ""


def test_points_of_one_place_are_stacked_around_the_middle_by_value() -> None:
    scale = svg.nice_scale(0, 1, 0, 100)
    placed = place([(0.5, 0.9), (0.5, 0.1), (0.5, None), (0.9, 0.5)], scale)
    assert placed == [
        (50.0, pytest.approx(4.14), 0),
        (50.0, 0.0, 6),
        (50.0, pytest.approx(-4.14), MISSING),
        (90.0, 0.0, 3),
    ]


def test_a_high_stack_is_compressed_and_never_leaves_its_row() -> None:
    scale = svg.nice_scale(0, 1, 0, 100)
    placed = place([(0.5, 0.5)] * 5000, scale)
    assert len(placed) == 5000
    assert max(abs(y) for _x, y, _step in placed) == pytest.approx((ROW - 8 - 4.6) / 2)


def test_points_stand_where_the_numbers_say() -> None:
    drawn = beeswarm_plot(ROWS)
    x = {step: float(marks(drawn, f"plot-rank-{step}")[0]["d"][1:].split()[0]) for step in (0, 3, 6)}
    axis = float(marks(drawn, "plot-axis")[0]["x1"])
    assert x[3] == pytest.approx(axis, abs=0.5)
    assert x[3] - x[0] == pytest.approx(x[6] - x[3], abs=0.51)


def test_a_missing_value_is_a_cross_and_is_explained() -> None:
    drawn = beeswarm_plot(ROWS)
    assert len(marks(drawn, "plot-missing")) == 2  # the point and the key
    assert "missing or without order" in texts(drawn)
    assert not marks(beeswarm_plot(ROWS[:3]), "plot-missing")


def test_the_text_alternative_holds_the_numbers_and_the_direction() -> None:
    assert described(beeswarm_plot(ROWS, {"sex"})) == (
        "bmi: 3 rows, φ from −0.200 to 0.200, mean |φ| 0.133, higher values go with higher contributions. "
        "sex: 1 rows, φ from 0.100 to 0.100, mean |φ| 0.100, "
        "value missing or without order in 1, sensitive column."
    )
    downwards = described(beeswarm_plot([("a", -phi, phi) for phi in (0.1, 0.2, 0.3)]))
    assert downwards.endswith("higher values go with lower contributions.")
    constant = described(beeswarm_plot([("a", rank, 0.1) for rank in (0.1, 0.2, 0.3)]))
    assert "higher" not in constant


def test_ranks_of_another_range_are_brought_to_one() -> None:
    assert beeswarm_plot([("a", rank, rank / 10) for rank in (1, 2, 3)]) == beeswarm_plot(
        [("a", (rank - 1) / 2, rank / 10) for rank in (1, 2, 3)]
    )


def test_the_order_of_the_rows_changes_nothing_and_many_rows_stay_small() -> None:
    dice = random.Random(3)
    rows = [(f"c{index % 10}", dice.random(), dice.gauss(0, 1)) for index in range(20_000)]
    drawn = beeswarm_plot(rows)
    dice.shuffle(rows)
    assert beeswarm_plot(rows) == drawn
    assert len(drawn) < 700_000


def test_hostile_rows() -> None:
    drawn = beeswarm_plot(
        [(name, 0.5, 0.1) for name in HOSTILE], {str(name) for name in HOSTILE}, labels=pseudo
    )
    tree(drawn)
    assert "<script" not in drawn
    assert list(outside(beeswarm_plot([(name, 0.5, 0.1) for name in HOSTILE]))) == []
    for each in NUMBERS:
        tree(beeswarm_plot([("a", 0.5, 0.1), ("a", each, 0.2), ("a", 0.2, each), ("a", each, each)]))
    assert list(outside(beeswarm_plot(ROWS, {"sex"}, labels=pseudo, number=brazilian))) == []
    assert beeswarm_plot([("a", 0.5, 0.0)] * 3) != ""
