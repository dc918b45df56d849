"""Waterfall, weights, dependence and forest: what is drawn is what the rows say, for everybody who reads it."""

from __future__ import annotations

from typing import Any

import pytest

from audits.plots import plots_for
from audits.plots.dependence import dependence_plot
from audits.plots.forest import MOST_ROWS, forest_plot
from audits.plots.waterfall import waterfall_plot, weights_plot
from tests.plots.reading import HOSTILE, NUMBERS, brazilian, described, marks, outside, pseudo, texts, tree

STEPS = [("age", -0.2), ("bmi", 0.8), ("s5", 0.1)]
PARAMS = {"base_value": 0.1, "output": 0.8}
POINTS = [("bmi", i / 10, (i - 5) / 10) for i in range(11)] + [
    ("sex", None, 0.1),
    ("age", 0.0, 0.2),
    ("age", 1.0, 0.1),
]
RATIOS = [
    ("demographic_parity_ratio", "sex", 0.62, 0.5, 0.75, 0.8, 200),
    ("demographic_parity_ratio", "age", 0.93, 0.8, 1.0, 0.8, 200),
    ("equalized_odds_difference", "sex", None, None, None, None, 200),
    ("equal_opportunity_difference", "sex", 0.12, 0.02, 0.2, None, 90),
]


class TestWaterfall:
    def test_the_steps_lead_from_the_average_to_the_output(self) -> None:
        said = described(waterfall_plot(STEPS, PARAMS, {"age"}))
        assert said == (
            "average 0.100. bmi: +0.800. age: −0.200, sensitive column. s5: +0.100. this record 0.800."
        )

    def test_direction_is_told_without_colour(self) -> None:
        drawn = waterfall_plot(STEPS, PARAMS)
        up, down = marks(drawn, "plot-bar"), marks(drawn, "plot-bar-down")
        assert (len(up), len(down)) == (2, 1)
        assert {"+0.800", "−0.200", "+0.100"} <= set(texts(drawn))

    def test_each_step_begins_where_the_last_one_ended(self) -> None:
        drawn = waterfall_plot([("a", 1.0), ("b", -0.5)], {"base_value": 0.0})
        first, second = marks(drawn, "plot-bar")[0]["d"], marks(drawn, "plot-bar-down")[0]["d"]
        start = float(second.split("M")[1].split(" ")[0])
        tip = float(first.split("L")[1].split(" ")[0])
        assert start == pytest.approx(tip, abs=0.01)

    def test_the_rest_is_one_step_and_nothing_is_lost(self) -> None:
        said = described(waterfall_plot([(f"c{i}", 0.1) for i in range(20)], {"base_value": 0.0}))
        assert "6 other columns: +0.600." in said
        assert said.endswith("this record 2.000.")

    def test_weights_that_are_not_drawn_are_counted(self) -> None:
        drawn = weights_plot([(f"c{i}", (20 - i) / 10) for i in range(19)], {}, {"c0"})
        assert "Further columns not drawn: 4." in texts(drawn)
        assert described(drawn).endswith("c14: +0.60. Further columns not drawn: 4.")
        assert "c0: +2.00, sensitive column." in described(drawn)

    def test_nothing_to_draw(self) -> None:
        assert waterfall_plot([], PARAMS) == ""
        assert waterfall_plot(STEPS, {}) == ""
        assert waterfall_plot([("a", float("nan"))], PARAMS) == ""
        assert weights_plot([], {}) == ""


class TestDependence:
    def test_each_ordered_column_is_a_panel(self) -> None:
        said = described(dependence_plot(POINTS, {"age"}))
        assert said.startswith("bmi: mean φ from low to high values −0.450 / −0.250 / −0.050 / ")
        assert "age: mean φ from low to high values 0.200 / – / – / – / 0.100, sensitive column." in said
        assert "sex" not in said  # no order, no dependence

    def test_order_of_rows_does_not_matter(self) -> None:
        assert dependence_plot(POINTS) == dependence_plot(POINTS[::-1])


