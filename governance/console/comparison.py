"""The dossier's section that puts a version beside the one that is live. To read: it is no part of the proof."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.plots.svg import clean_name
from governance.comparison import Comparison, compare
from governance.comparison.compare import CheckPair, DataDiff, ImportanceShift, MetricPair
from governance.comparison.statistics import FISHER, FROM_INTERVALS, TWO_PROPORTION
from governance.console.tables import Cell, TableView
from governance.console.wording import METRICS, quantity, reader, sentence, word
from governance.models import Promotion

log = logging.getLogger(__name__)
MOST_ROWS = 60

TESTS: dict[str, str | Promise] = {
    TWO_PROPORTION: _("two proportions, z"),
    FISHER: _("Fisher, exact"),
    FROM_INTERVALS: _("z from intervals"),
}


@dataclass(frozen=True)
class Part:
    """One heading of the section: a table, or sentences where there is none."""

    title: str
    table: TableView | None = None
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ComparisonView:
    live: str
    why_not: str
    parts: list[Part] = field(default_factory=list)


def comparison_view(promotion: Promotion) -> ComparisonView | None:
    """None where the stored results cannot be read: the checks of the page say so themselves."""
    try:
        found = compare(promotion.version, promotion.environment)
    except (TypeError, ValueError, KeyError, AttributeError):
        log.exception("promotion %s cannot be compared with what is live", promotion.id)
        return None
    if found.live is None:
        return ComparisonView("", sentence(found.why_not))
    return ComparisonView(found.live.label, "", _parts(found))


def _parts(found: Comparison) -> list[Part]:
    parts = [
        _metrics(gettext("Metrics"), found.metrics, attributes=False),
        _metrics(gettext("Groups"), found.bias, attributes=True),
        _importance(found.importance),
        _data(found.data),
    ]
    return [part for part in parts if part is not None]


def _metrics(title: str, check: CheckPair | None, *, attributes: bool) -> Part | None:
    if check is None:
        return None
    if check.why_not is not None:
        return Part(title, lines=[sentence(check.why_not)])
    # Rates of single groups are in the check's own tables and in the API; here stand the disparities.
    pairs = [pair for pair in check.pairs if pair.group is None]
    heads = [
        Cell(gettext("Metric")),
        *([Cell(gettext("Attribute"))] if attributes else []),
        Cell(gettext("This version"), True),
        Cell(gettext("Live version"), True),
        Cell(gettext("Difference"), True),
        Cell(gettext("p (Holm)"), True),
        Cell(gettext("Test")),
    ]
    rows = [_row(pair, attributes) for pair in pairs[:MOST_ROWS]]
    return Part(title, TableView(heads, rows, max(0, len(pairs) - MOST_ROWS)))


def _row(pair: MetricPair, attributes: bool) -> list[Cell]:
    p_value = pair.test.p_holm if pair.test is not None else None
    return [
        Cell(word(METRICS, pair.metric)),
        *([Cell(clean_name(pair.attribute or ""))] if attributes else []),
        Cell(quantity(pair.mine.value), True),
        Cell(quantity(pair.live.value), True),
        Cell(quantity(pair.difference), True),
        Cell(reader().decimals(p_value, 4), True),
        Cell(word(TESTS, pair.test.name) if pair.test is not None else gettext("none possible")),
    ]


def _importance(shift: ImportanceShift | None) -> Part | None:
    title = gettext("Importance of columns (SHAP)")
    if shift is None:
        return None
    if shift.why_not is not None:
        return Part(title, lines=[sentence(shift.why_not)])
    heads = [
        Cell(gettext("Column")),
        Cell(gettext("This version"), True),
        Cell(gettext("Live version"), True),
        Cell(gettext("Shift"), True),
    ]
    rows = [
        [
            Cell(clean_name(row.feature)),
            Cell(quantity(row.mine), True),
            Cell(quantity(row.live), True),
            Cell(quantity(row.change), True),
        ]
        for row in shift.shifts
    ]
    lines = [
        gettext("Rank correlation over {n} shared columns: {value}").format(
            n=shift.shared, value=reader().decimals(shift.rank_correlation, 3)
        ),
        *_listed(gettext("New columns: {names}"), shift.added),
        *_listed(gettext("Columns no longer used: {names}"), shift.dropped),
    ]
    return Part(title, TableView(heads, rows), lines)


def _data(diff: DataDiff | None) -> Part | None:
    if diff is None:
        return None
    same, other = gettext("Same training data."), gettext("Other training data.")
    lines = [same if diff.same_training else other]
    lines += _listed(gettext("Now also trained on: {names}"), [label for label, _ in diff.training_added])
    lines += _listed(gettext("No longer trained on: {names}"), [label for label, _ in diff.training_dropped])
    lines += _listed(gettext("Columns added: {names}"), diff.columns_added)
    lines += _listed(gettext("Columns dropped: {names}"), diff.columns_dropped)
    retyped = [f"{name} ({before} → {now})" for name, before, now in diff.columns_retyped]
    lines += _listed(gettext("Columns of another type: {names}"), retyped)
    if not diff.same_evaluation:
        lines.append(gettext("Other evaluation data."))
    return Part(gettext("Data"), lines=lines)


def _listed(pattern: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [pattern.format(names=", ".join(clean_name(name) for name in names[:MOST_ROWS]))]
