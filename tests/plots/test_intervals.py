"""Points with intervals: every line is told in words, hostile names are text, and nothing is drawn from nothing."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from audits.checks.catalogue import CATALOGUE
from audits.plots.dispatch import plots_for
from audits.plots.intervals import MOST_LINES, Line, interval_plot
from audits.plots.reader import Reader
from tests.checks import cast
from tests.checks.test_execute import study

DRAWN = {
    "drift.distribution": {"drift"},
    "drift.concept": {"performance_over_time"},
    "robustness.perturbation": {"robustness"},
    "bias.proxy_scan": {"proxies"},
    "bias.group_disparity": {"groups", "calibration_by_group"},
}


def drawn(lines: list[Line], **what: Any) -> ElementTree.Element:
    told = {"prefix": "p", "kind": "k", "title": "t", "axis": "a", **what}
    return ElementTree.fromstring(interval_plot(lines, Reader(), **told))


@pytest.mark.parametrize("check", DRAWN)
def test_a_real_result_is_drawn_the_same_each_time(check: str) -> None:
    result = cast.run(check, **study())
    plots = plots_for(result["tables"])
    assert {plot.id for plot in plots} == DRAWN[check]
    assert plots == plots_for(result["tables"])
    said = set()
    for plot in plots:
        root = ElementTree.fromstring(plot.svg)
        assert plot.caption or plot.id in said  # once, with the first figure of a table
        said.add(plot.id)
        assert root[1].text  # the description


def test_every_line_is_told_with_its_interval() -> None:
    root = drawn([Line("noise", "sex · 1", 0.25, 0.2, 0.31), Line("noise", "all", 0.1, None, None)])
    words = str(root[1].text)
    assert "0.25 (0.20 – 0.31)" in words
    assert "0.10." in words
    assert len(root.findall(".//{*}circle")) == 2


def test_limits_and_lines_beyond_what_fits() -> None:
    lines = [Line("", f"c{n}", n / 100, None, None) for n in range(MOST_LINES + 5)]
    root = drawn(lines, marks=(0.1, 0.25))
    assert len(root.findall(".//{*}circle")) == MOST_LINES
    assert len([node for node in root.iter() if node.get("class") == "plot-limit"]) == 2
    assert "Further lines not drawn: 5." in str(root[1].text)


def test_a_section_is_drawn_as_a_whole_or_not_at_all() -> None:
    lines = [Line(f"group {n // 9}", f"bin {n % 9}", n / 100, None, None) for n in range(5 * 9)]
    root = drawn(lines)
    assert len(root.findall(".//{*}circle")) == 36
    assert "Further lines not drawn: 9." in str(root[1].text)
    alone = drawn([Line("one", f"bin {n}", 0.1, None, None) for n in range(MOST_LINES + 5)])
    assert len(alone.findall(".//{*}circle")) == MOST_LINES


def test_a_hostile_name_is_text() -> None:
    root = drawn([Line("<script>", '"><svg onload=x>', 0.5, 0.4, 0.6)])
    assert not [node for node in root.iter() if node.tag.endswith("script") or node.get("onload")]


@pytest.mark.parametrize("value", [None, "much", float("nan"), True])
def test_nothing_is_drawn_from_nothing(value: Any) -> None:
    table = {"id": "robustness", "columns": ["disturbance", "flip_rate"], "rows": [["noise", value]]}
    assert plots_for([table]) == []


def test_plots_belong_to_tables_that_a_check_gives() -> None:
    assert set(DRAWN) <= set(CATALOGUE)


def test_what_lies_beyond_the_axis_is_a_triangle_at_its_end_and_keeps_its_figure() -> None:
    """One column that is something else altogether does not press the others into a corner."""
    lines = [Line("", "odd", 9.35, 8.0, 11.0), Line("", "usual", 0.12, 0.05, 0.2)]
    root = drawn(lines, marks=(0.1, 0.25), most=1.0)
    assert len(root.findall(".//{*}circle")) == 1
    assert len([node for node in root.iter() if node.tag.endswith("path")]) == 1
    assert "odd: 9.35 (8.00 – 11.00)" in str(root[1].text)
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert "Triangles lie beyond the axis: read their figures." in texts
    within = drawn([lines[1]], marks=(0.1, 0.25), most=1.0)
    assert not [node for node in within.iter() if node.tag.endswith("path")]


def test_disturbances_are_told_by_whom_they_concern() -> None:
    table = {
        "id": "robustness",
        "columns": ["attribute", "group", "disturbance", "n", "flipped", "flip_rate", "low", "high"],
        "rows": [
            [None, None, "missing", 9, 1, 0.1, 0.0, 0.3],
            ["occupation of the head of the household", "teacher", "missing", 9, 1, 0.1, 0.0, 0.3],
        ],
    }
    said = str(ElementTree.fromstring(plots_for([table])[0].svg)[1].text)
    assert "missing values, all rows: 0.10" in said
    assert "missing values · occupation of the head of the household, teacher: 0.10" in said
