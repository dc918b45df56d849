"""What a version declares about itself, read once and checked, so that no check guesses."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from audits.checks.contract import CheckError
from audits.checks.labels import canonical

TASKS = ("binary", "multi-class", "regression")
OUTPUTS = ("label", "probability", "score", "value")
USES = ("forbidden", "allowed", "monitored")


@dataclass(frozen=True)
class Sensitive:
    """One declared sensitive column. `bins` are ascending edges for a numeric column, else empty."""

    column: str
    use: str
    bins: tuple[float, ...]


@dataclass(frozen=True)
class Semantics:
    """Declared semantics; labels are canonical text. `threshold` cuts the probability (or score) of positive."""

    task: str
    target: str
    output: str
    threshold: float | None
    positive_label: str | None
    favourable_label: str | None
    sensitive: tuple[Sensitive, ...]
    entity_key: str | None
    claimed_metrics: dict[str, Any]
    time_column: str | None = None
    classes: tuple[str, ...] = ()  # labels in the order of the model's outputs, where its file has none
    costs: dict[tuple[str, str], float] = field(
        default_factory=dict
    )  # (truth, decision): cost; others cost 0
    split: str | None = None  # how evaluation rows were set apart: random, time or entity

    @classmethod
    def read(cls, declared: dict[str, Any]) -> Semantics:
        """From CheckInput.semantics. Raises CheckError `semantics_missing` or `semantics_invalid`, naming the field."""
        task = str(_needed(declared, "task")).lower().replace("_classification", "").replace("_", "-")
        task = {"multiclass": "multi-class", "classification": "binary"}.get(task, task)
        if task not in TASKS:
            raise CheckError("semantics_invalid", field="task", value=task)
        output = str(declared.get("output") or ("value" if task == "regression" else "label"))
        if output not in OUTPUTS:
            raise CheckError("semantics_invalid", field="output", value=output)
        positive = canonical(declared.get("positive_label"))
        favourable = canonical(declared.get("favourable_label"))
        if task == "binary" and positive is None:
            raise CheckError("semantics_missing", field="positive_label")
        return cls(
            task=task,
            target=str(_needed(declared, "target")),
            output=output,
            threshold=_number(declared.get("threshold"), "threshold"),
            positive_label=positive,
            favourable_label=favourable,
            sensitive=_sensitive(declared.get("sensitive") or {}),
            entity_key=declared.get("entity_key") or None,
            claimed_metrics=dict(declared.get("claimed_metrics") or {}),
            time_column=declared.get("time_column") or None,
            classes=_classes(declared.get("classes") or []),
            costs=_costs(declared.get("cost_matrix") or {}),
            split=declared.get("split") or None,
        )

    @property
    def sensitive_columns(self) -> tuple[str, ...]:
        return tuple(item.column for item in self.sensitive)

    def bins_of(self, column: str) -> tuple[float, ...]:
        return next((item.bins for item in self.sensitive if item.column == column), ())


def _classes(declared: Any) -> tuple[str, ...]:
    names = tuple(str(canonical(label)) for label in declared) if isinstance(declared, list | tuple) else ()
    if len(set(names)) != len(list(declared)):
        raise CheckError("semantics_invalid", field="classes", value=str(declared)[:40])
    return names


def _costs(declared: Any) -> dict[tuple[str, str], float]:
    """{truth: {decision: cost}} by canonical labels."""
    found: dict[tuple[str, str], float] = {}
    rows = declared.items() if isinstance(declared, dict) else [("", declared)]
    for truth, row in rows:
        if not isinstance(row, dict):
            raise CheckError("semantics_invalid", field="cost_matrix", value=str(declared)[:40])
        for decision, cost in row.items():
            value = _number(cost, f"cost_matrix.{truth}.{decision}")
            found[str(canonical(truth)), str(canonical(decision))] = value or 0.0
    return found


def _needed(declared: dict[str, Any], field: str) -> Any:
    if declared.get(field) in (None, ""):
        raise CheckError("semantics_missing", field=field)
    return declared[field]


def _number(value: Any, field: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CheckError("semantics_invalid", field=field, value=str(value)[:40])
    return float(value)


def _sensitive(declared: Any) -> tuple[Sensitive, ...]:
    if isinstance(declared, (list, tuple)):  # a bare list of columns: nothing said about their use
        declared = dict.fromkeys(declared)
    if not isinstance(declared, dict):
        raise CheckError("semantics_invalid", field="sensitive", value=type(declared).__name__)
    items = []
    for column, about in declared.items():
        details = about if isinstance(about, dict) else {}
        use = str(details.get("use") or "monitored")
        if use not in USES:
            raise CheckError("semantics_invalid", field=f"sensitive.{column}.use", value=use)
        name = f"sensitive.{column}.bins"
        raw = details.get("bins") or []
        if not isinstance(raw, (list, tuple)):
            raise CheckError("semantics_invalid", field=name, value=str(raw)[:40])
        edges = tuple(edge for value in raw if (edge := _number(value, name)) is not None)
        if len(edges) != len(raw) or any(low >= high for low, high in pairwise(edges)):
            raise CheckError("semantics_invalid", field=name, value=str(raw)[:40])
        items.append(Sensitive(str(column), use, edges))
    return tuple(items)


def sensitive_bins(declared: Any) -> dict[str, tuple[float, ...]]:
    """{column: bins} of what is declared sensitive. Raises CheckError as `Semantics.read` does."""
    return {item.column: item.bins for item in _sensitive(declared)}
