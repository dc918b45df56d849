"""Check results as a page may show them. They were computed beside a stranger's model, so nothing in them is believed:
what has not the expected shape is left out and said to be, and names cannot hide or reorder their neighbours."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from audits.models import CheckRun
from audits.plots import plots_for
from audits.plots.svg import clean_name
from governance.console.numbers import numbers_of
from governance.console.running import Running
from governance.console.tables import (
    TableView,
    columns_table,
    evaluation_table,
    excluded,
    groups_table,
    is_list,
    measures_table,
    rows_of,
    tables_of,
    tests_table,
)
from governance.console.wording import CHECKS, METRICS, number, reader, sentence, word

log = logging.getLogger(__name__)
MOST_NOTES = 30


@dataclass(frozen=True)
class Figure:
    title: str
    svg: SafeString
    caption: str


@dataclass(frozen=True)
class Numbers:
    """A table under its heading. `open`: read with the figures; others are looked up."""

    heading: str
    table: TableView
    open: bool = False


@dataclass(frozen=True)
class CheckView:
    """One check of the dossier with everything a reader may want to see of it."""

    run: CheckRun
    title: str
    outcome: str
    error: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Numbers] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    measures: TableView | None = None
    unreadable: bool = False
    running: Running | None = None


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
        unreadable=not is_list(result.get("tables")),
    )
    view.figures.extend(_figures(result, prefix, ratio_limits, sensitive))
    view.tables.extend(_numbers(result))
    notes = result.get("notes")
    for note in islice(notes, MOST_NOTES) if is_list(notes) else ():
        if isinstance(note, Mapping):
            view.notes.append(sentence(note))
    view.facts.extend(_facts(run))
    return view


def _numbers(result: Mapping[str, Any]) -> Iterator[Numbers]:
    read = (
        ("groups", gettext("Rates per group"), groups_table),
        ("disparity_tests", gettext("Is the decision independent of the group?"), tests_table),
        ("evaluation", gettext("Claimed and recomputed"), evaluation_table),
    )
    for table_id, heading, build in read:
        if rows := rows_of(result, table_id):
            yield Numbers(heading, build(rows), open=True)
    if rows := rows_of(result, "columns"):
        yield Numbers(gettext("Columns"), columns_table(rows))
    for table_id in dict.fromkeys(str(table.get("id")) for table in tables_of(result)):
        if found := numbers_of(table_id, rows_of(result, table_id)):
            yield Numbers(*found)


def _figures(
    result: Mapping[str, Any], prefix: str, ratio_limits: Mapping[str, float], sensitive: Collection[str]
) -> list[Figure]:
    # Whatever a stranger's table makes the drawing trip over: the figures are gone then; verdict and form must not be.
    try:
        plots = plots_for(
            [
                *_disparities(result, ratio_limits),
                *(part for table in tables_of(result) for part in _drawn_from(table, ratio_limits)),
            ],
            labels=gettext,
            number=number,
            prefix=prefix,
            sensitive=sensitive,
            reason=excluded,
            metric=lambda name: word(METRICS, name),
        )
    except Exception:
        log.exception("figures of a check result could not be drawn")
        return []
    return [
        # audits.plots escapes every name and number it draws: its SVG is the only markup we let through.
        Figure(gettext(plot.title_msgid), mark_safe(plot.svg), plot.caption)  # noqa: S308
        for plot in plots
    ]


def _drawn_from(table: Mapping[str, Any], ratio_limits: Mapping[str, float]) -> list[Mapping[str, Any]]:
    """A table as what is drawn of it: points are drawn twice, as swarms and against the value."""
    if table.get("id") == "shap_points":
        return [table, {**table, "id": "shap_dependence"}]
    return _by_limit(table, ratio_limits)


def _disparities(result: Mapping[str, Any], ratio_limits: Mapping[str, float]) -> list[Mapping[str, Any]]:
    """The disparities among the metrics, for the forest plot; the limit is the policy's, where it has one."""
    metrics = result.get("metrics")
    rows = []
    for metric in metrics if is_list(metrics) else ():
        if (
            not isinstance(metric, Mapping)
            or metric.get("attribute") is None
            or metric.get("group") is not None
        ):
            continue
        interval = metric.get("interval")
        low, high = interval if is_list(interval) and len(interval) == 2 else (None, None)
        attribute, name = metric["attribute"], metric.get("metric")
        limit = None
        if name == "demographic_parity_ratio" and isinstance(attribute, str):
            limit = ratio_limits.get(attribute)
        rows.append((name, attribute, metric.get("value"), low, high, limit, metric.get("n")))
    columns = ("metric", "attribute", "value", "low", "high", "limit", "n")
    return [{"id": "disparities", "columns": columns, "rows": rows}] if rows else []


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
        how = ", ".join(clean_name(item) for item in mechanisms) if is_list(mechanisms) else ""
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