class TestForest:
    def test_words(self) -> None:
        said = described(forest_plot(RATIOS))
        assert (
            "sex, demographic parity ratio: 0.62 (0.50 – 0.75), limit 0.80, outside the limit of the policy, n = 200."
        ) in said
        assert "sex, equalized odds difference: undefined, n = 200." in said
        assert "age, demographic parity ratio: 0.93 (0.80 – 1.00), limit 0.80, n = 200." in said

    def test_what_lies_outside_has_another_shape(self) -> None:
        drawn = forest_plot(RATIOS)
        assert len(marks(drawn, "plot-dot-below")) == 2  # the one, and the legend
        assert len(marks(drawn, "plot-dot")) == 2
        assert forest_plot([("accuracy", "sex", 0.5, None, None, None, 3)]) == ""

    def test_a_difference_without_a_range_has_a_panel_of_its_own(self) -> None:
        """Treatment equality may be 15: on one axis with shares it would press them all onto 0."""
        odd = ("treatment_equality_difference", "sex", 12.0, 3.0, 15.0, None, 200)
        alone, both = forest_plot([RATIOS[3]]), forest_plot([odd, RATIOS[3]])
        assert marks(both, "plot-dot")[0]["cx"] == marks(alone, "plot-dot")[0]["cx"]
        assert len(marks(both, "plot-dot")) == 2
        assert "In its own unit: 0 is no disparity" in texts(both)

    def test_a_metric_stands_above_its_lines_whole_and_in_the_readers_words(self) -> None:
        long = "occupation of the head of the household, as declared on the form"
        drawn = forest_plot([("demographic_parity_ratio", long, 0.9, 0.8, 1.0, 0.8, 9)], title_of=str.upper)
        assert "DEMOGRAPHIC_PARITY_RATIO" in texts(drawn)
        assert long in described(drawn)

    def test_of_too_many_lines_those_of_single_columns_are_drawn(self) -> None:
        rows = [("x_difference", f"a{n}×b{n}", 0.1, 0.0, 0.2, None, 9) for n in range(MOST_ROWS)]
        said = described(forest_plot([*rows, ("x_difference", "z", 0.3, 0.2, 0.4, None, 9)]))
        assert "z, x difference: 0.30" in said
        assert "Further disparities not drawn: 1." in said


DRAWINGS: list[Any] = [
    lambda name, value, **how: waterfall_plot(
        [(name, value), ("b", 0.3)], {"base_value": 0.2}, {name}, **how
    ),
    lambda name, value, **how: weights_plot([(name, value), ("b", 0.3)], {}, {name}, **how),
    lambda name, value, **how: dependence_plot([(name, 0.2, value), (name, 0.9, 0.1)], {name}, **how),
    lambda name, value, **how: forest_plot([("x_ratio", name, value, 0.1, 0.9, 0.8, 3), RATIOS[0]], **how),
]


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names(draw: Any, name: Any) -> None:
    drawn = draw(name, 0.4, labels=pseudo, number=brazilian)
    assert tree(drawn) is not None
    assert list(outside(drawn)) == []


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("value", NUMBERS, ids=str)
def test_odd_numbers(draw: Any, value: Any) -> None:
    drawn = draw("a", value)
    if drawn:
        assert tree(drawn) is not None
        assert list(outside(drawn)) == []


def test_they_are_drawn_from_stored_tables() -> None:
    tables = [
        {
            "id": "shap_local",
            "columns": ["feature", "phi"],
            "rows": STEPS,
            "params": {**PARAMS, "output_space": "margin"},
        },
        {"id": "lime_local", "columns": ["feature", "weight"], "rows": STEPS, "params": {"r2": 0.913}},
        {"id": "shap_dependence", "columns": ["feature", "value_rank", "phi"], "rows": POINTS},
        {
            "id": "disparities",
            "columns": ["metric", "attribute", "value", "low", "high", "limit", "n"],
            "rows": RATIOS,
        },
    ]
    plots = plots_for(tables)
    drawn = [plot.id for plot in plots]
    assert drawn == ["shap_local", "lime_local", "shap_dependence", "disparities", "disparities"]
    assert "log-odds" in plots[0].caption
    assert "R² = 0.91" in plots[1].caption
    assert plots_for(tables) == plots
