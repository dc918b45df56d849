"""Selection rate per group: one dot and its interval per group, faceted by sensitive attribute (a forest
plot)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from audits.plots import svg
from audits.plots.reader import Labels, NumberFormat, Reader, Row, as_mappings, english, plain_number
from audits.plots.svg import Markup, Scale, el, group, isolate, line, rect, text

COLUMNS = (
    "attribute",
    "group",
    "n",
    "positives",
    "negatives",
    "selection_rate",
    "selection_rate_low",
    "selection_rate_high",
    "true_positive_rate",
    "false_positive_rate",
    "precision",
    "accuracy",
    "base_rate",
    "excluded",
)
WIDTH, MARGIN = 760.0, 16.0
TOP, HEADER, ROW, EXCLUDED_ROW, GAP = 22.0, 28.0, 26.0, 40.0, 8.0
MOST_GROUPS, MOST_EXCLUDED, MOST_ATTRIBUTES = 30, 6, 12

Reason = Callable[[object], str]


@dataclass(frozen=True)
class Group:
    name: str
    n: int | None
    rate: float | None
    low: float | None
    high: float | None
    excluded: str  # the reason in the reader's language, "" when the group counts
    details: str

    @property
    def compared(self) -> float | None:
        """The rate, where it takes part in the comparison."""
        return None if self.excluded else self.rate


@dataclass(frozen=True)
class Facet:
    attribute: str
    groups: tuple[Group, ...]
    total: int
    aside: int = 0  # groups that are not compared, and not drawn either

    @property
    def highest(self) -> float | None:
        return max((item.compared for item in self.groups if item.compared is not None), default=None)


def group_rates_plot(
    rows: Iterable[Row],
    limit: float | None = None,
    *,
    labels: Labels = english,
    number: NumberFormat = plain_number,
    prefix: str = "groups",
    reason: Reason | None = None,
    hidden: int = 0,
) -> str:
    """The selection rate of every group with its interval and n, as SVG; "" when there is no group.

    `limit` is the least ratio to the highest rate of the attribute (0.8 for four fifths, 29 CFR 1607.4 D):
    the band between the two is shaded and what lies below is marked. It says where the points lie and is no
    verdict: a policy may ask for the conservative bound. Excluded groups are greyed, give their reason and
    never set the highest rate; `excluded` is falsy, true, a text, or whatever `reason` renders. At most 30
    groups of an attribute are drawn: the one with the highest rate and those with the lowest; and of those that are
    not compared the six with the most rows. `hidden` counts further attributes that no figure has.
    """
    reader = Reader(labels, number)
    facets: dict[str, list[Group]] = {}
    for row in as_mappings(rows, COLUMNS):
        facets.setdefault(reader.name(row.get("attribute")), []).append(_group(row, reader, reason))
    if not facets:
        return ""
    limit = svg.finite(limit)
    if limit is not None and not 0 < limit <= 1:
        limit = None
    kept = [_cut(attribute, groups) for attribute, groups in list(facets.items())[:MOST_ATTRIBUTES]]
    return _Figure(kept, hidden + len(facets) - len(kept), limit, reader).draw(prefix)


def _group(row: Mapping[str, object], reader: Reader, reason: Reason | None) -> Group:
    _ = reader.gettext
    further = (
        (_("true positive rate"), "true_positive_rate"),
        (_("false positive rate"), "false_positive_rate"),
        (_("precision"), "precision"),
        (_("accuracy"), "accuracy"),
        (_("base rate"), "base_rate"),
    )
    parts = [f"{name} {reader.rate(svg.finite(row.get(column)))}" for name, column in further]
    counts = _("positives %(positives)s, negatives %(negatives)s") % {
        "positives": reader.count(svg.count(row.get("positives"))),
        "negatives": reader.count(svg.count(row.get("negatives"))),
    }
    low, high = svg.finite(row.get("selection_rate_low")), svg.finite(row.get("selection_rate_high"))
    if low is not None and high is not None and low > high:
        low, high = high, low
    return Group(
        name=reader.name(row.get("group")),
        n=svg.count(row.get("n")),
        rate=svg.finite(row.get("selection_rate")),
        low=low,
        high=high,
        excluded=_excluded(row.get("excluded"), reader, reason),
        details="; ".join([counts, *parts]),
    )


def _excluded(value: object, reader: Reader, reason: Reason | None) -> str:
    if not value:
        return ""
    if value is True:
        return reader.gettext("not compared")
    if reason is not None:
        return svg.clean_name(reason(value)) or reader.gettext("not compared")
    if isinstance(value, Mapping):
        value = value.get("code", "")
    return reader.gettext(svg.clean_name(value) or "not compared")


def _cut(attribute: str, groups: list[Group]) -> Facet:
    """The groups to draw, in the table's order: with too many, the highest rate and the lowest ones, and of those
    that are not compared the largest."""
    total, aside = len(groups), [index for index, item in enumerate(groups) if item.excluded]
    smallest = sorted(aside, key=lambda index: (-(groups[index].n or 0), index))[MOST_EXCLUDED:]
    groups = [item for index, item in enumerate(groups) if index not in smallest]
    if len(groups) <= MOST_GROUPS:
        return Facet(attribute, tuple(groups), total, len(smallest))
    by_rate = sorted(
        range(len(groups)),
        key=lambda index: (groups[index].compared is None, groups[index].compared or 0.0, index),
    )
    rated = [index for index in by_rate if groups[index].compared is not None]
    keep = set(by_rate[: MOST_GROUPS - 1])
    keep.add(rated[-1] if rated else by_rate[MOST_GROUPS - 1])
    if len(keep) < MOST_GROUPS:  # the highest one was among them
        keep.add(by_rate[MOST_GROUPS - 1])
    drawn = tuple(item for index, item in enumerate(groups) if index in keep)
    return Facet(attribute, drawn, total, len(smallest))


class _Figure:
    """Lays the facets out from top to bottom; `y` is where the next thing goes."""

    def __init__(self, facets: list[Facet], hidden: int, limit: float | None, reader: Reader) -> None:
        _ = reader.gettext
        self.facets, self.hidden, self.limit, self.reader = facets, hidden, limit, reader
        groups = [item for facet in facets for item in facet.groups]
        names = [item.name for item in groups]
        self.label_room = min(180.0, max(60.0, *(svg.text_width(name) for name in names)) + 2)
        heads = [svg.fit(head, 120, 11) for head in (_("rate"), _("interval"), _("ratio to highest"), _("n"))]
        shown = [
            [reader.rate(item.rate) for item in groups],
            [reader.interval(item.low, item.high) for item in groups],
            [self.ratio(item, facet.highest) for facet in facets for item in facet.groups],
            [reader.count(item.n) for item in groups],
        ]
        if limit is None:
            del heads[2], shown[2]
        self.columns: list[tuple[str, float]] = []  # heading and right edge
        right = WIDTH - MARGIN
        for head, cells in zip(reversed(heads), reversed(shown), strict=True):
            self.columns.insert(0, (head, right))
            right -= max(svg.text_width(head, 11), *(svg.text_width(cell) for cell in cells)) + 14
        self.left = MARGIN + self.label_room + 14
        right = max(right, self.left + 100)
        values = [value for item in groups for value in (item.rate, item.low, item.high) if value is not None]
        self.scale: Scale = svg.nice_scale(
            min([0.0, *values]), max(values) if values and max(values) > 0 else 1.0, self.left, right - 6
        )
        self.parts: list[Markup] = []
        self.seen: set[str] = set()

    def ratio(self, item: Group, highest: float | None) -> str:
        if self.limit is None or item.compared is None or not highest or highest < 0:
            return ""
        return self.reader.apart(item.compared / highest, self.limit)

    def draw(self, prefix: str) -> str:
        _ = self.reader.gettext
        rows = sum(HEADER + GAP + sum(map(_height, facet.groups)) for facet in self.facets)
        bottom = TOP + rows
        for head, right in self.columns:
            self.parts.append(text(right, 14, head, "plot-muted", "end"))
        self.parts.append(text(self.left, 14, _("selection rate"), "plot-muted"))
        y = TOP
        for facet in self.facets:
            y = self.facet(facet, y)
        under = [line(self.scale(t), TOP, self.scale(t), bottom, "plot-grid") for t in self.scale.ticks]
        axis = [line(self.left, bottom, self.scale.end, bottom, "plot-axis")]
        for tick in self.scale.ticks:
            shown = self.reader.decimals(tick, max(1, self.scale.decimals))
            axis.append(text(self.scale(tick), bottom + 16, shown, "plot-muted", "middle"))
        y = bottom + 38
        legend, y = self.legend(y)
        notes = self.notes()
        for note in notes:
            axis.append(text(MARGIN, y, svg.fit(note, WIDTH - 2 * MARGIN, 11), "plot-note"))
            y += 16
        return svg.document(
            prefix,
            "groups",
            _("Selection rate per group"),
            self.description(notes),
            WIDTH,
            y - 8,
            *self.bands(),
            *under,
            *self.parts,
            *axis,
            *legend,
        )

    def bands(self) -> list[Markup]:
        """Shaded from the limit to the highest rate, below everything else."""
        drawn, y = [], TOP
        for facet in self.facets:
            height = sum(map(_height, facet.groups))
            if self.limit is not None and facet.highest is not None and facet.highest > 0:
                low, high = self.scale(self.limit * facet.highest), self.scale(facet.highest)
                drawn.append(rect(low, y + HEADER, high - low, height, "plot-band"))
            y += HEADER + height + GAP
        return drawn

    def facet(self, facet: Facet, y: float) -> float:
        ends = WIDTH - MARGIN
        self.parts.append(line(MARGIN, y + HEADER, WIDTH - MARGIN, y + HEADER, "plot-grid"))
        height = sum(map(_height, facet.groups))
        if self.limit is not None and facet.highest is not None and facet.highest > 0:
            x = self.scale(self.limit * facet.highest)
            self.parts.append(line(x, y + HEADER - 6, x, y + HEADER + height, "plot-limit"))
            shown = self.limit_text(facet.highest)
            room = svg.text_width(shown, 11)
            middle = min(max(x, self.left + room / 2), self.scale.end - room / 2)
            self.parts.append(text(middle, y + HEADER - 10, shown, "plot-muted", "middle"))
            ends = middle - room / 2 - 8
        cls = "plot-strong plot-over"
        self.parts.append(svg.label(MARGIN, y + 19, facet.attribute, ends - MARGIN, cls, bold=True))
        y += HEADER
        for item in facet.groups:
            self.parts.append(self.row(item, facet, y))
            y += _height(item)
        return y + GAP

    def limit_text(self, highest: float) -> str:
        limit = self.limit or 0.0
        return (
            f"{self.reader.rate(limit)} × {self.reader.rate(highest)} = {self.reader.rate(limit * highest)}"
        )

    def below(self, item: Group, facet: Facet) -> bool:
        if self.limit is None or item.compared is None or facet.highest is None or facet.highest <= 0:
            return False
        return item.compared / facet.highest < self.limit

    def row(self, item: Group, facet: Facet, y: float) -> Markup:
        _ = self.reader.gettext
        state = "excluded" if item.excluded else "below" if self.below(item, facet) else ""
        middle = y + ROW / 2
        ink = "plot-greyed" if item.excluded else "plot-text"
        parts = [text(MARGIN, middle + 4, isolate(svg.fit(item.name, self.label_room)), ink)]
        if item.low is not None and item.high is not None:
            x1, x2 = self.scale(item.low), self.scale(item.high)
            parts.append(line(x1, middle, x2, middle, f"plot-interval-{state}" if state else "plot-interval"))
        if item.rate is None:
            parts.append(text(self.left, middle + 4, _("undefined"), "plot-muted"))
        else:
            parts.append(mark(self.scale(item.rate), middle, state))
            self.seen.add(state)
        cells = [self.reader.rate(item.rate), self.reader.interval(item.low, item.high)]
        if self.limit is not None:
            cells.append(self.ratio(item, facet.highest))
        cells.append(self.reader.count(item.n))
        for shown, (_head, right) in zip(cells, self.columns, strict=True):
            parts.append(text(right, middle + 4, shown, ink, "end"))
        if item.excluded:
            reason = _("excluded: %(reason)s") % {"reason": item.excluded}
            parts.append(text(MARGIN, y + ROW + 6, svg.fit(reason, WIDTH - 2 * MARGIN, 11), "plot-note"))
        return group(*parts, title=f"{self.sentence(item, facet)}; {item.details}")

    def legend(self, y: float) -> tuple[list[Markup], float]:
        """What the marks mean, on as many lines as the reader's language takes; and where the notes start."""
        _ = self.reader.gettext
        if not self.seen or (self.seen == {""} and self.limit is None):
            return [], y
        items = [("", _("point estimate with its interval"))]
        if "below" in self.seen:
            shown = _("below %(limit)s × the highest rate") % {"limit": self.reader.rate(self.limit)}
            items.append(("below", shown))
        if "excluded" in self.seen:
            items.append(("excluded", _("not compared")))
        drawn: list[Markup] = []
        x = MARGIN + 6
        for state, shown in items:
            room = svg.text_width(shown, 11) + 36
            if drawn and x + room - 20 > WIDTH - MARGIN:
                x, y = MARGIN + 6, y + 18
            drawn += [mark(x, y - 4, state), text(x + 11, y, shown, "plot-note")]
            x += room
        return drawn, y + 20

    def notes(self) -> list[str]:
        _ = self.reader.gettext
        notes = [
            _("%(attribute)s: %(drawn)s of %(total)s groups drawn, the highest rate and the lowest ones.")
            % {
                "attribute": isolate(svg.fit(facet.attribute, 240, 11)),
                "drawn": self.reader.count(len(facet.groups)),
                "total": self.reader.count(facet.total),
            }
            for facet in self.facets
            if facet.total - facet.aside > len(facet.groups)
        ]
        notes += [
            _("%(attribute)s: %(n)s further groups are not compared, and not drawn.")
            % {
                "attribute": isolate(svg.fit(facet.attribute, 240, 11)),
                "n": self.reader.count(facet.aside),
            }
            for facet in self.facets
            if facet.aside
        ]
        if self.hidden:
            notes.append(_("Further attributes not drawn: %(n)s.") % {"n": self.reader.count(self.hidden)})
        return notes

    def sentence(self, item: Group, facet: Facet) -> str:
        """One group in words: `sex = female: 0.43 (0.36 – 0.51), n = 212, 0.91 of the highest rate`."""
        _ = self.reader.gettext
        rate = _("undefined") if item.rate is None else self.reader.rate(item.rate)
        interval = self.reader.interval(item.low, item.high)
        attribute, name = isolate(svg.fit(facet.attribute, 400)), isolate(svg.fit(item.name, 400))
        words = f"{attribute} = {name}: {rate}" + (f" ({interval})" if interval else "")
        words += ", " + _("n = %(n)s") % {"n": self.reader.count(item.n)}
        ratio = self.ratio(item, facet.highest)
        if ratio:
            words += ", " + _("%(ratio)s of the highest rate") % {"ratio": ratio}
        if item.excluded:
            words += ", " + _("excluded: %(reason)s") % {"reason": item.excluded}
        return words

    def description(self, notes: list[str]) -> str:
        _ = self.reader.gettext
        words = []
        for facet in self.facets:
            words += [f"{self.sentence(item, facet)}." for item in facet.groups]
            below = [isolate(svg.fit(item.name, 400)) for item in facet.groups if self.below(item, facet)]
            if self.limit is not None and facet.highest is not None and facet.highest > 0:
                shown = _("%(attribute)s: limit %(limit)s; below it: %(groups)s.") % {
                    "attribute": isolate(svg.fit(facet.attribute, 400)),
                    "limit": self.limit_text(facet.highest),
                    "groups": ", ".join(below) or _("none"),
                }
                words.append(shown)
        return " ".join([*words, *notes])


def _height(item: Group) -> float:
    return EXCLUDED_ROW if item.excluded else ROW


def mark(x: float, y: float, state: str) -> Markup:
    """A disc, a diamond for what lies below the limit, a ring for what is not compared: told apart without
    colour."""
    if state == "below":
        path = f"M{svg.decimal(x)} {svg.decimal(y - 6.5)}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"
        return el("path", cls="plot-dot-below", d=path)
    return el("circle", cls="plot-dot-excluded" if state else "plot-dot", cx=x, cy=y, r=4.5 if state else 5.5)
