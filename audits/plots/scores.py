"""How well scores and labels hold: the reliability of scores and the table of truth against prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from audits.plots import svg
from audits.plots.reader import ABSENT, Labels, NumberFormat, Reader, Row, as_mappings, english, plain_number
from audits.plots.style import HEAT
from audits.plots.svg import Markup, el, group, isolate, line, rect, text

CALIBRATION_COLUMNS = ("bin_low", "bin_high", "n", "mean_score", "observed_rate")
CONFUSION_COLUMNS = ("truth", "prediction", "n")
Z = 1.959963984540054  # two-sided 95 %
MOST_CLASSES = 12


@dataclass(frozen=True)
class Bin:
    low: float | None
    high: float | None
    n: int
    score: float
    observed: float


def wilson(rate: float, n: int, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), 95 % by default; n ≥ 1, rate in [0, 1]."""
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def calibration_plot(
    rows: Iterable[Row],
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "calibration",
) -> str:
    """Observed rate against mean score per bin, over a strip with the rows per bin, as SVG; "" without a
    filled bin.

    On the diagonal a score of 0.7 comes true in 70 % of the rows. The area of a point grows with n; the
    upright line is the 95 % Wilson interval of the observed rate. Rows whose score or rate lies outside [0,
    1] are left out: they are no proportions.
    """
    reader = Reader(labels, number)
    bins = []
    for row in as_mappings(rows, CALIBRATION_COLUMNS):
        n, score, rate = (
            svg.count(row.get("n")),
            svg.finite(row.get("mean_score")),
            svg.finite(row.get("observed_rate")),
        )
        if n and score is not None and rate is not None and 0 <= score <= 1 and 0 <= rate <= 1:
            bins.append(Bin(svg.finite(row.get("bin_low")), svg.finite(row.get("bin_high")), n, score, rate))
    bins.sort(key=lambda item: (item.score, item.observed, item.n))
    return _calibration(bins, reader, prefix) if bins else ""


def radius(n: int, largest: int) -> float:
    """Pixels; the area is in proportion to n, and even one row can be seen."""
    return max(2.5, 9.0 * math.sqrt(n / largest))


def _calibration(bins: list[Bin], reader: Reader, prefix: str) -> str:
    _ = reader.gettext
    left, top, side, strip = 62.0, 14.0, 340.0, 54.0
    bottom, right = top + side, left + side
    x, y = svg.nice_scale(0, 1, left, right), svg.nice_scale(0, 1, bottom, top)
    largest = max(item.n for item in bins)
    parts: list[Markup] = []
    for tick in x.ticks:
        shown = reader.decimals(tick, 1)
        parts += [
            line(x(tick), top, x(tick), bottom, "plot-grid"),
            line(left, y(tick), right, y(tick), "plot-grid"),
            text(left - 8, y(tick) + 4, shown, "plot-muted", "end"),
            text(x(tick), bottom + strip + 32, shown, "plot-muted", "middle"),
        ]
    parts.append(line(x(0), y(0), x(1), y(1), "plot-diagonal"))
    path = "".join(
        f"{'L' if index else 'M'}{svg.decimal(x(item.score))} {svg.decimal(y(item.observed))}"
        for index, item in enumerate(bins)
    )
    parts.append(el("path", cls="plot-path", d=path))
    base = bottom + strip + 14
    words = []
    for item in bins:
        sentence = _bin_sentence(item, reader)
        words.append(f"{sentence}.")
        low, high = wilson(item.observed, item.n)
        at = x(item.score)
        height = strip * item.n / largest
        bounded = item.low is not None and item.high is not None and 0 <= item.low < item.high <= 1
        from_, to = (x(item.low or 0.0), x(item.high or 0.0)) if bounded else (at - 4, at + 4)
        parts.append(
            group(
                line(at, y(low), at, y(high), "plot-interval"),
                el("circle", cls="plot-dot", cx=at, cy=y(item.observed), r=radius(item.n, largest)),
                rect(from_ + 1, base - height, to - from_ - 2, height, "plot-bar-count"),
                title=sentence,
            )
        )
    parts += [
        line(left, bottom, right, bottom, "plot-axis"),
        line(left, top, left, bottom, "plot-axis"),
        line(left, base, right, base, "plot-axis"),
        text(left - 8, base - strip + 8, reader.count(largest), "plot-muted", "end"),
        text(left - 8, base + 3, reader.count(0), "plot-muted", "end"),
        text(
            18,
            (top + bottom) / 2,
            _("observed rate"),
            "plot-muted",
            "middle",
            f"rotate(-90 18 {(top + bottom) / 2:g})",
        ),
        text(18, base - strip / 2, _("rows"), "plot-muted", "middle", f"rotate(-90 18 {base - strip / 2:g})"),
        text((left + right) / 2, base + 38, _("mean score of the bin"), "plot-muted", "middle"),
    ]
    legend, width = _calibration_key(right + 28, top + 10, largest, reader)
    title = _("Reliability of the scores")
    return svg.document(prefix, "calibration", title, " ".join(words), width, base + 50, *parts, *legend)


