"""One record: how each column moves the output from the average to what it is; and the weights of a second opinion."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

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
from audits.plots.svg import Markup, Scale, el, group, isolate, line, text

COLUMNS = ("feature", "phi")
WEIGHTS = ("feature", "weight")
MOST_FEATURES = 14
ROW = 26.0
TIP = 6.0  # pixels of a bar's arrow


@dataclass(frozen=True)
class Step:
    name: str
    start: float
    end: float
    sensitive: bool

    @property
    def change(self) -> float:
        return self.end - self.start


def waterfall_plot(
    rows: Iterable[Row],
    params: Mapping[str, object],
    sensitive: Collection[str] = frozenset(),
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "shap-local",
) -> str:
    """Arrows from `base_value` to `output` (both in `params`), the largest contribution first, as SVG or "".

    14 columns are drawn; the rest is one step. Direction is told by the arrow and the sign, not by colour alone.
    """
    reader = Reader(labels, number)
    base = svg.finite(params.get("base_value"))
    found = _read(rows, COLUMNS, "phi", reader, sensitive)
    if base is None or not found:
        return ""
    _ = reader.gettext
    found.sort(key=lambda item: (-abs(item[1]), item[0]))
    drawn, rest = found[:MOST_FEATURES], found[MOST_FEATURES:]
    if rest:
        shown = _("%(n)s other columns") % {"n": reader.count(len(rest))}
        drawn.append((shown, sum(phi for _name, phi, _marked in rest), False))
    steps, place = [], base
    for name, phi, marked in drawn:
        steps.append(Step(name, place, place + phi, marked))
        place += phi
    title = _("From the average output to this record's")
    ends = (_("average %(value)s"), _("this record %(value)s"))
    return _draw(steps, base, place, title, ends, reader, prefix, "shap-local")


def weights_plot(
    rows: Iterable[Row],
    params: Mapping[str, object],
    sensitive: Collection[str] = frozenset(),
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "lime-local",
) -> str:
    """Arrows from 0, one for each weight of the local linear model, the largest first, as SVG or ""."""
    reader = Reader(labels, number)
    found = _read(rows, WEIGHTS, "weight", reader, sensitive)
    if not found:
        return ""
    found.sort(key=lambda item: (-abs(item[1]), item[0]))
    steps = [Step(name, 0.0, weight, marked) for name, weight, marked in found[: MOST_FEATURES + 1]]
    title = reader.gettext("Weights of the local linear model")
    rest = len(found) - len(steps)
    return _draw(steps, None, None, title, ("", ""), reader, prefix, "lime-local", rest)


def _read(
    rows: Iterable[Row], columns: tuple[str, ...], value: str, reader: Reader, sensitive: Collection[str]
) -> list[tuple[str, float, bool]]:
    names = {str(name) for name in sensitive}
    return [
        (reader.name(row.get("feature")), number, str(row.get("feature")) in names)
        for row in as_mappings(rows, columns)
        if (number := svg.finite(row.get(value))) is not None
    ]


def _draw(
    steps: list[Step],
    base: float | None,
    output: float | None,
    title: str,
    ends: tuple[str, str],
    reader: Reader,
    prefix: str,
    kind: str,
    rest: int = 0,
) -> str:
    """`base` and `output` where the steps follow one another; `rest`: columns that are not drawn."""
    _ = reader.gettext
    places = min(7, places_for(max(abs(item.change) for item in steps) or 1.0))
    cells = [reader.signed(item.change, places) for item in steps]
    marked = any(item.sensitive for item in steps)
    room = min(230.0, max(60.0, *(svg.text_width(item.name) for item in steps)) + 2)
    names = MARGIN + room
    left = names + (28.0 if marked else 14.0)
    right = WIDTH - MARGIN - max(svg.text_width(cell) for cell in cells) - 14
    edges = [value for item in steps for value in (item.start, item.end)]
    scale = svg.nice_scale(min(edges), max(edges), left, right, 6)
    top = 26.0 if base is not None else 6.0
    bottom = top + ROW * len(steps) + 4
    parts: list[Markup] = x_axis(scale, top, bottom, reader)
    words = []
    if base is not None and output is not None:
        words.append((ends[0] % {"value": reader.decimals(base, places)}) + ".")
        parts.append(line(scale(base), top - 4, scale(base), bottom, "plot-limit"))
    else:
        parts.append(line(scale(0.0), top, scale(0.0), bottom, "plot-axis"))
    for index, (item, cell) in enumerate(zip(steps, cells, strict=True)):
        y = top + ROW * index + 4
        row = [text(names, y + 13, isolate(svg.fit(item.name, room)), "plot-text", "end")]
        if item.sensitive:
            row.append(diamond(names + 12, y + 9))
        row.append(_arrow(scale, item, y))
        row.append(text(WIDTH - MARGIN, y + 13, cell, "plot-text", "end"))
        if base is not None and index + 1 < len(steps):
            row.append(line(scale(item.end), y + 18, scale(item.end), y + ROW, "plot-axis"))
        sentence = f"{isolate(svg.fit(item.name, 400))}: {cell}"
        if item.sensitive:
            sentence += ", " + _("sensitive column")
        words.append(f"{sentence}.")
        parts.append(group(*row, title=sentence))
    if base is not None and output is not None:
        words.append((ends[1] % {"value": reader.decimals(output, places)}) + ".")
        parts += _ends(scale, base, output, [end % {"value": reader.decimals(value, places)}
                       for end, value in zip(ends, (base, output), strict=True)], bottom)  # fmt: skip
    y = bottom + (38 if base is None else 40)
    if marked:
        parts += [diamond(MARGIN + 5, y - 4), text(MARGIN + 16, y, _("sensitive column"), "plot-note")]
        y += 18
    if rest:
        note = _("Further columns not drawn: %(n)s.") % {"n": reader.count(rest)}
        parts.append(text(MARGIN, y, note, "plot-note"))
        words.append(note)
        y += 18
    return svg.document(prefix, kind, title, " ".join(words), WIDTH, y - 8, *parts)


def _ends(scale: Scale, base: float, output: float, shown: list[str], bottom: float) -> list[Markup]:
    """What the two ends mean: the average above the first row, the record's output under the axis."""
    drawn = []
    for value, words, y in ((base, shown[0], 14.0), (output, shown[1], bottom + 32)):
        half = svg.text_width(words, 11) / 2
        x = min(max(scale(value), MARGIN + half), WIDTH - MARGIN - half)
        drawn.append(text(x, y, words, "plot-muted" if y < bottom else "plot-strong", "middle"))
    return drawn


def _arrow(scale: Scale, item: Step, y: float) -> Markup:
    """A bar with a point in the direction of its change; a change of nothing is a line."""
    start, end = scale(item.start), scale(item.end)
    size = end - start
    if abs(size) < 0.5:
        return line(start, y, start, y + 18, "plot-range")
    tip = max(-TIP, min(TIP, size))
    d = svg.decimal
    path = (
        f"M{d(start)} {d(y)}H{d(end - tip)}L{d(end)} {d(y + 9)}L{d(end - tip)} {d(y + 18)}H{d(start)}"
        f"{'l' + d(tip) + ' -9' if abs(size) > 2 * TIP else ''}z"
    )
    return el("path", cls="plot-bar" if size > 0 else "plot-bar-down", d=path)
