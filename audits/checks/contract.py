"""What goes into a check and what comes out: the only types the rest of Crivo knows of a check.

Standard library only: the web process reads results and must never import numpy, pandas, sklearn or shap.
Everything here crosses a process border as JSON, so every value is JSON: no NaN, no infinity, no numpy scalar.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["completed", "errored"]


@dataclass(frozen=True)
class Message:
    """A sentence for people, kept as a stable code and parameters, rendered in the reader's language."""

    code: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """One file a check reads. `role` is artifact, training or evaluation, or training:2, training:3, … where a version
    was trained on several data sets, read as one table, or reference, the stored sketch of the training data, which is
    read where those cannot be; the digest is `sha256:<hex>`."""

    role: str
    digest: str
    format: str  # artifact: skops | joblib | pickle | ...; dataset: csv | parquet | parquet-folder | sketch
    dialect: dict[str, str] = field(default_factory=dict)  # of a CSV: separator, decimal, encoding


def numbered(role: str, place: int) -> str:
    """The role of the file at `place` (from 1) among several of one role."""
    return role if place == 1 else f"{role}:{place}"


def plain_role(role: str) -> str:
    return role.partition(":")[0]


@dataclass(frozen=True)
class CheckInput:
    """Everything a check may know. Same input, same bytes out (one image, one CPU family).

    `semantics` is what the version declares: task, target, positive_label, favourable_label, output, threshold,
    sensitive {column: {use, reason, bins}}, entity_key, time_column, format, framework, claimed_metrics.
    """

    check: str
    version: str
    parameters: dict[str, Any]
    seed: int
    semantics: dict[str, Any]
    materials: tuple[Material, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CheckInput:
        materials = tuple(Material(**item) for item in data["materials"])
        return cls(**{**data, "materials": materials})


@dataclass(frozen=True)
class Metric:
    """One number with what is needed to judge it.

    `value` is None exactly when `undefined` says why (0/0, a group below the minimum, one class only): undefined is
    never 0. `interval` is [low, high] at `level`, None where no sampling error applies (a count, a flip).
    `n` is the number of rows it rests on; `denominators` the counts behind it. `minimum_n` is the smallest sample at
    which a conservative bound could be met at all, when the check can say so.
    """

    metric: str
    value: float | None
    attribute: str | None = None
    group: str | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    n: int | None = None
    denominators: dict[str, int] = field(default_factory=dict)
    undefined: Message | None = None
    minimum_n: int | None = None


@dataclass(frozen=True)
class Table:
    """Numbers behind a plot or a listing: plots are drawn from it later, in the reader's language.

    `id` names the kind (groups, shap_importance, shap_by_group, calibration, columns, …); cells are JSON scalars.
    """

    id: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckResult:
    outcome: Outcome
    metrics: tuple[Metric, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[Message, ...] = ()
    error: Message | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class CheckError(Exception):
    """The check cannot answer, for a reason a person understands. Never counts as passed."""

    def __init__(self, code: str, **params: Any) -> None:
        self.message = Message(code, params)
        super().__init__(f"{code} {params}")
