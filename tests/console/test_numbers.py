"""Every figure of a real result has its numbers in a table, in the reader's way of writing, and the rows of nobody."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from audits.plots import plots_for
from governance.console.numbers import SUMMED, TABLES, numbers_of
from governance.console.tables import rows_of, tables_of
from tests.checks import cast
from tests.checks.test_execute import study

OTHERWISE = {"groups"}  # has a table of its own: governance.console.tables.groups_table
CHECKS = (
    "evaluation.performance",
    "bias.group_disparity",
    "explainability.shap",
    "bias.proxy_scan",
    "drift.distribution",
    "drift.concept",
    "robustness.perturbation",
)
POINTS = [{"feature": "bmi", "value_rank": n / 9, "phi": (n - 4) / 10} for n in range(10)]


def shown(table_id: str, rows: list[dict[str, Any]], language: str = "en") -> list[list[str]]:
    with translation.override(language):
        found = numbers_of(table_id, rows)
        assert found is not None
        heading, table = found
        assert heading
        return [[cell.text for cell in table.heads], *([cell.text for cell in row] for row in table.rows)]


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_drawn_is_also_told_in_numbers(check: str) -> None:
    result = cast.run(check, **study())
    drawn = {plot.id for plot in plots_for(result["tables"])}
    assert drawn
    for table_id in drawn - OTHERWISE:
        rows = rows_of(result, table_id)
        head, *lines = shown(table_id, rows)
        assert len(lines) == (
            len({row["feature"] for row in rows}) if table_id == "shap_points" else len(rows)
        )
        assert all(len(line) == len(head) for line in lines)
        assert "" not in {cell for line in lines for cell in line}
    known = {table["id"] for table in tables_of(result)}
    assert known <= {*TABLES, *SUMMED, *OTHERWISE, "evaluation", "disparity_tests"}


def test_numbers_are_written_as_the_reader_writes_them() -> None:
    rows = [{"bin_low": 0.0, "bin_high": 0.1, "n": 1234, "mean_score": 0.05, "observed_rate": 0.0625}]
    assert shown("calibration", rows)[1] == ["0.000 – 0.100", "1,234", "0.050", "0.062"]
    assert shown("calibration", rows, "pt-br") == [
        ["Escores", "Linhas", "Escore médio", "Taxa observada"],
        ["0,000 – 0,100", "1.234", "0,050", "0,062"],
    ]


def test_figures_without_a_range_have_three_digits_of_the_largest() -> None:
    rows = [
        {"feature": "bmi", "mean_abs": 0.0123456789, "mean_signed": -0.0023456789, "share": 0.9},
        {"feature": "age", "mean_abs": 0.001, "mean_signed": 0.001, "share": 0.1},
    ]
    assert shown("shap_importance", rows)[1:] == [
        ["bmi", "0.0123", "−0.0023", "0.900"],
        ["age", "0.0010", "+0.0010", "0.100"],
    ]


def test_personal_data_is_called_by_its_words() -> None:
    from audits.checks.personal import KINDS
    from governance.console.numbers import PERSONAL, PERSONAL_KINDS

    assert set(PERSONAL) == set(KINDS)
    assert set(PERSONAL_KINDS) == set(KINDS.values())
    row = {"dataset": "training", "column": "fone", "category": "phone", "kind": "direct", "by": "both"}
    found = {**row, "match_ratio": 0.9, "sampled": 50}
    cells = [
        "treinamento",
        "fone",
        "número de telefone",
        "identifica uma pessoa",
        "nome e valores",
        "0,900",
        "50",
    ]
    assert shown("privacy_columns", [found], "pt-br")[1] == cells


def test_points_are_summed_up() -> None:
    (line,) = shown("shap_points", POINTS)[1:]
    assert line == [
        "bmi",
        "10",
        "0.250",
        "−0.400",
        "+0.500",
        "−0.350",
        "−0.150",
        "+0.050",
        "+0.250",
        "+0.450",
    ]
    without_order = [{**row, "value_rank": None} for row in POINTS]
    assert shown("shap_points", without_order)[1][5:] == ["–"] * 5


def test_all_rows_are_not_a_group_nobody_knows() -> None:
    row = {"attribute": None, "group": None, "disturbance": "noise", "n": 9, "flipped": 0, "flip_rate": 0.0}
    assert shown("robustness", [row])[1] == ["noise", "–", "all rows", "9", "0", "0.000", "–"]


@pytest.mark.parametrize(
    "value",
    [None, "x" * 500, [], {}, float("inf"), float("nan"), True, 10**400, "<b>"],
    ids=lambda value: repr(value)[:9],
)
def test_a_strangers_rows_break_nothing(value: Any) -> None:
    for table_id in (*TABLES, *SUMMED):
        rows = [
            dict.fromkeys(("attribute", "group", "feature", "n", "phi", "mean_abs", "low", "high"), value)
        ]
        numbers_of(table_id, rows)
        numbers_of(table_id, [{}])
    assert numbers_of("unknown", [{"x": 1}]) is None
    assert numbers_of(value, [{"x": 1}]) is None
