"""What fits on a sheet of paper: a figure cannot be broken, so a long table takes several."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from audits.plots import plots_for
from audits.plots.forest import UNBOUNDED
from audits.plots.rates import COLUMNS, MOST_ATTRIBUTES, MOST_EXCLUDED, group_rates_plot
from tests.plots.reading import described, marks, outside, texts

SHEET = 1230  # pixels that a sheet of A4 holds, made a fifth smaller


def rates(attribute: str, groups: int, excluded: int = 0) -> list[tuple[Any, ...]]:
    fixed = (0.4, 0.3, 0.5, None, None, None, None, None)
    compared = [(attribute, f"{attribute} {n}", 50 + n, 20, 30, *fixed, None) for n in range(groups)]
    return compared + [
        (attribute, f"{attribute} few {n}", n + 1, 1, 1, *fixed, "few") for n in range(excluded)
    ]


def groups(rows: list[tuple[Any, ...]], **params: Any) -> dict[str, Any]:
    return {"id": "groups", "columns": COLUMNS, "rows": rows, "params": params}


def height(drawn: str) -> float:
    return float(ET.fromstring(drawn).attrib["height"])


def test_long_tables_take_several_figures_and_nothing_is_drawn_twice() -> None:
    rows = [row for n in range(8) for row in rates(f"column {n}", 12)]
    plots = plots_for([groups(rows)])
    assert len(plots) == 4
    assert [bool(plot.caption) for plot in plots] == [True, False, False, False]
    assert all(height(plot.svg) < SHEET for plot in plots)
    drawn = [label for plot in plots for label in texts(plot.svg) if label.startswith("column")]
    assert len(drawn) == len(set(drawn)) == 8 * 13
    ids = [node.get("id") for plot in plots for node in ET.fromstring(plot.svg).iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    assert plots_for([groups(rows)]) == plots


def test_attributes_that_no_figure_has_are_counted_once() -> None:
    rows = [row for n in range(MOST_ATTRIBUTES + 3) for row in rates(f"column {n}", 20)]
    plots = plots_for([groups(rows)])
    told = [plot for plot in plots if "Further attributes not drawn: 3." in texts(plot.svg)]
    assert told == plots[-1:]
    points = [(f"column {n}", g, "bmi", 0.1) for n in range(10) for g in "ab"]
    table = {"id": "shap_by_group", "columns": ["attribute", "group", "feature", "mean_abs"], "rows": points}
    assert "Further attributes not drawn: 2." in texts(plots_for([table])[-1].svg)


def test_small_groups_do_not_push_the_others_aside() -> None:
    drawn = group_rates_plot(rates("country", 3, excluded=MOST_EXCLUDED + 32))
    names = [label for label in texts(drawn) if label.startswith("country ")]
    assert names[:3] == ["country 0", "country 1", "country 2"]
    assert names[3:] == [f"country few {n}" for n in range(32, 32 + MOST_EXCLUDED)], "the largest of them"
    assert "country: 32 further groups are not compared, and not drawn." in texts(drawn)
    assert "32 further groups" in described(drawn)


@pytest.mark.parametrize("limit", [None, 0.8])
def test_the_name_of_an_attribute_has_the_width_of_the_figure(limit: float | None) -> None:
    name = "foreign_worker×personal_status"
    drawn = group_rates_plot([(name, *row[1:]) for row in rates("a", 2)], limit)
    assert name in texts(drawn)
    assert list(outside(drawn)) == []


def test_ratios_differences_and_other_units_are_a_figure_each() -> None:
    metrics = ["demographic_parity_ratio", "demographic_parity_difference", UNBOUNDED[0]]
    rows = [(metric, f"a{n}", 0.9, 0.8, 1.0, None, 50) for metric in metrics for n in range(25)]
    columns = ("metric", "attribute", "value", "low", "high", "limit", "n")
    plots = plots_for([{"id": "disparities", "columns": columns, "rows": rows}])
    assert len(plots) == 3
    assert all(height(plot.svg) < SHEET for plot in plots)
    assert not any(marks(plot.svg, "plot-dot-below") for plot in plots), "no legend of what is not there"
