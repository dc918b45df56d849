"""Tables of check results as cells to show: names made safe, numbers as the reader writes them, and an end to it.

The rows were computed beside a stranger's model: whatever has not the expected shape is shown as a name, or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeGuard

from django.utils.translation import gettext

from audits.plots.svg import finite
from governance.console.wording import (
    COLUMN_KINDS,
    DATA_ROLES,
    EXCLUDED,
    METRICS,
    quantity,
    reader,
    sentence,
    word,
)

MOST_ROWS = 200
LONGEST_CELL = 120


@dataclass(frozen=True)
class Cell:
    text: str
    is_number: bool = False


@dataclass(frozen=True)
class TableView:
    heads: list[Cell]
    rows: list[list[Cell]]
    left_out: int = 0


def rows_of(result: Any, table_id: str) -> list[dict[str, Any]]:
    """The rows of a table as mappings; [] where it is absent or has no such shape."""
    rows: list[dict[str, Any]] = []
    for table in tables_of(result):
        if table.get("id") != table_id:
            continue
        columns, given = table.get("columns"), table.get("rows")
        if not is_list(columns) or not is_list(given):
            continue
        names = [column if isinstance(column, str) else "" for column in columns]
        rows += [dict(zip(names, row, strict=False)) for row in given if is_list(row)]
    return rows


def tables_of(result: Any) -> list[Mapping[str, Any]]:
    tables = result.get("tables") if isinstance(result, Mapping) else None
    return [table for table in tables if isinstance(table, Mapping)] if is_list(tables) else []


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def text_cell(value: Any) -> Cell:
    text = reader().name(value)
    return Cell(text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…")


def number_cell(value: Any, *, whole: bool = False) -> Cell:
    """A number, `–` for none, and whatever else stands there as a name."""
    if value is None:
        return Cell("–", is_number=True)
    if finite(value) is None:
        return text_cell(value)
    return Cell(reader().decimals(float(value), 0) if whole else quantity(float(value)), is_number=True)


def rate_cell(value: Any) -> Cell:
    """A share, always with three decimals, so that the figures of a column stand below each other."""
    if finite(value) is None:
        return number_cell(value)
    return Cell(reader().decimals(float(value), 3), is_number=True)


def table_of(
    heads: list[Cell], rows: list[dict[str, Any]], cells: Callable[[dict[str, Any]], list[Cell]]
) -> TableView:
    """The first 200 rows as `cells` makes them, and how many more there are."""
    shown = [cells(row) for row in islice(rows, MOST_ROWS)]
    return TableView(heads, shown, max(0, len(rows) - MOST_ROWS))


def _table(
    heads: list[str],
    numeric_from: int,
    rows: list[dict[str, Any]],
    cells: Callable[[dict[str, Any]], list[Cell]],
) -> TableView:
    named = [Cell(head, is_number=place >= numeric_from) for place, head in enumerate(heads)]
    return table_of(named, rows, cells)


def groups_table(rows: list[dict[str, Any]]) -> TableView:
    heads = [
        gettext("Attribute"),
        gettext("Group"),
        gettext("Rows"),
        gettext("Selection rate"),
        gettext("Interval"),
        gettext("True positive rate"),
        gettext("False positive rate"),
        gettext("Precision"),
        gettext("Accuracy"),
        gettext("Base rate"),
    ]

    def cells(row: dict[str, Any]) -> list[Cell]:
        low, high = rate_cell(row.get("selection_rate_low")), rate_cell(row.get("selection_rate_high"))
        names = ("true_positive_rate", "false_positive_rate", "precision", "accuracy", "base_rate")
        interval = Cell("–" if low.text == "–" else f"{low.text} – {high.text}", is_number=True)
        group = text_cell(row.get("group"))
        if row.get("excluded"):
            group = Cell(f"{group.text} ({excluded(row['excluded'])})")
        return [
            text_cell(row.get("attribute")),
            group,
            number_cell(row.get("n"), whole=True),
            rate_cell(row.get("selection_rate")),
            interval,
            *(rate_cell(row.get(name)) for name in names),
        ]

    return _table(heads, 2, rows, cells)


def excluded(value: object) -> str:
    """Why a group takes no part in the comparison."""
    if isinstance(value, Mapping):
        return sentence(value)
    return gettext("not compared") if value is True else word(EXCLUDED, value)


def evaluation_table(rows: list[dict[str, Any]]) -> TableView:
    heads = [
        gettext("Metric"),
        gettext("Claimed"),
        gettext("Recomputed"),
        gettext("On training data"),
        gettext("Constant answer"),
    ]
    names = ("claimed", "evaluation", "training", "baseline")

    def cells(row: dict[str, Any]) -> list[Cell]:
        return [Cell(word(METRICS, row.get("metric"))), *(rate_cell(row.get(name)) for name in names)]

    return _table(heads, 1, rows, cells)


def columns_table(rows: list[dict[str, Any]]) -> TableView:
    heads = [
        gettext("Dataset"),
        gettext("Column"),
        gettext("Kind"),
        gettext("Missing"),
        gettext("Distinct"),
        gettext("Least"),
        gettext("Greatest"),
    ]

    def cells(row: dict[str, Any]) -> list[Cell]:
        return [
            Cell(word(DATA_ROLES, row.get("dataset"))),
            text_cell(row.get("column")),
            Cell(word(COLUMN_KINDS, row.get("type"))),
            number_cell(row.get("missing"), whole=True),
            number_cell(row.get("distinct"), whole=True),
            number_cell(row.get("minimum")),
            number_cell(row.get("maximum")),
        ]

    return _table(heads, 3, rows, cells)


def tests_table(rows: list[dict[str, Any]]) -> TableView:
    heads = [
        gettext("Attribute"),
        gettext("χ²"),
        gettext("Degrees of freedom"),
        gettext("p-value"),
        gettext("p-value, adjusted (Holm)"),
    ]

    def cells(row: dict[str, Any]) -> list[Cell]:
        return [
            text_cell(row.get("attribute")),
            rate_cell(row.get("chi_square")),
            number_cell(row.get("degrees"), whole=True),
            rate_cell(row.get("p_value")),
            rate_cell(row.get("p_holm")),
        ]

    return _table(heads, 1, rows, cells)


def measures_table(result: Mapping[str, Any]) -> TableView | None:
    """Everything the check measured, asked for by the policy or not; rates of single groups are in their own table."""
    metrics = result.get("metrics")
    rows = [
        dict(metric)
        for metric in (metrics if is_list(metrics) else ())
        if isinstance(metric, Mapping) and not (metric.get("attribute") and metric.get("group"))
    ]
    if not rows:
        return None
    heads = [gettext("Measure"), gettext("Of"), gettext("Value"), gettext("Interval"), gettext("Rows")]

    def cells(row: dict[str, Any]) -> list[Cell]:
        about, undefined, interval = row.get("attribute"), row.get("undefined"), row.get("interval")
        of = text_cell(about) if about else Cell(word(DATA_ROLES, row["group"]) if row.get("group") else "")
        value = number_cell(row.get("value"))
        if isinstance(undefined, Mapping):
            value = Cell(sentence(undefined))
        ends = [rate_cell(end).text for end in interval] if is_list(interval) else []
        return [
            Cell(word(METRICS, row.get("metric"))),
            of,
            value,
            Cell(" – ".join(ends), is_number=True),
            number_cell(row.get("n"), whole=True),
        ]

    return _table(heads, 2, rows, cells)
