from __future__ import annotations

import pytest

from audits.plots.by_group import importance_by_group_plot
from tests.plots.reading import HOSTILE, NUMBERS, brazilian, described, marks, outside, pseudo, texts, tree

ROWS = [
    ("sex", "female", "bmi", 0.04),
    ("sex", "male", "bmi", 0.08),
    ("sex", "female", "age", 0.01),
    ("sex", "male", "age", None),
]


def test_nothing_to_draw() -> None:
    assert importance_by_group_plot([]) == ""
    assert importance_by_group_plot([ROWS[3]]) == ""


def test_marks_stand_where_the_numbers_say() -> None:
    drawn = importance_by_group_plot(ROWS)
    (axis,) = marks(drawn, "plot-axis")
    zero = float(axis["x1"])
    first = [float(node["cx"]) for node in marks(drawn, "plot-series-0")][1:]  # the first is the key
    assert (first[0] - zero) / (first[1] - zero) == pytest.approx(4, rel=1e-3)
    spread = marks(drawn, "plot-range")[0]
    assert (float(spread["x2"]) - zero) / (float(spread["x1"]) - zero) == pytest.approx(2, rel=1e-3)


def test_the_text_alternative_holds_every_number_and_no_invented_one() -> None:
    assert (
        described(importance_by_group_plot(ROWS))
        == "sex, bmi: female 0.0400, male 0.0800. sex, age: female 0.0100."
    )


def test_a_series_has_a_shape_of_its_own() -> None:
    drawn = importance_by_group_plot([("a", f"g{index}", "x", index + 1) for index in range(8)])
    shapes = {
        node["d"].split("m", 1)[1] for index in range(1, 8) for node in marks(drawn, f"plot-series-{index}")
    }
    assert len(shapes) == 7
    assert "r" in marks(drawn, "plot-series-0")[0]


def test_what_is_left_out_is_said() -> None:
    rows = [(f"a{a}", f"g{g}", f"c{c:02}", c + 1) for a in range(9) for g in range(10) for c in range(14)]
    drawn = importance_by_group_plot(rows)
    assert {
        "Further columns not drawn: 2.",
        "Further attributes not drawn: 1.",
        "Further groups not drawn: 2.",
    } <= set(texts(drawn))


def test_a_group_that_is_not_drawn_stretches_no_scale() -> None:
    rows = [("a", f"g{index}", "x", 1.0) for index in range(8)]
    few = importance_by_group_plot(rows)
    more = importance_by_group_plot([*rows, ("a", "g8", "x", 900.0)])
    assert marks(few, "plot-series-0")[1]["cx"] == marks(more, "plot-series-0")[1]["cx"]


def test_hostile_rows() -> None:
    drawn = importance_by_group_plot(
        [("a", name, name, 1) for name in HOSTILE], {str(name) for name in HOSTILE}, labels=pseudo
    )
    tree(drawn)
    assert "<script" not in drawn
    assert list(outside(importance_by_group_plot([(name, name, name, 1) for name in HOSTILE]))) == []
    for each in NUMBERS:
        tree(importance_by_group_plot([("a", "g", "c", 1), ("a", "h", "c", each)]))
    assert list(outside(importance_by_group_plot(ROWS, {"age"}, labels=pseudo, number=brazilian))) == []
