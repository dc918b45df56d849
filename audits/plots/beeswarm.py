"""Every explained row as a point: contribution on x, one swarm per column, colour for the column's own
value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from audits.plots import svg
from audits.plots.importance import MARGIN, MOST_FEATURES, WIDTH, diamond, x_axis
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
from audits.plots.style import RANKS
from audits.plots.svg import Markup, Scale, decimal, el, group, isolate, line, rect, text

COLUMNS = ("feature", "value_rank", "phi")
ROW, DOT = 40.0, 4.6
MISSING = len(RANKS)  # the colour step of a point whose value is missing or has no order
CLEAR = 0.3  # correlation from which a direction is put into words


@dataclass(frozen=True)
class Swarm:
    name: str
    points: tuple[tuple[float, float | None], ...]  # (φ, rank in [0, 1] or None)
    sensitive: bool

    @property
    def mean_abs(self) -> float:
        return sum(abs(phi) for phi, _rank in self.points) / len(self.points)

    @property
    def trend(self) -> float | None:
        """Pearson correlation of rank and φ, None where either does not vary."""
        ranked = [(phi, rank) for phi, rank in self.points if rank is not None]
        if len(ranked) < 3:
            return None
        size = max(abs(phi) for phi, _rank in ranked) or 1.0
        n = len(ranked)
        mean_phi = sum(phi / size for phi, _rank in ranked) / n
        mean_rank = sum(rank for _phi, rank in ranked) / n
        both = sum((phi / size - mean_phi) * (rank - mean_rank) for phi, rank in ranked)
        spread_phi = sum((phi / size - mean_phi) ** 2 for phi, _rank in ranked)
        spread_rank = sum((rank - mean_rank) ** 2 for _phi, rank in ranked)
        if spread_phi <= 1e-18 or spread_rank <= 1e-18:
            return None
        return float(both / (spread_phi * spread_rank) ** 0.5)


def beeswarm_plot(
    rows: Iterable[Row],
    sensitive: Collection[str] = frozenset(),
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "shap-points",
) -> str:
    """One swarm per column, the largest mean |φ| first, as SVG; "" when no row holds a number.

    `value_rank` is the rank of the column's value in [0, 1] (other ranges are brought there per column), None
    for a missing value or one without an order: drawn as a grey cross. Points of one place are stacked in the
    order of their value, so the same rows in any order give the same bytes. 20 columns are drawn.
    """
    reader = Reader(labels, number)
    swarms = swarms_of(rows, reader, sensitive)
    return _draw(swarms, reader, prefix) if swarms else ""


def swarms_of(rows: Iterable[Row], reader: Reader, sensitive: Collection[str] = frozenset()) -> list[Swarm]:
    """The points of each column, the largest mean |φ| first. Rows without a φ are left out."""
    names = {str(name) for name in sensitive}
    points: dict[str, list[tuple[float, float | None]]] = {}
    marked: set[str] = set()
    for row in as_mappings(rows, COLUMNS):
        phi = svg.finite(row.get("phi"))
        if phi is not None:
            name = reader.name(row.get("feature"))
            points.setdefault(name, []).append((phi, svg.finite(row.get("value_rank"))))
            if str(row.get("feature")) in names:
                marked.add(name)
    swarms = [Swarm(name, _ranked(values), name in marked) for name, values in points.items()]
    swarms.sort(key=lambda item: (-item.mean_abs, item.name))
    return swarms


def _ranked(points: list[tuple[float, float | None]]) -> tuple[tuple[float, float | None], ...]:
    """The points with ranks in [0, 1], in an order of their own."""
    ranks = [rank for _phi, rank in points if rank is not None]
    low, high = min(ranks, default=0.0), max(ranks, default=1.0)
    if low < 0 or high > 1:
        span = (high - low) or 1.0
        points = [(phi, None if rank is None else (rank - low) / span) for phi, rank in points]
    return tuple(sorted(points, key=lambda point: (point[0], point[1] is None, point[1] or 0.0)))


def place(points: Iterable[tuple[float, float | None]], scale: Scale) -> list[tuple[float, float, int]]:
    """(x, offset from the middle, colour step) of each point: a stack per dot's width, grown from the middle
    outwards.

    A stack too high for its row is compressed, never cut: every point stays inside the row.
    """
    stacks: dict[int, list[tuple[float, int]]] = {}
    for phi, rank in points:
        x = scale(phi)
        step = MISSING if rank is None else min(len(RANKS) - 1, int(rank * len(RANKS)))
        stacks.setdefault(int((x - scale.start) // (DOT * 0.9)), []).append((x, step))
    placed = []
    for _bin, stack in sorted(stacks.items()):
        stack.sort(key=lambda point: (point[1], point[0]))
        spacing = min(DOT * 0.9, (ROW - 8 - DOT) / max(1, len(stack) - 1))
        # By value from the bottom up, centred: low values below, high ones above: a small histogram.
        for level, (x, step) in enumerate(stack):
            placed.append((x, ((len(stack) - 1) / 2 - level) * spacing, step))
    return placed


def _draw(swarms: list[Swarm], reader: Reader, prefix: str) -> str:
    _ = reader.gettext
    drawn, rest = swarms[:MOST_FEATURES], swarms[MOST_FEATURES:]
    values = [phi for item in drawn for phi, _rank in item.points]
    room = min(210.0, max(60.0, *(svg.text_width(item.name) for item in drawn)) + 2)
    marked = any(item.sensitive for item in drawn)
    names = MARGIN + room
    left = names + (30.0 if marked else 16.0)
    scale = svg.nice_scale(min(0.0, *values), max(0.0, *values), left + 4, WIDTH - MARGIN - 8, 6)
    places = min(7, places_for(max(map(abs, values))))
    top = 40.0
    bottom = top + ROW * len(drawn)
    parts = _key(reader, any(rank is None for item in drawn for _phi, rank in item.points))
    parts += x_axis(scale, top, bottom, reader)
    parts.append(line(scale(0.0), top, scale(0.0), bottom, "plot-axis"))
    words = []
    for index, item in enumerate(drawn):
        middle = top + ROW * index + ROW / 2
        row = [
            line(scale.start, middle, scale.end, middle, "plot-grid"),
            text(names, middle + 4, isolate(svg.fit(item.name, room)), "plot-text", "end"),
        ]
        if item.sensitive:
            row.append(diamond(names + 10, middle))
        row += _paths(place(item.points, scale), middle)
        sentence = _sentence(item, reader, places)
        words.append(f"{sentence}.")
        parts.append(group(*row, title=sentence))
    y = bottom + 36
    parts.append(text(scale.start, y, _("contribution φ of the column to the output"), "plot-muted"))
    y += 4
    if marked:
        y += 16
        parts += [diamond(MARGIN + 5, y - 4), text(MARGIN + 16, y, _("sensitive column"), "plot-note")]
    if rest:
        y += 16
        note = _("Further columns not drawn: %(n)s.") % {"n": reader.count(len(rest))}
        parts.append(text(MARGIN, y, note, "plot-note"))
        words.append(note)
    title = _("Contribution of each column, row by row")
    return svg.document(prefix, "shap-points", title, " ".join(words), WIDTH, y + 10, *parts)


def _paths(placed: list[tuple[float, float, int]], middle: float) -> list[Markup]:
    """One path per colour: a point is a stroke of no length with round ends, a tenth of a circle's bytes."""
    paths = []
    for step in sorted({step for _x, _y, step in placed}):
        # Places rounded to half a pixel: two points on the same place are one, however many rows there are.
        places = sorted(
            {(round(x * 2) / 2, round((middle + y) * 2) / 2) for x, y, each in placed if each == step}
        )
        if step == MISSING:
            d = "".join(f"M{decimal(x - 2)} {decimal(y - 2)}l4 4m0 -4l-4 4" for x, y in places)
            paths.append(el("path", cls="plot-missing", d=d))
        else:
            d = "".join(f"M{decimal(x)} {decimal(y)}h0" for x, y in places)
            paths.append(el("path", cls=f"plot-rank-{step}", d=d))
    return paths


