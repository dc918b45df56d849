"""From the stored tables of a check result to the figures of a page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from audits.plots import (
    beeswarm,
    by_group,
    dependence,
    forest,
    importance,
    intervals,
    rates,
    scores,
    sheets,
    svg,
    waterfall,
)
from audits.plots.rates import Reason
from audits.plots.reader import Labels, NumberFormat, Reader, Row, english, plain_number


@dataclass(frozen=True)
class Plot:
    """One figure. `id` is the table's, `title_msgid` untranslated, `svg` safe to inline, `caption` plain text: empty
    where a table takes several figures, after the first."""

    id: str
    title_msgid: str
    svg: str
    caption: str


@dataclass(frozen=True)
class _Request:
    table: str
    rows: list[Row]
    reader: Reader
    prefix: str
    params: Mapping[str, object]
    limit: float | None
    sensitive: Collection[str]
    reason: Reason | None
    metric: Labels
    hidden: int = 0
    """Attributes of the table that are in none of its figures."""


def gettext_noop(message: str) -> str:
    """Marks a sentence for extraction where it cannot be translated yet."""
    return message


def plots_for(
    tables: Iterable[Mapping[str, object]],
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "plot",
    limit: float | None = None,
    sensitive: Collection[str] = frozenset(),
    reason: Reason | None = None,
    metric: Labels | None = None,
) -> list[Plot]:
    """The figures of `tables` ({id, columns, rows, params} as in `contract.Table`), in their order.

    Tables of an unknown id, without rows or without anything to draw give none. `prefix` must be unique on
    the page; each figure gets its own below it. `limit` (least ratio to the highest rate) and `sensitive`
    (column names) may also come with a table's params, as `ratio_limit` and `sensitive`; the arguments win.
    `labels` is gettext, `number` takes (value, decimals), `reason` renders the `excluded` cell of a group,
    `metric` names a metric.
    """
    reader = Reader(labels, number)
    plots: list[Plot] = []
    for index, table in enumerate(tables):
        name = table.get("id")
        entry = _PLOTS.get(name) if isinstance(name, str) else None
        if entry is None:
            continue
        title, draw, caption = entry
        params = table.get("params")
        params = params if isinstance(params, Mapping) else {}
        request = _Request(
            table=str(name),
            rows=_rows(table),
            reader=reader,
            prefix=f"{prefix}-{index}-{str(name).replace('_', '-')}",
            params=params,
            limit=limit if limit is not None else svg.finite(params.get("ratio_limit")),
            sensitive=sensitive or _names(params.get("sensitive")),
            reason=reason,
            metric=metric or (lambda name: name.replace("_", " ")),
        )
        told = caption(request)
        for part in _sheets(request):
            if drawn := draw(part):
                plots.append(Plot(str(name), title, drawn, told))
                told = ""  # said once, with the first of them
    return plots


def _sheets(request: _Request) -> list[_Request]:
    """The figures that a table takes: one, or as many as there are sheets of paper needed for it."""
    pages, hidden = _SHEETS[request.table](request.rows) if request.table in _SHEETS else ([request.rows], 0)
    if len(pages) == 1 and not hidden:
        return [request]
    split = [
        replace(request, rows=page, prefix=f"{request.prefix}-{number}") for number, page in enumerate(pages)
    ]
    return [*split[:-1], replace(split[-1], hidden=hidden)] if split else []


def _rows(table: Mapping[str, object]) -> list[Row]:
    """Rows by column name, so that a column more or another order changes nothing."""
    rows, columns = table.get("rows"), table.get("columns")
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        return []
    if not isinstance(columns, Sequence) or isinstance(columns, str | bytes):
        return list(rows)
    named: list[Row] = []
    for row in rows:
        if isinstance(row, Sequence) and not isinstance(row, str | bytes):
            named.append(dict(zip(map(str, columns), row, strict=False)))
        elif isinstance(row, Mapping):
            named.append(row)
    return named


def _names(value: object) -> Collection[str]:
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return frozenset(map(str, value))
    return frozenset()


def _of_rows(plot: Callable[..., str]) -> Callable[[_Request], str]:
    """A figure that takes the rows alone."""

    def draw(request: _Request) -> str:
        reader = request.reader
        return plot(request.rows, labels=reader.gettext, number=reader.number, prefix=request.prefix)

    return draw


def _of_columns(plot: Callable[..., str]) -> Callable[[_Request], str]:
    """A figure that marks the sensitive columns."""
    return lambda request: _of_rows(partial(plot, sensitive=request.sensitive))(request)


def _of_record(plot: Callable[..., str]) -> Callable[[_Request], str]:
    """A figure of one record, whose ends are in the parameters."""
    return lambda request: _of_columns(partial(plot, params=request.params))(request)


def _groups(request: _Request) -> str:
    reader = request.reader
    return rates.group_rates_plot(
        request.rows,
        request.limit,
        labels=reader.gettext,
        number=reader.number,
        prefix=request.prefix,
        reason=request.reason,
        hidden=request.hidden,
    )


def _groups_caption(request: _Request) -> str:
    _ = request.reader.gettext
    caption = _("Share of each group that gets the favourable decision, with its interval.")
    if request.limit is not None and 0 < request.limit <= 1:
        caption += " " + _("Shaded: from %(limit)s × the highest rate of the attribute up to that rate.") % {
            "limit": request.reader.rate(request.limit)
        }
    return caption


def _importance_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _with_space(
        request, _("How much each column moves the output on average, and its share of all of it.")
    )


def _points_caption(request: _Request) -> str:
    _ = request.reader.gettext
    caption = _(
        "One point per explained row: right of the line the column raises the output, left it lowers it."
    )
    return _with_space(request, caption)


def _by_group(request: _Request) -> str:
    reader = request.reader
    return by_group.importance_by_group_plot(
        request.rows,
        request.sensitive,
        labels=reader.gettext,
        number=reader.number,
        prefix=request.prefix,
        hidden=request.hidden,
    )


def _by_group_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _with_space(
        request,
        _("How much each column moves the output in each group: marks far apart mean it weighs differently."),
    )


def _with_space(request: _Request, caption: str) -> str:
    """φ means nothing without the space it is measured in."""
    _ = request.reader.gettext
    spaces = {"margin": _("φ is in log-odds (margin)."), "probability": _("φ is in probability.")}
    space = spaces.get(str(request.params.get("output_space", "")))
    return f"{caption} {space}" if space else caption


def _calibration_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _("Points on the dashed line: the score comes true as often as it says. Grey bars: rows per bin.")


def _confusion_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _("How many rows of each true class were given each prediction.")


MOST_DRIFT = (
    1.0  # four times the customary limit: one column that is something else altogether hides no other
)


def _drift(request: _Request) -> str:
    names = (
        "population_stability_index",
        "population_stability_index_low",
        "population_stability_index_high",
    )
    found = intervals.lines_of(request.rows, "", ("column",), names)
    limits = [svg.finite(request.params.get(name)) for name in ("watch", "moved")]
    _ = request.reader.gettext
    return intervals.interval_plot(
        sorted(found, key=lambda item: (-item.value, item.label)),
        request.reader,
        prefix=request.prefix,
        kind="drift",
        title=_("Drift of each column"),
        axis=_("population stability index"),
        marks=[limit for limit in limits if limit is not None],
        most=MOST_DRIFT,
    )


def _drift_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _(
        "How far each column has moved from the reference. Dashed: where to watch, and where it has moved."
    )


def _robustness(request: _Request) -> str:
    _ = request.reader.gettext
    disturbances = {"noise": _("noise"), "shift": _("shift"), "missing": _("missing values")}
    rows = []
    for row in request.rows:
        if isinstance(row, Mapping):
            head = disturbances.get(str(row.get("disturbance")), str(row.get("disturbance")))
            attribute = row.get("attribute")
            whose = (
                {"head": head, "who": _("all rows")}
                if attribute is None
                else {"head": f"{head} · {attribute}", "who": row.get("group")}
            )
            rows.append({**row, **whose})
    return intervals.interval_plot(
        intervals.lines_of(rows, "head", ("who",), ("flip_rate", "low", "high")),
        request.reader,
        prefix=request.prefix,
        kind="robustness",
        title=_("Decisions turned over by a disturbance"),
        axis=_("share of decisions"),
    )


def _robustness_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _("Share of decisions that a disturbance turns over, for all rows and for each group.")


def _over_time(request: _Request) -> str:
    _ = request.reader.gettext
    rows = []
    for row in request.rows:
        if isinstance(row, Mapping):
            times = [svg.clean_name(row[name]) for name in ("from", "to") if row.get(name) is not None]
            rows.append({**row, "when": " – ".join(dict.fromkeys(times))})
    return intervals.interval_plot(
        intervals.lines_of(rows, "", ("window", "when"), ("value", "low", "high")),
        request.reader,
        prefix=request.prefix,
        kind="over-time",
        title=_("Performance over time"),
        axis=request.metric(str(request.params.get("metric", ""))),
        zero=False,
    )


def _over_time_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _("From top to bottom in time: each window of rows with its figure and interval.")


def _proxies(request: _Request) -> str:
    _ = request.reader.gettext
    return intervals.interval_plot(
        intervals.lines_of(request.rows, "", ("attribute",), ("proxy_auc", "low", "high")),
        request.reader,
        prefix=request.prefix,
        kind="proxies",
        title=_("How well the inputs tell each sensitive column"),
        axis=_("area under the ROC curve"),
        marks=(0.5, 1.0),
        zero=False,
    )


def _proxies_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _(
        "At 0.5 the other inputs tell nothing about the column; at 1 they are the column by another name."
    )


def _group_calibration(request: _Request) -> str:
    """Observed rate minus mean score of each filled bin, by group: 0 is calibrated."""
    _ = request.reader.gettext
    rows = []
    for row in request.rows:
        if not isinstance(row, Mapping):
            continue
        score, observed = svg.finite(row.get("mean_score")), svg.finite(row.get("observed_rate"))
        if score is None or observed is None or not svg.count(row.get("n")):
            continue
        low, high = scores.wilson(min(max(observed, 0.0), 1.0), svg.count(row.get("n")) or 1)
        ends = (request.reader.decimals(svg.finite(row.get(end)), 1) for end in ("bin_low", "bin_high"))
        about = " – ".join(ends)
        head = f"{row.get('attribute')}: {row.get('group')}"
        rows.append(
            {"head": head, "bin": about, "gap": observed - score, "low": low - score, "high": high - score}
        )
    return intervals.interval_plot(
        intervals.lines_of(rows, "head", ("bin",), ("gap", "low", "high")),
        request.reader,
        prefix=request.prefix,
        kind="calibration-by-group",
        title=_("Reliability of the scores within each group"),
        axis=_("observed rate minus mean score"),
        marks=(0.0,),
    )


def _group_calibration_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _("Per group and bin of scores: right of 0 the score promises too little, left of it too much.")


def _waterfall_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _with_space(
        request, _("From the average output, each column moves it to what it is for this record.")
    )


def _weights_caption(request: _Request) -> str:
    _ = request.reader.gettext
    caption = _("A linear model fitted around the record (LIME): a second opinion that need not add up.")
    r2 = svg.finite(request.params.get("r2"))
    if r2 is not None:
        caption += " " + _("It explains R² = %(r2)s of the output there.") % {"r2": request.reader.rate(r2)}
    return caption


def _dependence_caption(request: _Request) -> str:
    _ = request.reader.gettext
    caption = _("Points: rows, by the rank of the column's value. Line: mean contribution of each fifth.")
    return _with_space(request, caption)


def _forest(request: _Request) -> str:
    reader = request.reader
    return forest.forest_plot(
        request.rows,
        labels=reader.gettext,
        number=reader.number,
        prefix=request.prefix,
        title_of=request.metric,
    )


def _forest_caption(request: _Request) -> str:
    _ = request.reader.gettext
    return _("Dots: measured disparity, lines: its interval, dashed: limit of the policy.")


_SHEETS: dict[str, Callable[[Sequence[Row]], tuple[list[list[Row]], int]]] = {
    "groups": sheets.of_rates,
    "shap_by_group": sheets.of_importance_by_group,
    "disparities": sheets.of_disparities,
}

_Entry = tuple[str, Callable[[_Request], str], Callable[[_Request], str]]
_PLOTS: dict[str, _Entry] = {
    "groups": (gettext_noop("Selection rate per group"), _groups, _groups_caption),
    "shap_importance": (
        gettext_noop("Importance of each column"),
        _of_columns(importance.importance_plot),
        _importance_caption,
    ),
    "shap_points": (
        gettext_noop("Contribution of each column, row by row"),
        _of_columns(beeswarm.beeswarm_plot),
        _points_caption,
    ),
    "shap_by_group": (gettext_noop("Importance of each column per group"), _by_group, _by_group_caption),
    "shap_local": (
        gettext_noop("From the average output to this record's"),
        _of_record(waterfall.waterfall_plot),
        _waterfall_caption,
    ),
    "lime_local": (
        gettext_noop("Weights of the local linear model"),
        _of_record(waterfall.weights_plot),
        _weights_caption,
    ),
    "shap_dependence": (
        gettext_noop("Contribution against the value of the column"),
        _of_columns(dependence.dependence_plot),
        _dependence_caption,
    ),
    "disparities": (gettext_noop("Disparities and their intervals"), _forest, _forest_caption),
    "calibration": (
        gettext_noop("Reliability of the scores"),
        _of_rows(scores.calibration_plot),
        _calibration_caption,
    ),
    "confusion": (gettext_noop("Truth and prediction"), _of_rows(scores.confusion_plot), _confusion_caption),
    "drift": (gettext_noop("Drift of each column"), _drift, _drift_caption),
    "robustness": (
        gettext_noop("Decisions turned over by a disturbance"),
        _robustness,
        _robustness_caption,
    ),
    "performance_over_time": (gettext_noop("Performance over time"), _over_time, _over_time_caption),
    "proxies": (
        gettext_noop("How well the inputs tell each sensitive column"),
        _proxies,
        _proxies_caption,
    ),
    "calibration_by_group": (
        gettext_noop("Reliability of the scores within each group"),
        _group_calibration,
        _group_calibration_caption,
    ),
}
