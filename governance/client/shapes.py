"""The answers of the API as typed values: what they hold is in the annotations, how they are read in `answers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from governance.client.answers import Shape, items, member, optional, reason_of, unexpected
from governance.client.errors import Reason


@dataclass(frozen=True)
class Identity(Shape):
    kind: str
    id: str
    workspace: str
    roles: list[str]
    scopes: list[str] | None


@dataclass(frozen=True)
class UseCase(Shape):
    name: str
    purpose: str
    risk_tier: str
    created: bool = False
    etag: str = ""


@dataclass(frozen=True)
class PolicyChange(Shape):
    """A proposed text of a policy. `changes` are {direction, code, params, text}."""

    id: str
    name: str
    state: str
    digest: str
    changes: list[dict[str, Any]]
    created: bool = False

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        return super().read(data, changes=changes_of(data), **told)


@dataclass(frozen=True)
class PolicyPlan(Shape):
    """`files` are {path, name, status, current, changes, problem}."""

    files: list[dict[str, Any]]
    elsewhere: list[str]

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        for file in items(data, "files"):
            for name in ("path", "name", "status"):
                member(file, name, str)
            changes_of(file)
            optional(file, "current", int)
            if (problem := optional(file, "problem", dict)) is not None:
                reason_of(problem)
        return super().read(data, **told)


def changes_of(data: Any) -> list[dict[str, Any]]:
    found = items(data, "changes")
    for line in found:
        member(line, "direction", str)
        member(line, "text", str)
    return found


@dataclass(frozen=True)
class DatasetVersion(Shape):
    name: str
    n: int
    reference: str
    digest: str
    size: int
    rows: int | None
    created: bool = False


@dataclass(frozen=True)
class ModelVersion(Shape):
    name: str
    n: int
    artifact_digest: str
    manifest_digest: str
    created: bool = False

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.n}"


@dataclass(frozen=True)
class Requirement(Shape):
    """One line of the verdict. `value` is None where nothing could be measured; `reason` says why."""

    check: str
    metric: str
    attribute: str | None
    op: str
    limit: float
    bound: str
    value: float | None
    interval: tuple[float, float] | None
    n: int | None
    verdict: str
    reason: Reason

    @property
    def passed(self) -> bool:
        return self.verdict in ("passed", "attested")

    @property
    def satisfied(self) -> bool:
        """Nothing stands in the way: within policy, or waived, which is not the same."""
        return self.verdict in ("passed", "waived")

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        ends = optional(data, "interval", list)
        if ends is not None and (
            len(ends) != 2
            or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        ):
            raise unexpected("“interval” is not a pair of numbers")
        return super().read(data, interval=(float(ends[0]), float(ends[1])) if ends else None, **told)


@dataclass(frozen=True)
class Approval(Shape):
    role: str
    needed: int
    given: int

    @property
    def missing(self) -> int:
        return max(self.needed - self.given, 0)


@dataclass(frozen=True)
class Promotion(Shape):
    """Where a request stands. `effective` only once its event is in a signed checkpoint."""

    id: str
    model: str
    n: int
    to: str
    state: str
    effective: bool
    effective_at: str | None
    dossier_digest: str
    policy: dict[str, Any]
    requirements: tuple[Requirement, ...]
    approvals: tuple[Approval, ...]
    reasons: tuple[Reason, ...]
    attestation: str | None
    receipt: str | None

    @property
    def reference(self) -> str:
        return f"{self.model}@{self.n}"

    @property
    def settled(self) -> bool:
        """Nothing more will happen to it: effective and attested, or over."""
        if self.state == "granted":
            return self.effective and self.attestation is not None
        return self.state not in ("checking", "awaiting_approval")

    @property
    def failed(self) -> tuple[Requirement, ...]:
        return tuple(line for line in self.requirements if not line.satisfied)


@dataclass(frozen=True)
class Decision(Shape):
    verdict: str
    role: str
    promotion: Promotion


@dataclass(frozen=True)
class GateAnswer(Shape):
    """May this artefact run there, now? Anything but an explicit yes is a no."""

    allowed: bool
    digest: str
    environment: str
    reasons: tuple[Reason, ...]
    placements: tuple[dict[str, Any], ...]
    attestation: str | None
    receipt: str | None

    @property
    def break_glass(self) -> bool:
        """Refused, and let through until `until` by somebody who answers for it."""
        return self.raw.get("break_glass") is True

    @property
    def until(self) -> str | None:
        return optional(self.raw, "until", str)


@dataclass(frozen=True)
class Graph(Shape):
    """A part of the lineage graph. `truncated`: there is more than this."""

    nodes: tuple[dict[str, Any], ...]
    edges: tuple[dict[str, Any], ...]
    truncated: bool

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        for node in items(data, "nodes"):
            member(node, "id", str)
            member(node, "depth", int)
        for edge in items(data, "edges"):
            member(edge, "origin", str)
            member(edge, "destination", str)
        return super().read(data, **told)


@dataclass(frozen=True)
class LineageEvent(Shape):
    id: str
    digest: str
    findings: list[Any]
    created: bool = False


@dataclass(frozen=True)
class Export(Shape):
    """An audit export in the making: queued, running, done or failed.

    `log_size` entries are looked through, `done_entries` of them by now; `matches` events and `counts` of them by verb
    are known once it is done. `filter` is what was asked, with the seed that was drawn for a sample.
    """

    id: str
    state: str
    form: str
    filter: dict[str, Any]
    log_size: int | None
    done_entries: int
    matches: int | None
    counts: dict[str, int]

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed")

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        counts = optional(data, "counts", dict) or {}
        return super().read(
            data,
            form=optional(data, "form", str) or "bundle",
            filter=optional(data, "filter", dict) or {},
            done_entries=optional(data, "done_entries", int) or 0,
            counts={str(verb): member(counts, verb, int) for verb in counts},
            **told,
        )
