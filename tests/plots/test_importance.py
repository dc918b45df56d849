from __future__ import annotations

import pytest

from audits.plots.importance import importance_plot
from tests.plots.reading import HOSTILE, NUMBERS, brazilian, described, marks, outside, pseudo, texts, tree

ROWS = [("age", 0.02, -0.001, 0.2), ("bmi", 0.08, 0.01, 0.8)]


def test_nothing_to_draw() -> None:
    assert importance_plot([]) == ""
    assert importance_plot([("a", None, None, None), ("b", float("nan"), 1, 1)]) == ""


def test_bars_are_as_long_as_their_values_and_the_largest_comes_first() -> None:
    bars = [float(bar["width"]) for bar in marks(importance_plot(ROWS), "plot-bar")]
    assert bars[0] / bars[1] == pytest.approx(4, rel=1e-3)
    names = [name for name in texts(importance_plot(ROWS)) if name in {"age", "bmi"}]
    assert names == ["bmi", "age"]


def test_the_text_alternative_holds_every_number() -> None:
    assert described(importance_plot(ROWS, {"age"})) == (
        "bmi: mean |φ| 0.0800, mean φ +0.0100, share 0.800. "
        "age: mean |φ| 0.0200, mean φ −0.0010, share 0.200, sensitive column."
    )


def test_sensitive_columns_are_told_apart_without_colour() -> None:
    drawn = importance_plot(ROWS, {"age"}, prefix="one")
    assert drawn.count('fill="url(#one-hatch)"') == 1
    assert len(marks(drawn, "plot-sensitive")) == 2  # the column and the legend
    plain = importance_plot(ROWS)
    assert "pattern" not in plain
    assert "sensitive" not in plain


def test_the_rest_of_many_columns_is_added_up() -> None:
    drawn = importance_plot([(f"c{index:02}", 1 / (index + 1), 0, None) for index in range(22)])
    assert len(marks(drawn, "plot-bar")) == 20
    assert f"Further columns not drawn: 2, together mean |φ| {1 / 21 + 1 / 22:.2f}." in texts(drawn)


def test_all_zero_and_all_equal() -> None:
    assert [bar["width"] for bar in marks(importance_plot([("a", 0, 0, None)]), "plot-bar")] == ["0"]
    bars = {bar["width"] for bar in marks(importance_plot([("a", 3, 1, 1), ("b", 3, 1, 1)]), "plot-bar")}
    assert len(bars) == 1


def test_hostile_rows() -> None:
    names = importance_plot(
        [(name, 0.1, 0.1, 0.1) for name in HOSTILE], {str(name) for name in HOSTILE}, labels=pseudo
    )
    tree(names)
    assert "<script" not in names
    assert list(outside(importance_plot([(name, 0.1, 0.1, 0.1) for name in HOSTILE]))) == []
    for each in NUMBERS:
        tree(importance_plot([("a", 1, each, each), ("b", each, each, each)]))
    assert list(outside(importance_plot(ROWS, {"age"}, labels=pseudo, number=brazilian))) == []


def test_the_order_of_the_rows_changes_nothing() -> None:
    assert importance_plot(ROWS) == importance_plot(list(reversed(ROWS)))