def _calibration_key(x: float, y: float, largest: int, reader: Reader) -> tuple[list[Markup], float]:
    """What the marks mean, right of the square; and how wide the figure is with it."""
    _ = reader.gettext
    shown = _("n = %(n)s") % {"n": reader.count(largest)}
    items = [
        (line(x - 9, y, x + 9, y, "plot-diagonal"), _("score and rate agree")),
        (el("circle", cls="plot-dot", cx=x, cy=y + 26, r=9.0), shown),
        (line(x, y + 44, x, y + 60, "plot-interval"), _("%(level)s interval of the rate") % {"level": "95%"}),
    ]
    drawn: list[Markup] = []
    for index, (sign, words) in enumerate(items):
        drawn += [sign, text(x + 18, y + 4 + 26 * index, words, "plot-note")]
    widest = max(svg.text_width(words, 11) for _sign, words in items)
    return drawn, max(600.0, math.ceil(x + 18 + widest + 12))


def _bin_sentence(item: Bin, reader: Reader) -> str:
    _ = reader.gettext
    low, high = wilson(item.observed, item.n)
    words = _(
        "scores %(from)s to %(to)s: mean score %(score)s, observed rate %(rate)s (%(interval)s), n = %(n)s"
    ) % {
        "from": reader.rate(item.low),
        "to": reader.rate(item.high),
        "score": reader.rate(item.score),
        "rate": reader.rate(item.observed),
        "interval": reader.interval(low, high),
        "n": reader.count(item.n),
    }
    return words


# --- truth and prediction ---


def confusion_plot(
    rows: Iterable[Row],
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "confusion",
) -> str:
    """Truth by row, prediction by column; a cell shows n and its share of the row, and is shaded by that
    share.

    "" when nothing was counted. Classes stand in the order of the table; of more than twelve, the eleven most
    frequent are shown and the others are added up in one.
    """
    reader = Reader(labels, number)
    cells: dict[tuple[str, str], int] = {}
    for row in as_mappings(rows, CONFUSION_COLUMNS):
        n = svg.count(row.get("n"))
        if n is not None:
            place = (reader.name(row.get("truth")), reader.name(row.get("prediction")))
            cells[place] = cells.get(place, 0) + n
    if not sum(cells.values()):
        return ""
    return _confusion(*_fold(cells, reader), reader, prefix)