def _key(reader: Reader, missing: bool) -> list[Markup]:
    """The colour scale, at the top right: value of the column, low to high, and the cross for a missing
    one."""
    _ = reader.gettext
    high, low = _("high"), _("low")
    x = WIDTH - MARGIN - svg.text_width(high, 11)
    drawn = [text(x, 19, high, "plot-note")]
    x -= 8 + 16.0 * len(RANKS)
    drawn += [rect(x + 16 * step, 10, 16, 10, f"plot-key-{step}") for step in range(len(RANKS))]
    drawn.append(text(x - 6, 19, low, "plot-note", "end"))
    x -= 14 + svg.text_width(low, 11)
    drawn.append(text(x, 19, _("value of the column:"), "plot-note", "end"))
    if missing:
        x -= svg.text_width(_("value of the column:"), 11) + 24
        drawn.append(text(x, 19, _("missing or without order"), "plot-note", "end"))
        x -= svg.text_width(_("missing or without order"), 11) + 8
        drawn.append(el("path", cls="plot-missing", d=f"M{decimal(x - 2)} 13l4 4m0 -4l-4 4"))
    return drawn


def _sentence(item: Swarm, reader: Reader, places: int) -> str:
    _ = reader.gettext
    values = [phi for phi, _rank in item.points]
    words = _("%(feature)s: %(n)s rows, φ from %(low)s to %(high)s, mean |φ| %(mean_abs)s") % {
        "feature": isolate(svg.fit(item.name, 400)),
        "n": reader.count(len(values)),
        "low": reader.decimals(min(values), places),
        "high": reader.decimals(max(values), places),
        "mean_abs": reader.decimals(item.mean_abs, places),
    }
    trend = item.trend
    if trend is not None and trend >= CLEAR:
        words += ", " + _("higher values go with higher contributions")
    elif trend is not None and trend <= -CLEAR:
        words += ", " + _("higher values go with lower contributions")
    missing = sum(rank is None for _phi, rank in item.points)
    if missing:
        words += ", " + _("value missing or without order in %(n)s") % {"n": reader.count(missing)}
    if item.sensitive:
        words += ", " + _("sensitive column")
    return words
