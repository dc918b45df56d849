"""What of a result may leave a data zone. Everything else stays there: what is not named here is dropped.

The worker's own process applies this to what its confined child answered, before anything is stored or logged. Two
promises, both kept without believing the child:

* no text of a cell leaves but what was declared outside (columns, labels, parameters) and the names of groups of at
  least k rows; no single row's number leaves, so neither extremes nor times nor points;
* no count of rows from 1 to k-1 leaves, nor what gives one away by subtraction: the figures of a partition (groups of
  an attribute, cells of a confusion, bins, empty cells per column) leave together or not at all.

What cannot be kept back that way is said in docs/zones.md. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from audits.checks.catalogue import CATALOGUE
from audits.checks.claims import ALIASES
from audits.checks.contract import CheckResult, Message, Metric
from audits.checks.messages import TEMPLATES
from audits.checks.zone_tables import passed_tables, rows_of
from audits.checks.zone_terms import (
    COUNTED,
    COUNTS_OF_MESSAGES,
    DEPENDENT,
    EXCEPTION,
    HIDDEN,
    JOIN,
    MEASURED,
    NOTES,
    NUMBERS,
    OF_CLASSES,
    OF_CONFUSION,
    OTHERS,
    OURS,
    PLACE,
    ROLES,
    ROWS,
    SINGLE,
    UNDEFINED,
    VERSION,
    VERSIONS,
    WHOLES,
    WORDS,
)
from audits.confine.outcome import CODES


@dataclass(frozen=True)
class Zone:
    """As a question carries it: `semantics["zone"]`. `columns` are those declared at the registration of the data."""

    name: str
    k: int
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, question: Mapping[str, Any]) -> Zone | None:
        declared = question["semantics"].get("zone")
        if declared is None:
            return None
        return cls(declared["name"], int(declared["k"]), tuple(declared["columns"]))


def may_leave(result: CheckResult, question: Mapping[str, Any], zone: Zone) -> CheckResult:
    """`result` without whatever has to stay in `zone`. `question` is the input of the check, or of an explanation."""
    try:
        return Border(result, question, zone).passed()
    except (KeyError, TypeError, ValueError):  # of a shape no check of ours has
        return CheckResult("errored", error=Message("errored_in_zone", {"zone": zone.name}))


class Border:
    def __init__(self, result: CheckResult, question: Mapping[str, Any], zone: Zone) -> None:
        self.result, self.zone = result, zone
        self.slug = str(question.get("check", ""))
        self.known = _vocabulary(question, zone)
        declared = question["semantics"].get("claimed_metrics") or {}
        self.claimed = {ALIASES.get(name, name) for name in declared}
        self.tables = {table.id: table for table in result.tables}
        self.kept_back = 0
        self.classes = self._classes()
        self.withheld_family = self._small_confusion()
        self.totals = self._totals()
        self.groups = {(str(row.attribute), str(row.group)) for row in self._of_groups()}
        self.grouped = self._whole_partitions()

    def passed(self) -> CheckResult:
        if self.result.error is not None:
            return CheckResult("errored", error=self._error(self.result.error))
        metrics = self._without_dependent(list(self._metrics()))
        left = {metric.metric for metric in metrics if metric.value is not None}
        tables = passed_tables(self, self.result.tables, left)
        notes = [note for message in self.result.notes if (note := self._note(message, left)) is not None]
        if self.kept_back:
            about = {"zone": self.zone.name, "k": self.zone.k, "count": self.kept_back}
            notes.append(Message("kept_in_zone", about))
        return CheckResult("completed", metrics, tables, tuple(notes))

    # Texts and counts

    def small(self, count: float | None) -> bool:
        return count is not None and 0 < count < self.zone.k

    def told_apart(self, part: float, whole: float) -> bool:
        """Whether a share gives a small count away: that of those in it, or of those who are not."""
        return self.small(part) or self.small(whole - part)

    def may_say(self, text: str) -> bool:
        return text in self.known or text in WORDS or all(part in self.known for part in text.split(JOIN))

    def _parameters(self, message: Message) -> tuple[dict[str, Any], bool]:
        """What may be said of them, and whether that is all."""
        said = {name: self._said(name, value) for name, value in message.params.items()}
        return said, HIDDEN not in said.values()

    def _said(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            if name not in NUMBERS or (name in COUNTS_OF_MESSAGES and self.small(value)):
                return HIDDEN
            return value
        if not isinstance(value, str):
            return HIDDEN
        shown = re.sub(r" … \(\d+\)$", "", value)  # audits.checks.labels.listed
        if self.may_say(value) or all(self.may_say(part) for part in shown.split(", ")):
            return value
        if EXCEPTION.fullmatch(value) or PLACE.fullmatch(value):
            return value
        return value if name in VERSIONS and VERSION.fullmatch(value) else HIDDEN

    def _error(self, message: Message) -> Message:
        """The code of an error leaves, and of its parameters what may be said."""
        if message.code not in TEMPLATES and message.code not in CODES and message.code not in OURS:
            return Message("errored_in_zone", {"zone": self.zone.name})
        return Message(message.code, self._parameters(message)[0])

    def _note(self, message: Message, left: set[str]) -> Message | None:
        of_a_claim = message.code == "claim_differs" and message.params.get("metric") not in left
        return None if of_a_claim and self._kept() else self._told(message, NOTES)

    def _told(self, message: Message, codes: frozenset[str]) -> Message | None:
        if message.code in codes:
            said, whole = self._parameters(message)
            if whole:
                return Message(message.code, said)
        self._kept()
        return None

    def _kept(self) -> bool:
        self.kept_back += 1
        return True

    # What is known of the data before anything is let through

    def _classes(self) -> dict[str, int]:
        """Rows per class of the target, from the confusion."""
        found: dict[str, int] = {}
        for truth, _, n in rows_of(self.tables.get("confusion"), "truth", "prediction", "n"):
            found[str(truth)] = found.get(str(truth), 0) + int(n)
        return found

    def _small_confusion(self) -> frozenset[str]:
        cells = [n for (n,) in rows_of(self.tables.get("confusion"), "n")]
        if any(self.small(n) for n in self.classes.values()):
            return OF_CLASSES
        return OF_CONFUSION if any(self.small(n) for n in cells) else frozenset()

    def _whole_partitions(self) -> set[str]:
        """Attributes of which every group's figures may be seen: no rows are left over, and no count is small."""
        sizes: dict[str, dict[str, int]] = {}
        spoilt: set[str] = set()
        for metric in self._of_groups():
            attribute, group = str(metric.attribute), str(metric.group)
            groups = sizes.setdefault(attribute, {})
            groups[group] = max(groups.get(group, 0), metric.n or 0)
            counts = _counts(metric)
            whole = counts.get("rows", metric.n or 0)
            if any(self._given_away(name, n, whole) for name, n in counts.items()):
                spoilt.add(attribute)
        total = self.totals[None]
        return {
            attribute
            for attribute, groups in sizes.items()
            if attribute not in spoilt
            and sum(groups.values()) == total
            and all(n >= self.zone.k for n in groups.values())
        }

    def _of_groups(self) -> Iterator[Metric]:
        return (row for row in self.result.metrics if self._per_group(row))

    def _totals(self) -> dict[str | None, int]:
        """The rows of each data set as far as its figures tell, by role; None: of the evaluation."""
        tables = [table for table in self.result.tables if table.id.startswith("groups")]
        found: dict[str | None, int] = {
            None: max((int(table.params.get("rows") or 0) for table in tables), default=0)
        }
        for row in self.result.metrics:
            if row.attribute is None:
                found[row.group] = max(found.get(row.group, 0), row.n or 0)
        return found

    # Metrics

    def _metrics(self) -> Iterator[Metric]:
        allowed = CATALOGUE[self.slug].metrics if self.slug in CATALOGUE else ()
        for metric in self.result.metrics:
            of_a_role = metric.attribute is None and (metric.group is None or metric.group in ROLES)
            if metric.metric not in allowed or not (of_a_role or self.may_say(metric.attribute or "")):
                self.kept_back += 1
            elif self._per_group(metric):
                if metric.attribute in self.grouped:
                    yield self._bare(metric)
                else:
                    self.kept_back += 1
            else:
                yield self._judged(metric)

    def _without_dependent(self, metrics: list[Metric]) -> tuple[Metric, ...]:
        """Keep back also what, with figures that leave, would give back one that does not."""
        back = {row.metric for row in metrics if row.value is None and row.group is None}
        spoilt = {name for name, others in DEPENDENT.items() if others & back}
        if self.claimed & back:
            spoilt.add("claimed_metric_gap")
        return tuple(
            self._withheld(row)
            if row.value is not None and self._of_evaluation() and row.metric in spoilt
            else row
            for row in metrics
        )

    def _per_group(self, metric: Metric) -> bool:
        """Of a group of an attribute; where there is no attribute, the group is the role of a data set."""
        return metric.attribute is not None and metric.group is not None

    def _judged(self, metric: Metric) -> Metric:
        if metric.value is None:
            return self._undefined(metric)
        if self.slug != MEASURED and self._gives_away(metric, metric.value):
            return self._withheld(metric)
        return self._bare(metric)

    def _gives_away(self, metric: Metric, value: float) -> bool:
        counts, name = _counts(metric), metric.metric
        whole = counts.get("cells", counts.get("rows", metric.n or 0))
        if name in SINGLE or self.small(metric.n) or (name in self.withheld_family and self._of_evaluation()):
            return True
        if name in COUNTED and self.told_apart(value, value if name in ("k_anonymity", "rows") else whole):
            return True
        if name == "generalisation_gap" and self.small(self._training_errors(value, counts)):
            return True
        return any(self._given_away(key, n, whole) for key, n in counts.items())

    def _given_away(self, name: str, n: int, whole: int) -> bool:
        if name not in ROWS:
            return False
        return self.small(n) if name in WHOLES else self.told_apart(n, max(whole, n))

    def _of_evaluation(self) -> bool:
        return self.slug == "evaluation.performance"

    def _training_errors(self, gap: float, counts: Mapping[str, int]) -> float | None:
        """How many training rows the model gets wrong, as the gap and the accuracy tell."""
        accuracy = next((row.value for row in self.result.metrics if row.metric == "accuracy"), None)
        if accuracy is None:
            return None
        return round(counts.get("training_rows", 0) * (1 - accuracy - gap))

    def _bare(self, metric: Metric) -> Metric:
        """Without what nobody has named, and without the rows that were compared where so few were not."""
        if metric.value is None:
            return self._undefined(metric)
        whole = self.totals.get(metric.group if metric.attribute is None else None, 0)
        of_a_part = self.small(whole - (metric.n or 0))
        allowed = OTHERS if of_a_part else OTHERS | ROWS
        counts = {name: n for name, n in metric.denominators.items() if name in allowed}
        return replace(metric, denominators=counts, n=None if of_a_part else metric.n)

    def _undefined(self, metric: Metric) -> Metric:
        assert metric.undefined is not None  # noqa: S101 - parse_result saw to it
        why = self._told(metric.undefined, UNDEFINED)
        if why is None:
            return self._withheld(metric)
        counts = {name: n for name, n in metric.denominators.items() if name in OTHERS}
        return replace(metric, undefined=why, denominators=counts, n=None, minimum_n=None)

    def _withheld(self, metric: Metric) -> Metric:
        self.kept_back += 1
        why = Message("withheld_in_zone", {"zone": self.zone.name, "k": self.zone.k})
        return Metric(metric.metric, None, attribute=metric.attribute, group=metric.group, undefined=why)