def _fold(cells: dict[tuple[str, str], int], reader: Reader) -> tuple[list[str], dict[tuple[str, str], int]]:
    """The classes and counts to draw, the rarest classes of too many added up."""
    classes = list(
        dict.fromkeys([*(truth for truth, _p in cells), *(prediction for _t, prediction in cells)])
    )
    if len(classes) <= MOST_CLASSES:
        return classes, cells
    rows = dict.fromkeys(classes, 0)
    for (truth, prediction), n in cells.items():
        rows[truth] += n
        rows[prediction] += n
    frequent = set(sorted(classes, key=lambda name: (-rows[name], name))[: MOST_CLASSES - 1])
    others = reader.gettext("%(n)s other classes") % {"n": reader.count(len(classes) - len(frequent))}
    folded: dict[tuple[str, str], int] = {}
    for (truth, prediction), n in cells.items():
        place = (truth if truth in frequent else others, prediction if prediction in frequent else others)
        folded[place] = folded.get(place, 0) + n
    return [name for name in classes if name in frequent] + [others], folded


def heat_step(share: float) -> int:
    """The shade of a share in [0, 1]: five equal steps."""
    return min(len(HEAT) - 1, int(share * len(HEAT)))


def _confusion(classes: list[str], cells: dict[tuple[str, str], int], reader: Reader, prefix: str) -> str:
    _ = reader.gettext
    counts = [reader.count(n) for n in cells.values()]
    wide = max(84.0 if len(classes) <= 6 else 50.0, max(map(svg.text_width, counts)) + 16)
    high = 52.0
    room = min(180.0, max(map(svg.text_width, classes)) + 2)
    heading = _("truth ↓   prediction →")
    left = 16 + max(room, svg.text_width(heading, 11)) + 12
    top = 34.0
    totals = {truth: sum(cells.get((truth, prediction), 0) for prediction in classes) for truth in classes}
    total_room = (
        max(svg.text_width(_("rows"), 11), *(svg.text_width(reader.count(n)) for n in totals.values())) + 16
    )
    right = left + wide * len(classes)
    parts = [text(left - 12, 22, heading, "plot-muted", "end")]
    parts.append(text(right + total_room, 22, _("rows"), "plot-muted", "end"))
    words = []
    for column, prediction in enumerate(classes):
        middle = left + wide * (column + 0.5)
        shown = isolate(svg.fit(prediction, wide - 8))
        parts.append(group(text(middle, 22, shown, "plot-text", "middle"), title=isolate(prediction)))
    for row, truth in enumerate(classes):
        y = top + high * row
        name = text(left - 12, y + high / 2 + 4, isolate(svg.fit(truth, room)), "plot-text", "end")
        parts.append(group(name, title=isolate(truth)))
        parts.append(
            text(right + total_room, y + high / 2 + 4, reader.count(totals[truth]), "plot-greyed", "end")
        )
        for column, prediction in enumerate(classes):
            n = cells.get((truth, prediction), 0)
            share = n / totals[truth] if totals[truth] else None
            step = 0 if share is None else heat_step(share)
            x = left + wide * column
            sentence = _("truth %(truth)s, prediction %(prediction)s: n = %(n)s, %(share)s of the row") % {
                "truth": isolate(svg.fit(truth, 400)),
                "prediction": isolate(svg.fit(prediction, 400)),
                "n": reader.count(n),
                "share": ABSENT if share is None else reader.rate(share),
            }
            words.append(f"{sentence}.")
            ink = f"plot-heat-text-{step}"
            drawn = [
                rect(x + 1, y + 1, wide - 2, high - 2, f"plot-heat-{step}", rx=3),
                text(x + wide / 2, y + 23, reader.count(n), f"{ink} plot-count", "middle"),
                text(x + wide / 2, y + 40, reader.rate(share), f"{ink} plot-small", "middle"),
            ]
            if truth == prediction:
                drawn.append(rect(x + 1, y + 1, wide - 2, high - 2, "plot-cell-edge", rx=3))
            parts.append(group(*drawn, title=sentence))
    bottom = top + high * len(classes)
    note = _("In a cell: n and its share of the row. Framed: truth and prediction agree.")
    parts.append(text(16, bottom + 22, note, "plot-note"))
    width = max(right + total_room, 16 + svg.text_width(note, 11)) + 16
    title = _("Truth and prediction")
    return svg.document(prefix, "confusion", title, " ".join(words), math.ceil(width), bottom + 34, *parts)
