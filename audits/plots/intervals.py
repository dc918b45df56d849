"""Figures with their intervals, one line each: drift of columns, flips under disturbance, performance over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from audits.plots import svg
from audits.plots.importance import MARGIN, WIDTH, x_axis
from audits.plots.reader import Reader, Row
from audits.plots.svg import Markup, el, group, isolate, line, text

MOST_LINES = 40
STEP = 26.0


@dataclass(frozen=True)
class Line:
    """One figure. `section` heads the lines that share it; no interval is drawn where an end is missing."""

    section: str
    label: str
    value: float
    low: float | None
    high: float | None


def lines_of(rows: Iterable[Row], section: str, labels: Sequence[str], names: Sequence[str]) -> list[Line]:
    """Lines from the named rows of a table: a label joined from `labels`, the figure and its ends from `names`."""
    found = []
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        value = svg.finite(row.get(names[0]))
        if value is None:
            continue
        low, high = (svg.finite(row.get(name)) for name in names[1:])
        label = " · ".join(svg.clean_name(row[name]) for name in labels if row.get(name) is not None)
        head = svg.clean_name(row[section]) if section and row.get(section) is not None else ""
        found.append(Line(head, label, value, low, high))
    return found


def _whole_sections(lines: Sequence[Line]) -> list[Line]:
    """At most 40 lines; a section that does not fit is left out as a whole, unless it is the first."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    after = lines[MOST_LINES].section
    kept = [item for item in lines[:MOST_LINES] if not after or item.section != after]
    return kept or list(lines[:MOST_LINES])


def interval_plot(
    lines: Sequence[Line],
    reader: Reader,
    *,
    prefix: str,
    kind: str,
    title: str,
    axis: str,
    marks: Sequence[float] = (),
    zero: bool = True,
    most: float | None = None,
) -> str:
    """Points with intervals as SVG, "" without a line. `marks` are limits to hold them against, drawn as dashes.

    `zero`: the axis begins at 0; `most`: it ends here, and what lies beyond is drawn as a triangle at its end. At most
    40 lines are drawn, and the rest is said to be there.
    """
    if not lines:
        return ""
    drawn = _whole_sections(lines)
    rest = len(lines) - len(drawn)
    ends = [end for item in drawn for end in (item.value, item.low, item.high) if end is not None]
    low, high = min([*ends, *marks]), max([*ends, *marks])
    cut = most if most is not None and high > most else None
    high = high if cut is None else cut
    room = min(240.0, max(70.0, *(svg.text_width(item.label) for item in drawn)) + 2)
    left = MARGIN + room + 14
    scale = svg.nice_scale(min(low, 0.0) if zero else low, high, left, WIDTH - MARGIN - 60, 5)
    places = min(7, max(2, scale.decimals + 1))
    sections = list(dict.fromkeys(item.section for item in drawn))
    heads = sum(24.0 for name in sections if name)
    top, bottom = 6.0, 6.0 + STEP * len(drawn) + heads
    parts: list[Markup] = [*x_axis(scale, top, bottom, reader)]
    parts += [line(scale(mark), top, scale(mark), bottom, "plot-limit") for mark in marks]
    words: list[str] = []
    y = top
    for section in sections:
        if section:
            y += 24.0
            parts.append(
                svg.label(MARGIN, y - 6, section, WIDTH - 2 * MARGIN, "plot-strong plot-over", bold=True)
            )
        for item in (one for one in drawn if one.section == section):
            middle = y + STEP / 2
            y += STEP
            shown = reader.decimals(item.value, places)
            interval = ""
            row = [text(MARGIN + room, middle + 4, isolate(svg.fit(item.label, room)), "plot-text", "end")]
            if item.low is not None and item.high is not None:
                row.append(line(scale(item.low), middle, scale(item.high), middle, "plot-interval"))
                interval = f" ({reader.decimals(item.low, places)} – {reader.decimals(item.high, places)})"
            if cut is not None and item.value > cut:
                d = f"M{svg.decimal(scale(cut) - 5)} {svg.decimal(middle - 6)}l10 6l-10 6z"
                row.append(el("path", cls="plot-dot", d=d))
            else:
                row.append(el("circle", cls="plot-dot", cx=scale(item.value), cy=middle, r=5))
            row.append(text(WIDTH - MARGIN, middle + 4, shown, "plot-text", "end"))
            named = ", ".join(isolate(svg.fit(part, 400)) for part in (section, item.label) if part)
            sentence = f"{named}: {shown}{interval}"
            words.append(f"{sentence}.")
            parts.append(group(*row, title=sentence))
    parts.append(line(left, top, left, bottom, "plot-axis"))
    y = bottom + 36
    parts.append(text(left, y, axis, "plot-muted"))
    if cut is not None:
        y += 16
        note = reader.gettext("Triangles lie beyond the axis: read their figures.")
        parts.append(text(MARGIN, y, note, "plot-note"))
    if rest:
        y += 16
        note = reader.gettext("Further lines not drawn: %(n)s.") % {"n": reader.count(rest)}
        parts.append(text(MARGIN, y, note, "plot-note"))
        words.append(note)
    return svg.document(prefix, kind, title, " ".join(words), WIDTH, y + 12, *parts)
