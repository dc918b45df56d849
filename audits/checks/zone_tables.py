"""The tables that may leave a data zone, each with its rule; a table without one stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from audits.checks.contract import Table
from audits.checks.zone_terms import WORDS

if TYPE_CHECKING:
    from audits.checks.zones import Border

Rule = Callable[["Border", Table, set[str]], Table | None]


def passed_tables(border: Border, tables: tuple[Table, ...], left: set[str]) -> tuple[Table, ...]:
    """`left`: the metrics whose figures leave. A table of another shape than its rule knows stays."""
    passed = []
    for table in tables:
        try:
            made = RULES[table.id](border, table, left) if table.id in RULES else None
        except (KeyError, TypeError, ValueError):
            made = None
        if made is None:
            border.kept_back += 1
        else:
            passed.append(made)
    return tuple(passed)


def _evaluation(border: Border, table: Table, left: set[str]) -> Table | None:
    rows = tuple(
        (metric, None, value, claimed, None)
        for metric, value, claimed in rows_of(table, "metric", "evaluation", "claimed")
        if metric in left and (claimed is None or _number(claimed))
    )
    return Table("evaluation", ("metric", "training", "evaluation", "claimed", "baseline"), rows)


def _confusion(border: Border, table: Table, left: set[str]) -> Table | None:
    if border.withheld_family or not all(n >= border.zone.k for n in border.classes.values()):
        return None
    labels = {str(cell) for row in rows_of(table, "truth", "prediction") for cell in row}
    if not labels <= set(border.classes):
        return None
    return _only(table, "truth", "prediction", "n")


def _bins(border: Border, table: Table, left: set[str]) -> Table | None:
    for n, observed in rows_of(table, "n", "observed_rate"):
        if border.small(n) or border.told_apart(round((observed or 0.0) * n), n):
            return None
    return _only(table, "bin_low", "bin_high", "n", "mean_score", "observed_rate")


def _groups(border: Border, table: Table, left: set[str]) -> Table | None:
    at, group = table.columns.index("attribute"), table.columns.index("group")
    whole = tuple(
        row
        for row in table.rows
        if row[at] in border.grouped
        and (row[at], row[group]) in border.groups
        and not any(isinstance(cell, str) for place, cell in enumerate(row) if place not in (at, group))
    )
    params: dict[str, Any] = {
        name: value for name, value in table.params.items() if name in ("min_group", "level", "rows")
    }
    label = table.params.get("favourable_label")
    if isinstance(label, str) and border.may_say(label):
        params["favourable_label"] = label
    return Table(table.id, table.columns, whole, params) if whole else None


def _tests(border: Border, table: Table, left: set[str]) -> Table | None:
    """Grows with the rows compared: only where all are."""
    at = table.columns.index("attribute")
    numeric = [place for place in range(len(table.columns)) if place != at]
    rows = tuple(
        row
        for row in table.rows
        if row[at] in border.grouped and not any(isinstance(row[place], str) for place in numeric)
    )
    return Table(table.id, table.columns, rows) if rows else None


def _robustness(border: Border, table: Table, left: set[str]) -> Table | None:
    columns = table.columns
    at, name, n, flipped = (columns.index(each) for each in ("attribute", "disturbance", "n", "flipped"))
    rows = tuple(
        row
        for row in table.rows
        if row[name] in WORDS
        and (
            row[at] is None
            or (row[at] in border.grouped and (row[at], row[columns.index("group")]) in border.groups)
        )
        and not border.told_apart(row[flipped], row[n])
    )
    params = {key: value for key, value in table.params.items() if _number(value)}
    return Table(table.id, columns, rows, params) if rows else None


def _columns(border: Border, table: Table, left: set[str]) -> Table | None:
    wanted = ("dataset", "column", "type", "missing")
    lines = [row for row in rows_of(table, *wanted) if all(border.may_say(str(cell)) for cell in row[:3])]
    told = len(lines) == len(table.rows) and not any(border.small(row[3]) for row in lines)
    rows = tuple((*row[:3], row[3] if told else None, None, None, None) for row in lines)
    return Table(table.id, (*wanted, "distinct", "minimum", "maximum"), rows)


def _importance(border: Border, table: Table, left: set[str]) -> Table | None:
    rows, background = table.params.get("rows"), table.params.get("background_rows")
    if not _sayable(border, table, "feature") or not isinstance(rows, int) or rows < border.zone.k:
        return None
    return replace(table, params=_explained(border, table, not border.small(background)))


def _local(border: Border, table: Table, left: set[str]) -> Table | None:
    if not _sayable(border, table, "feature"):
        return None
    params = _explained(border, table, not border.small(table.params.get("background_rows")))
    # What the model says of the record that was asked about: nothing of the data in the zone.
    for name in ("prediction", "explains"):
        if isinstance(label := table.params.get(name), str | float | int):
            params[name] = label
    params["sensitive"] = [name for name in table.params.get("sensitive") or [] if border.may_say(str(name))]
    return replace(table, params=params)


def _explained(border: Border, table: Table, base: bool) -> dict[str, Any]:
    allowed = {
        *("route", "output_space", "estimand", "rows", "background_rows", "seed", "output", "score"),
        *("additivity_error", "favourable", "intercept", "fitted", "r2", "samples", "kernel_width"),
        *(("base_value",) if base else ()),
    }
    return {
        name: value
        for name, value in table.params.items()
        if name in allowed and (not isinstance(value, str) or border.may_say(value))
    }


def _sayable(border: Border, table: Table, *names: str) -> bool:
    """Whether the texts of these columns may be said in every row."""
    return all(cell is None or border.may_say(str(cell)) for row in rows_of(table, *names) for cell in row)


def _named(*texts: str, blank: tuple[str, ...] = (), counts: tuple[str, ...] = ()) -> Rule:
    """A table that leaves row by row: `texts` have to be sayable, `counts` not small; `blank` columns are emptied."""

    def passed(border: Border, table: Table, left: set[str]) -> Table | None:
        place = {name: at for at, name in enumerate(table.columns)}
        rows = []
        for row in table.rows:
            if not all(row[place[name]] is None or border.may_say(str(row[place[name]])) for name in texts):
                continue
            if any(border.small(row[place[name]]) for name in counts):
                continue
            if any(
                isinstance(cell, str)
                for name, cell in zip(table.columns, row, strict=True)
                if name not in texts
            ):
                continue
            rows.append(
                tuple(None if name in blank else cell for name, cell in zip(table.columns, row, strict=True))
            )
        params = {key: value for key, value in table.params.items() if _number(value)}
        return Table(table.id, table.columns, tuple(rows), params) if rows else None

    return passed


def rows_of(table: Table | None, *names: str) -> list[tuple[Any, ...]]:
    if table is None or not set(names) <= set(table.columns):
        return []
    places = [table.columns.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in table.rows]


def _only(table: Table, *names: str) -> Table:
    return Table(table.id, names, tuple(rows_of(table, *names)))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


RULES: dict[str, Rule] = {
    "columns": _columns,
    "evaluation": _evaluation,
    "confusion": _confusion,
    "calibration": _bins,
    "groups": _groups,
    "groups_regression": _groups,
    "disparity_tests": _tests,
    "robustness": _robustness,
    "shap_importance": _importance,
    "shap_proxies": _named("attribute", "feature"),
    "shap_local": _local,
    "lime_local": _local,
    # Sizes without the empty cells and the small groups would tell, beside the whole, how few those are.
    "proxies": _named("attribute", "use", blank=("flips", "n"), counts=("n",)),
    "proxy_features": _named("attribute", "feature", blank=("n",), counts=("n",)),
    "drift": _named(
        *("column", "kind"),
        blank=("wasserstein", "reference_n", "current_n", "missing_change", "chi_square"),
        counts=("reference_n", "current_n"),
    ),
    "resources": _named("measure"),
}
