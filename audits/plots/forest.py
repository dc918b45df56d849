"""Disparities with their intervals beside what no disparity would be and what the policy allows: a forest plot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from audits.plots import svg
from audits.plots.importance import MARGIN, WIDTH, columns, x_axis
from audits.plots.reader import Labels, NumberFormat, Reader, Row, as_mappings, english, plain_number
from audits.plots.svg import Markup, Scale, el, group, isolate, line, text

COLUMNS = ("metric", "attribute", "value", "low", "high", "limit", "n")
ROW, HEADER, HEADING = 24.0, 34.0, 24.0
MOST_ROWS = 40
# Of no fixed range: each has a panel of its own, or it would press all shares into a corner.
UNBOUNDED = (
    "treatment_equality_difference",
    "mean_prediction_difference",
    "mean_residual_difference",
    "mae_difference",
    "rmse_difference",
)


@dataclass(frozen=True)
class Line:
    metric: str
    attribute: str
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    n: int | None

    @property
    def ratio(self) -> bool:
        return self.metric.endswith("_ratio")

    @property
    def outside(self) -> bool:
        """Whether the value itself is on the wrong side of the limit."""
        if self.value is None or self.limit is None:
            return False
        return self.value < self.limit if self.ratio else abs(self.value) > self.limit


def forest_plot(
    rows: Iterable[Row],
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "disparities",
    title_of: Labels | None = None,
) -> str:
    """A dot and its interval for each disparity, in a panel of ratios (1: none) and one of differences (0: none), each
    metric under its name; a difference without a fixed range has a panel of its own.

    `limit` is the least ratio or the largest difference of the policy, None without one. `title_of` names a metric.
    """
    reader = Reader(labels, number)
    named = title_of or (lambda metric: metric.replace("_", " "))
    found = [
        Line(
            metric=str(row.get("metric")),
            attribute=reader.name(row.get("attribute")),
            value=svg.finite(row.get("value")),
            low=svg.finite(row.get("low")),
            high=svg.finite(row.get("high")),
            limit=svg.finite(row.get("limit")),
            n=svg.count(row.get("n")),
        )
        for row in as_mappings(rows, COLUMNS)
        if str(row.get("metric")).endswith(("_ratio", "_difference"))
    ]
    found.sort(key=lambda item: (item.metric, item.attribute))
    shares = [item for item in found if not item.ratio and item.metric not in UNBOUNDED]
    panels = [
        (reader.gettext("Ratios: 1 is no disparity"), 1.0, [item for item in found if item.ratio]),
        (reader.gettext("Differences: 0 is no disparity"), 0.0, shares),
        *(
            (
                reader.gettext("In its own unit: 0 is no disparity"),
                0.0,
                [one for one in found if one.metric == name],
            )
            for name in UNBOUNDED
        ),
    ]
    panels = [
        (title, none, items) for title, none, items in panels if any(each.value is not None for each in items)
    ]
    return _draw(panels, reader, named, prefix) if panels else ""


def _draw(panels: list[tuple[str, float, list[Line]]], reader: Reader, named: Labels, prefix: str) -> str:
    _ = reader.gettext
    parts: list[Markup] = []
    words: list[str] = []
    y = 0.0
    hidden = 0
    for title, none, items in panels:
        hidden += max(0, len(items) - MOST_ROWS)
        if len(items) > MOST_ROWS:  # single columns are drawn before their intersections
            first = sorted(items, key=lambda item: item.attribute.count("×"))[:MOST_ROWS]
            items = [item for item in items if item in first]
        parts.append(text(MARGIN, y + 18, title, "plot-strong"))
        drawn, said, y = _panel(items, none, y + HEADER, reader, named)
        parts += drawn
        words += said
        y += 34
    if any(item.outside for _title, _none, items in panels for item in items):
        d = f"M{svg.decimal(MARGIN + 6)} {svg.decimal(y - 10)}l6 6l-6 6l-6 -6z"
        parts.append(el("path", cls="plot-dot-below", d=d))
        parts.append(text(MARGIN + 18, y, _("outside the limit of the policy"), "plot-note"))
    else:
        y -= 18
    if hidden:
        note = _("Further disparities not drawn: %(n)s.") % {"n": reader.count(hidden)}
        y += 18
        parts.append(text(MARGIN, y, note, "plot-note"))
        words.append(note)
    title = _("Disparities and their intervals")
    return svg.document(prefix, "disparities", title, " ".join(words), WIDTH, y + 12, *parts)


def _panel(
    items: list[Line], none: float, top: float, reader: Reader, named: Labels
) -> tuple[list[Markup], list[str], float]:
    _ = reader.gettext
    heads = [_("value"), _("interval")]
    cells = [
        [
            reader.rate(item.value) if item.value is not None else _("undefined"),
            reader.interval(item.low, item.high),
        ]
        for item in items
    ]
    edges, right = columns(heads, cells)
    room = min(240.0, max(80.0, *(svg.text_width(item.attribute) for item in items)) + 2)
    left = MARGIN + room + 14
    values = [
        each for item in items for each in (item.value, item.low, item.high, item.limit) if each is not None
    ]
    scale = svg.nice_scale(min(none, *values), max(none, *values), left, max(right - 12, left + 100), 5)
    bottom = top + ROW * len(items) + HEADING * len({item.metric for item in items})
    parts = [text(edge, top - 8, head, "plot-muted", "end") for edge, head in zip(edges, heads, strict=True)]
    parts += x_axis(scale, top, bottom, reader)
    parts.append(line(scale(none), top, scale(none), bottom, "plot-axis"))
    words = []
    y, heading = top - ROW / 2, ""  # of the middle of the row before
    for item, shown_cells in zip(items, cells, strict=True):
        if item.metric != heading:
            heading = item.metric
            parts.append(
                svg.label(
                    MARGIN, y + ROW / 2 + 17, named(heading), WIDTH - 2 * MARGIN, "plot-muted plot-over"
                )
            )
            y += HEADING
        y += ROW
        row = [svg.label(MARGIN, y + 4, item.attribute, room)]
        row += [
            text(edge, y + 4, cell, "plot-text", "end") for edge, cell in zip(edges, shown_cells, strict=True)
        ]
        row += _marks(item, scale, y)
        sentence = f"{isolate(svg.fit(item.attribute, 400))}, {named(item.metric)}: {shown_cells[0]}"
        if shown_cells[1]:
            sentence += f" ({shown_cells[1]})"
        if item.limit is not None:
            sentence += ", " + _("limit %(limit)s") % {"limit": reader.rate(item.limit)}
        if item.outside:
            sentence += ", " + _("outside the limit of the policy")
        if item.n is not None:
            sentence += ", " + _("n = %(n)s") % {"n": reader.count(item.n)}
        words.append(f"{sentence}.")
        parts.append(group(*row, title=sentence))
    return parts, words, bottom


def _marks(item: Line, scale: Scale, y: float) -> list[Markup]:
    drawn: list[Markup] = []
    if item.limit is not None:
        drawn.append(line(scale(item.limit), y - ROW / 2, scale(item.limit), y + ROW / 2, "plot-limit"))
    if item.value is None:
        return drawn
    kind = "plot-interval-below" if item.outside else "plot-interval"
    if item.low is not None and item.high is not None:
        drawn.append(line(scale(item.low), y, scale(item.high), y, kind))
    x = scale(item.value)
    if item.outside:
        d = f"M{svg.decimal(x)} {svg.decimal(y - 6.5)}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"
        drawn.append(el("path", cls="plot-dot-below", d=d))
    else:
        drawn.append(el("circle", cls="plot-dot", cx=x, cy=y, r=5.5))
    return drawn
