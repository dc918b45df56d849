"""How the contribution of a column goes with its own value: one panel for each of the most important columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from audits.plots import svg
from audits.plots.beeswarm import COLUMNS, Swarm
from audits.plots.importance import MARGIN, WIDTH, diamond
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
from audits.plots.svg import Markup, el, group, isolate, line, rect, text

PANELS, ACROSS = 6, 2
HEIGHT, GAP = 150.0, 46.0
FIFTHS = 5


def dependence_plot(
    rows: Iterable[Row],
    sensitive: Collection[str] = frozenset(),
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "shap-dependence",
) -> str:
    """φ against the rank of the value, for the six columns of the largest mean |φ| that have an order, as SVG or "".

    Ranks and not values: a figure shows no value of anybody. The text alternative has the mean φ of each fifth.
    """
    reader = Reader(labels, number)
    names = {str(name) for name in sensitive}
    points: dict[str, list[tuple[float, float | None]]] = {}
    marked: set[str] = set()
    for row in as_mappings(rows, COLUMNS):
        phi, rank = svg.finite(row.get("phi")), svg.finite(row.get("value_rank"))
        if phi is None or rank is None or not 0 <= rank <= 1:
            continue
        name = reader.name(row.get("feature"))
        points.setdefault(name, []).append((phi, rank))
        if str(row.get("feature")) in names:
            marked.add(name)
    swarms = [Swarm(name, tuple(sorted(found)), name in marked) for name, found in points.items()]
    swarms.sort(key=lambda item: (-item.mean_abs, item.name))
    return _draw(swarms[:PANELS], reader, prefix) if swarms else ""


def _draw(swarms: list[Swarm], reader: Reader, prefix: str) -> str:
    _ = reader.gettext
    values = [phi for item in swarms for phi, _rank in item.points]
    places = min(7, places_for(max(map(abs, values)) or 1.0))
    # one scale for all panels, so that their slopes can be compared
    probe = svg.nice_scale(min(0.0, *values), max(0.0, *values), 0, 1, 4)
    room = max(svg.text_width(reader.decimals(tick, probe.decimals), 11) for tick in probe.ticks) + 10
    width = (WIDTH - 2 * MARGIN - (ACROSS - 1) * 20) / ACROSS
    parts: list[Markup] = []
    words: list[str] = []
    for index, item in enumerate(swarms):
        x = MARGIN + (index % ACROSS) * (width + 20)
        top = 26.0 + (index // ACROSS) * (HEIGHT + GAP)
        panel, sentence = _panel(item, x, top, width, room, probe, reader, places)
        parts.append(panel)
        words.append(sentence)
    lines = (len(swarms) + ACROSS - 1) // ACROSS
    height = 26.0 + lines * (HEIGHT + GAP) - 10
    title = _("Contribution against the value of the column")
    return svg.document(prefix, "shap-dependence", title, " ".join(words), WIDTH, height, *parts)


def _panel(
    item: Swarm,
    x: float,
    top: float,
    width: float,
    room: float,
    probe: svg.Scale,
    reader: Reader,
    places: int,
) -> tuple[Markup, str]:
    _ = reader.gettext
    left, right, bottom = x + room, x + width, top + HEIGHT
    scale = svg.Scale(probe.low, probe.high, bottom - 6, top + 6, probe.ticks, probe.decimals)
    across = svg.Scale(0.0, 1.0, left + 6, right - 6)
    drawn = [
        svg.label(
            left + (16 if item.sensitive else 0),
            top - 8,
            item.name,
            right - left - 20,
            "plot-strong",
            bold=True,
        ),
        rect(left, top, right - left, HEIGHT, "plot-background"),
    ]
    if item.sensitive:
        drawn.append(diamond(left + 5, top - 12))
    for tick in scale.ticks:
        drawn.append(line(left, scale(tick), right, scale(tick), "plot-axis" if tick == 0 else "plot-grid"))
        drawn.append(
            text(left - 6, scale(tick) + 4, reader.decimals(tick, scale.decimals), "plot-muted", "end")
        )
    places_ = sorted(
        {(round(across(rank or 0.0) * 2) / 2, round(scale(phi) * 2) / 2) for phi, rank in item.points}
    )
    path = "".join(f"M{svg.decimal(px)} {svg.decimal(py)}h0" for px, py in places_)
    drawn.append(el("path", cls="plot-rank-1", d=path))
    means = fifths(item.points)
    drawn += _means(means, across, scale)
    drawn.append(text(left + 2, bottom + 15, _("low value"), "plot-muted"))
    drawn.append(text(right - 2, bottom + 15, _("high value"), "plot-muted", "end"))
    shown = " / ".join(reader.decimals(mean, places) for _middle, mean in means)
    sentence = _("%(feature)s: mean φ from low to high values %(means)s") % {
        "feature": isolate(svg.fit(item.name, 400)),
        "means": shown,
    }
    if item.sensitive:
        sentence += ", " + _("sensitive column")
    return group(*drawn, title=sentence), f"{sentence}."


def fifths(points: Iterable[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """(middle, mean φ) of each fifth of the ranks of (φ, rank); None where no row falls."""
    sums: list[list[float]] = [[] for _ in range(FIFTHS)]
    for phi, rank in points:
        sums[min(FIFTHS - 1, int((rank or 0.0) * FIFTHS))].append(phi)
    return [
        ((index + 0.5) / FIFTHS, sum(found) / len(found) if found else None)
        for index, found in enumerate(sums)
    ]


def _means(means: list[tuple[float, float | None]], across: svg.Scale, scale: svg.Scale) -> list[Markup]:
    known = [(across(middle), scale(mean)) for middle, mean in means if mean is not None]
    if len(known) < 2:
        return []
    path = "M" + "L".join(f"{svg.decimal(px)} {svg.decimal(py)}" for px, py in known)
    return [el("path", cls="plot-interval-below", d=path)]
