"""Which columns drive the decisions: mean |φ| per column, over everybody explained."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from audits.plots import svg
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
from audits.plots.svg import Markup, Scale, el, group, isolate, line, rect, text

COLUMNS = ("feature", "mean_abs", "mean_signed", "share")
WIDTH, MARGIN = 760.0, 16.0
MOST_FEATURES = 20


@dataclass(frozen=True)
class Feature:
    name: str
    mean_abs: float
    mean_signed: float | None
    share: float | None
    sensitive: bool


def importance_plot(
    rows: Iterable[Row],
    sensitive: Collection[str] = frozenset(),
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "shap-importance",
) -> str:
    """Bars of mean |φ|, the largest first, as SVG; "" when no row holds a number.

    Columns named in `sensitive` are hatched and carry a diamond. `mean_signed` shows which way a column moves
    the output on average, `share` its part of all attribution (0 to 1). The 20 largest are drawn, the rest is
    one line. φ is in the output space of the explanation (margin or probability); the caption has to name it.
    """
    reader = Reader(labels, number)
    names = {str(name) for name in sensitive}
    features = [
        Feature(
            name=reader.name(row.get("feature")),
            mean_abs=abs(value),
            mean_signed=svg.finite(row.get("mean_signed")),
            share=svg.finite(row.get("share")),
            sensitive=str(row.get("feature")) in names,
        )
        for row in as_mappings(rows, COLUMNS)
        if (value := svg.finite(row.get("mean_abs"))) is not None
    ]
    features.sort(key=lambda item: (-item.mean_abs, item.name))
    return _bars(features, reader, prefix) if features else ""


def _bars(features: list[Feature], reader: Reader, prefix: str) -> str:
    _ = reader.gettext
    drawn, rest = features[:MOST_FEATURES], features[MOST_FEATURES:]
    places = min(7, places_for(drawn[0].mean_abs))
    heads = [svg.fit(head, 120, 11) for head in (_("mean |φ|"), _("mean φ"), _("share"))]
    cells = [
        [
            reader.decimals(item.mean_abs, places),
            reader.signed(item.mean_signed, places),
            reader.decimals(item.share, 3),
        ]
        for item in drawn
    ]
    edges, right = columns(heads, cells)
    marked = any(item.sensitive for item in drawn)
    room = min(210.0, max(60.0, *(svg.text_width(item.name) for item in drawn)) + 2)
    names = MARGIN + room
    left = names + (24.0 if marked else 10.0)
    right = max(right, left + 100)
    scale = svg.nice_scale(0.0, drawn[0].mean_abs or 1.0, left, right - 4, 4)
    top, step = 24.0, 26.0
    bottom = top + step * len(drawn) + 2
    hatch = svg.identifier(prefix, "hatch")
    parts = [text(edge, 14, head, "plot-muted", "end") for head, edge in zip(heads, edges, strict=True)]
    parts.append(text(left, 14, _("mean |φ|: average size of the contribution"), "plot-muted"))
    if svg.text_width(_("mean |φ|: average size of the contribution"), 11) > right - left:
        parts.pop()
    parts += x_axis(scale, top, bottom, reader)
    words = []
    for index, (item, shown) in enumerate(zip(drawn, cells, strict=True)):
        y = top + step * index
        bar = [rect(left, y + 4, scale(item.mean_abs) - left, 18, "plot-bar", rx=2)]
        if item.sensitive:
            bar.append(
                el(
                    "rect",
                    x=left,
                    y=y + 4,
                    width=scale(item.mean_abs) - left,
                    height=18,
                    rx=2,
                    fill=f"url(#{hatch})",
                )
            )
            bar.append(diamond(names + 10, y + 13))
        bar.append(text(names, y + 17, isolate(svg.fit(item.name, room)), "plot-text", "end"))
        bar += [text(edge, y + 17, cell, "plot-text", "end") for cell, edge in zip(shown, edges, strict=True)]
        sentence = _("%(feature)s: mean |φ| %(mean_abs)s, mean φ %(mean_signed)s, share %(share)s") % {
            "feature": isolate(svg.fit(item.name, 400)),
            "mean_abs": shown[0],
            "mean_signed": shown[1],
            "share": shown[2],
        }
        if item.sensitive:
            sentence += ", " + _("sensitive column")
        words.append(f"{sentence}.")
        parts.append(group(*bar, title=sentence))
    parts.append(line(left, top, left, bottom, "plot-axis"))
    y = bottom + 38
    if marked:
        parts += [
            diamond(MARGIN + 5, y - 4),
            text(MARGIN + 16, y, _("sensitive column (hatched)"), "plot-note"),
        ]
        y += 18
    if rest:
        note = _("Further columns not drawn: %(n)s, together mean |φ| %(mean_abs)s.") % {
            "n": reader.count(len(rest)),
            "mean_abs": reader.decimals(sum(item.mean_abs for item in rest), places),
        }
        parts.append(text(MARGIN, y, note, "plot-note"))
        words.append(note)
        y += 18
    return svg.document(
        prefix,
        "shap-importance",
        _("Importance of each column"),
        " ".join(words),
        WIDTH,
        y - 10,
        *([_hatch(hatch)] if marked else []),
        *parts,
    )


def _hatch(name: str) -> Markup:
    stripes = line(0, 0, 0, 6, "plot-hatch")
    return el(
        "defs",
        el(
            "pattern",
            stripes,
            id=name,
            width=6.0,
            height=6.0,
            patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)",
        ),
    )


def diamond(x: float, y: float) -> Markup:
    """The mark of a sensitive column."""
    return el("path", cls="plot-sensitive", d=f"M{svg.decimal(x)} {svg.decimal(y - 5)}l5 5l-5 5l-5 -5z")


def columns(heads: list[str], cells: list[list[str]]) -> tuple[list[float], float]:
    """Right edges of the figure's columns of numbers, and where the drawing left of them has to end."""
    edges: list[float] = []
    right = WIDTH - MARGIN
    for index in reversed(range(len(heads))):
        edges.insert(0, right)
        right -= max(svg.text_width(heads[index], 11), *(svg.text_width(row[index]) for row in cells)) + 14
    return edges, right


def x_axis(scale: Scale, top: float, bottom: float, reader: Reader) -> list[Markup]:
    """Grid lines over the height of the drawing and their numbers under it."""
    drawn = [line(scale(tick), top, scale(tick), bottom, "plot-grid") for tick in scale.ticks]
    for tick in scale.ticks:
        shown = reader.decimals(tick, scale.decimals)
        drawn.append(text(scale(tick), bottom + 16, shown, "plot-muted", "middle"))
    return drawn
