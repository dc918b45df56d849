"""Check results as a page may show them. They were computed beside a stranger's model, so nothing in them is believed:
what has not the expected shape is left out and said to be, names cannot hide or reorder their neighbours, and a table
has an end."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeGuard

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from audits.models import CheckRun
from audits.plots import plots_for
from audits.plots.svg import clean_name
from governance.console.wording import (
    CHECKS,
    COLUMN_KINDS,
    DATA_ROLES,
    EXCLUDED,
    METRICS,
    number,
    quantity,
    reader,
    sentence,
    word,
)

log = logging.getLogger(__name__)
MOST_ROWS = 200
MOST_NOTES = 30
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


@dataclass(frozen=True)
class Figure:
    title: str
    svg: SafeString
    caption: str


@dataclass(frozen=True)
class CheckView:
    """One check of the dossier with everything a reader may want to see of it."""

    run: CheckRun
    title: str
    outcome: str
    error: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[tuple[str, TableView]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    measures: TableView | None = None
    unreadable: bool = False

    @property
    def open_tables(self) -> bool:
        """The figures of groups and of the evaluation are read, the list of columns is looked up."""
        return self.run.check_slug != "data.quality"


def rows_of(result: Any, table_id: str) -> list[dict[str, Any]]:
    """The rows of a table as mappings; [] where it is absent or has no such shape."""
    rows: list[dict[str, Any]] = []
    for table in _tables(result):
        if table.get("id") != table_id:
            continue
        columns, given = table.get("columns"), table.get("rows")
        if not _is_list(columns) or not _is_list(given):
            continue
        names = [column if isinstance(column, str) else "" for column in columns]
        rows += [dict(zip(names, row, strict=False)) for row in given if _is_list(row)]
    return rows


def _tables(result: Any) -> list[Mapping[str, Any]]:
    tables = result.get("tables") if isinstance(result, Mapping) else None
    return [table for table in tables if isinstance(table, Mapping)] if _is_list(tables) else []


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def text_cell(value: Any) -> Cell:
    text = reader().name(value)
    return Cell(text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…")


def number_cell(value: Any, *, whole: bool = False) -> Cell:
    """A number, `–` for none, and whatever else stands there as a name."""
    if value is None:
        return Cell("–", is_number=True)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return text_cell(value)
    return Cell(reader().decimals(float(value), 0) if whole else quantity(float(value)), is_number=True)


def rate_cell(value: Any) -> Cell:
    """A share, always with three decimals, so that the figures of a column stand below each other."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return number_cell(value)
    return Cell(reader().decimals(float(value), 3), is_number=True)


def _table(heads: list[str], numeric_from: int, rows: list[dict[str, Any]], cells: Any) -> TableView:
    shown = [cells(row) for row in islice(rows, MOST_ROWS)]
    return TableView(
        [Cell(head, is_number=place >= numeric_from) for place, head in enumerate(heads)],
        shown,
        max(0, len(rows) - MOST_ROWS),
    )


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
        for metric in (metrics if _is_list(metrics) else ())
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
        ends = [rate_cell(end).text for end in interval] if _is_list(interval) else []
        return [
            Cell(word(METRICS, row.get("metric"))),
            of,
            value,
            Cell(" – ".join(ends), is_number=True),
            number_cell(row.get("n"), whole=True),
        ]

    return _table(heads, 2, rows, cells)


def check_view(
    run: CheckRun, prefix: str, *, ratio_limits: Mapping[str, float], sensitive: Collection[str]
) -> CheckView:
    """Everything of one run. A result of another shape than expected becomes a view that says so.

    `ratio_limits`: attribute → the least ratio of selection rates that the policy accepts.
    """
    title = word(CHECKS, run.check_slug)
    result = run.result
    if not isinstance(result, Mapping):
        return CheckView(run, title, run.state, "")
    view = CheckView(
        run,
        title,
        str(result.get("outcome", "")),
        sentence(result["error"]) if isinstance(result.get("error"), Mapping) else "",
        measures=measures_table(result),
        unreadable=not _is_list(result.get("tables")),
    )
    view.figures.extend(_figures(result, prefix, ratio_limits, sensitive))
    known = (
        ("groups", gettext("Rates per group"), groups_table),
        ("disparity_tests", gettext("Is the decision independent of the group?"), tests_table),
        ("evaluation", gettext("Claimed and recomputed"), evaluation_table),
        ("columns", gettext("Columns"), columns_table),
    )
    for table_id, heading, build in known:
        if rows := rows_of(result, table_id):
            view.tables.append((heading, build(rows)))
    notes = result.get("notes")
    for note in islice(notes, MOST_NOTES) if _is_list(notes) else ():
        if isinstance(note, Mapping):
            view.notes.append(sentence(note))
    view.facts.extend(_facts(run))
    return view


def _figures(
    result: Mapping[str, Any], prefix: str, ratio_limits: Mapping[str, float], sensitive: Collection[str]
) -> list[Figure]:
    # Whatever a stranger's table makes the drawing trip over: the figures are gone then; verdict and form must not be.
    try:
        plots = plots_for(
            [part for table in _tables(result) for part in _by_limit(table, ratio_limits)],
            labels=gettext,
            number=number,
            prefix=prefix,
            sensitive=sensitive,
            reason=excluded,
        )
    except Exception:
        log.exception("figures of a check result could not be drawn")
        return []
    return [
        # audits.plots escapes every name and number it draws: its SVG is the only markup we let through.
        Figure(gettext(plot.title_msgid), mark_safe(plot.svg), plot.caption)  # noqa: S308
        for plot in plots
    ]


def _by_limit(table: Mapping[str, Any], ratio_limits: Mapping[str, float]) -> list[Mapping[str, Any]]:
    """The groups as one table for each limit of the policy: an attribute nobody asked about is drawn without one.

    The limit is the policy's alone; whatever the result itself says it is does not count.
    """
    if table.get("id") != "groups":
        return [table]
    rows: dict[float | None, list[dict[str, Any]]] = {}
    for row in rows_of({"tables": [table]}, "groups"):
        attribute = row.get("attribute")
        limit = ratio_limits.get(attribute) if isinstance(attribute, str) else None
        rows.setdefault(limit, []).append(row)
    # plots_for takes rows by name: no columns needed
    return [
        {"id": "groups", "rows": part, "params": {} if limit is None else {"ratio_limit": limit}}
        for limit, part in sorted(rows.items(), key=lambda item: item[0] is None)
    ]


def _facts(run: CheckRun) -> list[tuple[str, str]]:
    """Circumstances of the run: how it was confined, how long it took, with which libraries."""
    environment = run.run_environment if isinstance(run.run_environment, Mapping) else {}
    facts: list[tuple[str, str]] = []
    confinement = environment.get("confinement")
    if isinstance(confinement, Mapping):
        mechanisms = confinement.get("mechanisms")
        how = ", ".join(clean_name(item) for item in mechanisms) if _is_list(mechanisms) else ""
        level = gettext("level {level}").format(level=clean_name(confinement.get("level")))
        facts.append((gettext("Confinement"), f"{level} ({how})" if how else level))
    seconds = environment.get("seconds")
    if isinstance(seconds, int | float):
        facts.append((gettext("Duration"), gettext("{n} s").format(n=reader().decimals(float(seconds), 1))))
    libraries = environment.get("libraries")
    if isinstance(libraries, Mapping):
        shown = ", ".join(f"{clean_name(name)} {clean_name(version)}" for name, version in libraries.items())
        facts.append((gettext("Libraries"), shown))
    return facts