def _counts(metric: Metric) -> dict[str, int]:
    return {name: n for name, n in metric.denominators.items() if name in ROWS or name == "cells"}


def _vocabulary(question: Mapping[str, Any], zone: Zone) -> frozenset[str]:
    """The texts that were known outside the zone before: declared columns and labels, and names in the parameters."""
    semantics, parameters = question["semantics"], question.get("parameters") or {}
    named = [semantics.get(name) for name in ("target", "entity_key", "time_column", "format", "framework")]
    labels = [
        semantics.get("positive_label"),
        semantics.get("favourable_label"),
        *(semantics.get("classes") or []),
    ]
    costs = semantics.get("cost_matrix") or {}
    labels += [*costs, *(decision for row in costs.values() if isinstance(row, Mapping) for decision in row)]
    lists = [parameters.get(name) or [] for name in ("columns", "sensitive", "quasi_identifiers", "schema")]
    digests = [text for item in question["materials"] for text in (item["digest"], item["format"])]
    words = [*zone.columns, *named, *labels, *(semantics.get("sensitive") or []), *digests, zone.name]
    words += [name for each in lists for name in each] + list(semantics.get("claimed_metrics") or {})
    return frozenset(_canonical(word) for word in words if word is not None)


def _canonical(label: Any) -> str:
    """A declared label as the checks write it (audits.checks.labels.canonical)."""
    if isinstance(label, bool):
        return "1" if label else "0"
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
