"""Which columns drive the decisions in which group: mean |φ| per column and group."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from audits.plots import svg
from audits.plots.importance import MARGIN, WIDTH, diamond, x_axis
from audits.plots.reader import (
    Labels,
    NumberFormat,
    Reader,
    Row,
    as_mappings,
    english,
    places_for,
    plain_number,
)
from audits.plots.style import SERIES
from audits.plots.svg import Markup, el, group, isolate, line, text

COLUMNS = ("attribute", "group", "feature", "mean_abs")
MOST_FEATURES, MOST_ATTRIBUTES = 12, 8


def importance_by_group_plot(
    rows: Iterable[Row],
    sensitive: Collection[str] = frozenset(),
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "shap-by-group",
    hidden: int = 0,
) -> str:
    """Mean |φ| of each column for each group: a dot per group, a line from the least to the most, as SVG or
    "".

    A facet per attribute, columns by their largest value. Groups are told apart by shape as well as colour;
    eight groups of an attribute and twelve columns are drawn, in the order of the table and of their size. `hidden`
    counts further attributes that no figure has.
    """
    reader = Reader(labels, number)
    facets: dict[str, dict[str, dict[str, float]]] = {}
    raw: dict[str, str] = {}
    for row in as_mappings(rows, COLUMNS):
        value = svg.finite(row.get("mean_abs"))
        if value is not None:
            name = reader.name(row.get("feature"))
            raw[name] = str(row.get("feature"))
            by_group = facets.setdefault(reader.name(row.get("attribute")), {})
            by_group.setdefault(reader.name(row.get("group")), {})[name] = abs(value)
    names = {str(name) for name in sensitive}
    marked = {name for name, original in raw.items() if original in names}
    return _dots(facets, marked, reader, prefix, hidden) if facets else ""


def _dots(
    facets: dict[str, dict[str, dict[str, float]]], marked: set[str], reader: Reader, prefix: str, hidden: int
) -> str:
    _ = reader.gettext
    hidden += max(0, len(facets) - MOST_ATTRIBUTES)
    facets = dict(list(facets.items())[:MOST_ATTRIBUTES])
    largest: dict[str, float] = {}
    for by_group in facets.values():
        for values in list(by_group.values())[: len(SERIES)]:  # what is not drawn stretches no scale
            for name, value in values.items():
                largest[name] = max(value, largest.get(name, 0.0))
    ordered = sorted(largest, key=lambda name: (-largest[name], name))
    drawn, step = ordered[:MOST_FEATURES], 24.0
    places = min(7, places_for(largest[ordered[0]]))
    marked &= set(drawn)
    room = min(210.0, max(60.0, *(svg.text_width(name) for name in drawn)) + 2)
    names = MARGIN + room
    left = names + (28.0 if marked else 14.0)
    scale = svg.nice_scale(0.0, largest[ordered[0]] or 1.0, left, WIDTH - MARGIN - 8, 6)
    parts: list[Markup] = []
    words: list[str] = []
    y = 4.0
    for attribute, by_group in facets.items():
        groups = list(by_group)[: len(SERIES)]
        parts.append(svg.label(MARGIN, y + 16, attribute, WIDTH - 2 * MARGIN, "plot-strong", bold=True))
        key, y = _key(groups, y + 36, len(by_group), reader)
        parts += key
        top, bottom = y, y + step * len(drawn)
        parts += x_axis(scale, top, bottom, reader)
        parts.append(line(left, top, left, bottom, "plot-axis"))
        for index, name in enumerate(drawn):
            middle = top + step * index + step / 2
            pairs = [
                (series, by_group[item][name]) for series, item in enumerate(groups) if name in by_group[item]
            ]
            row = [text(names, middle + 4, isolate(svg.fit(name, room)), "plot-text", "end")]
            if name in marked:
                row.append(diamond(names + 10, middle))
            if pairs:
                sizes = [value for _series, value in pairs]
                row.append(line(scale(min(sizes)), middle, scale(max(sizes)), middle, "plot-range"))
            row += [shape(series, scale(value), middle) for series, value in reversed(pairs)]
            listed = ", ".join(
                f"{isolate(svg.fit(groups[series], 400))} {reader.decimals(value, places)}"
                for series, value in pairs
            )
            sentence = f"{isolate(svg.fit(attribute, 400))}, {isolate(svg.fit(name, 400))}: {listed or '–'}"
            words.append(f"{sentence}.")
            parts.append(group(*row, title=sentence))
        y = bottom + 34
    y += 6
    parts.append(text(left, y - 4, _("mean |φ|: average size of the contribution"), "plot-muted"))
    if marked:
        y += 18
        parts += [diamond(MARGIN + 5, y - 4), text(MARGIN + 16, y, _("sensitive column"), "plot-note")]
    for count, note in (
        (len(ordered) - len(drawn), _("Further columns not drawn: %(n)s.")),
        (hidden, _("Further attributes not drawn: %(n)s.")),
    ):
        if count > 0:
            y += 16
            shown = note % {"n": reader.count(count)}
            parts.append(text(MARGIN, y, shown, "plot-note"))
            words.append(shown)
    title = _("Importance of each column per group")
    return svg.document(prefix, "shap-by-group", title, " ".join(words), WIDTH, y + 10, *parts)


def _key(groups: list[str], y: float, total: int, reader: Reader) -> tuple[list[Markup], float]:
    """The groups of a facet with their marks, on as many lines as they take; and where the drawing starts."""
    drawn: list[Markup] = []
    x = MARGIN + 6
    for series, name in enumerate(groups):
        room = min(svg.text_width(name, 11), 200.0)
        if x + room + 30 > WIDTH - MARGIN:
            x, y = MARGIN + 6, y + 18
        shown = text(x + 10, y, isolate(svg.fit(name, room, 11)), "plot-note")
        drawn.append(group(shape(series, x, y - 4), shown, title=isolate(name)))
        x += room + 34
    if total > len(groups):
        y += 16
        note = reader.gettext("Further groups not drawn: %(n)s.") % {"n": reader.count(total - len(groups))}
        drawn.append(text(MARGIN, y, note, "plot-note"))
    return drawn, y + 12


_SHAPES = (  # no diamond: that is the mark of a sensitive column
    "",  # a disc
    "m-4.6 -4.6h9.2v9.2h-9.2z",
    "m0 -5.8l6 10.4h-12z",
    "m0 5.8l6 -10.4h-12z",
    "m-2 -5.8h4v3.8h3.8v4h-3.8v3.8h-4v-3.8h-3.8v-4h3.8z",
    "m-5.8 -2.4h11.6v4.8h-11.6z",
    "m-2.4 -5.8h4.8v11.6h-4.8z",
    "m-5.4 -5.4h10.8l-5.4 5.4l5.4 5.4h-10.8l5.4 -5.4z",
)


def shape(series: int, x: float, y: float) -> Markup:
    """The mark of the group number `series`: shape and colour both say which."""
    cls = f"plot-series-{series}"
    if not _SHAPES[series]:
        return el("circle", cls=cls, cx=x, cy=y, r=5.2)
    return el("path", cls=cls, d=f"M{svg.decimal(x)} {svg.decimal(y)}{_SHAPES[series]}")
