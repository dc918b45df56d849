"""The answers of the API as typed values. Each keeps the answer itself in `raw`, as the server gave it.

Unknown members are ignored (the API may grow); a missing or wrongly typed one means that this is no Crivo server, or
not one this client can talk to: `Unreachable` with the code `answer_unexpected`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from governance.client.errors import Reason, Unreachable

T = TypeVar("T")


def unexpected(what: str) -> Unreachable:
    return Unreachable(
        f"The answer is not one of a Crivo server: {what}. Check CRIVO_URL, and that client and server are of the "
        "same version.",
        code="answer_unexpected",
    )


def member(data: Any, name: str, kind: type[T]) -> T:
    """`data[name]` if it is a `kind`; a whole number may stand for a float, but a bool for no number."""
    value = data.get(name) if isinstance(data, dict) else None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return cast(T, float(value))
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise unexpected(f"“{name}” is missing or is no {kind.__name__}")
    return value


def optional(data: Any, name: str, kind: type[T]) -> T | None:
    return None if not isinstance(data, dict) or data.get(name) is None else member(data, name, kind)


def items(data: Any, name: str) -> list[dict[str, Any]]:
    found = member(data, name, list)
    if not all(isinstance(item, dict) for item in found):
        raise unexpected(f"“{name}” is not a list of objects")
    return found


def reasons_of(data: Any, name: str = "reasons") -> tuple[Reason, ...]:
    return tuple(reason_of(item) for item in items(data, name))


def reason_of(data: Any) -> Reason:
    return Reason(member(data, "code", str), member(data, "text", str), optional(data, "params", dict) or {})


@dataclass(frozen=True)
class Identity:
    kind: str
    id: str
    workspace: str
    roles: list[str]
    scopes: list[str] | None
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, data: Any) -> Identity:
        return cls(
            member(data, "kind", str),
            member(data, "id", str),
            member(data, "workspace", str),
            member(data, "roles", list),
            optional(data, "scopes", list),
            data,
        )


@dataclass(frozen=True)
class UseCase:
    name: str
    purpose: str
    risk_tier: str
    created: bool
    raw: dict[str, Any] = field(repr=False)
    etag: str = ""

    @classmethod
    def read(cls, data: Any, created: bool, etag: str = "") -> UseCase:
        return cls(
            member(data, "name", str),
            member(data, "purpose", str),
            member(data, "risk_tier", str),
            created,
            data,
            etag,
        )


@dataclass(frozen=True)
class PolicyChange:
    """A proposed text of a policy. `changes` are {direction, code, params, text}."""

    id: str
    name: str
    state: str
    digest: str
    changes: list[dict[str, Any]]
    created: bool
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, data: Any, created: bool = False) -> PolicyChange:
        return cls(
            member(data, "id", str),
            member(data, "name", str),
            member(data, "state", str),
            member(data, "digest", str),
            changes_of(data),
            created,
            data,
        )


@dataclass(frozen=True)
class PolicyPlan:
    """`files` are {path, name, status, current, changes, problem}."""

    files: list[dict[str, Any]]
    elsewhere: list[str]
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, data: Any) -> PolicyPlan:
        files = items(data, "files")
        for file in files:
            for name in ("path", "name", "status"):
                member(file, name, str)
            changes_of(file)
            optional(file, "current", int)
            if (problem := optional(file, "problem", dict)) is not None:
                reason_of(problem)
        return cls(files, [str(name) for name in member(data, "elsewhere", list)], data)


def changes_of(data: Any) -> list[dict[str, Any]]:
    found = items(data, "changes")
    for line in found:
        member(line, "direction", str)
        member(line, "text", str)
    return found


@dataclass(frozen=True)
class DatasetVersion:
    name: str
    n: int
    reference: str
    digest: str
    size: int
    rows: int | None
    created: bool
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, data: Any, created: bool) -> DatasetVersion:
        return cls(
            member(data, "name", str),
            member(data, "n", int),
            member(data, "reference", str),
            member(data, "digest", str),
            member(data, "size", int),
            optional(data, "rows", int),
            created,
            data,
        )


@dataclass(frozen=True)
class ModelVersion:
    name: str
    n: int
    artifact_digest: str
    manifest_digest: str
    created: bool
    raw: dict[str, Any] = field(repr=False)

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.n}"

    @classmethod
    def read(cls, data: Any, created: bool) -> ModelVersion:
        return cls(
            member(data, "name", str),
            member(data, "n", int),
            member(data, "artifact_digest", str),
            member(data, "manifest_digest", str),
            created,
            data,
        )


@dataclass(frozen=True)
class Requirement:
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
    def read(cls, data: Any) -> Requirement:
        interval = optional(data, "interval", list)
        if interval is not None and (
            len(interval) != 2
            or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in interval)
        ):
            raise unexpected("“interval” is not a pair of numbers")
        return cls(
            member(data, "check", str),
            member(data, "metric", str),
            optional(data, "attribute", str),
            member(data, "op", str),
            member(data, "limit", float),
            member(data, "bound", str),
            optional(data, "value", float),
            (float(interval[0]), float(interval[1])) if interval else None,
            optional(data, "n", int),
            member(data, "verdict", str),
            reason_of(member(data, "reason", dict)),
        )


@dataclass(frozen=True)
class Approval:
    role: str
    needed: int
    given: int

    @property
    def missing(self) -> int:
        return max(self.needed - self.given, 0)


@dataclass(frozen=True)
class Promotion:
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
    raw: dict[str, Any] = field(repr=False)

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

    @classmethod
    def read(cls, data: Any) -> Promotion:
        return cls(
            member(data, "id", str),
            member(data, "model", str),
            member(data, "n", int),
            member(data, "to", str),
            member(data, "state", str),
            member(data, "effective", bool),
            optional(data, "effective_at", str),
            member(data, "dossier_digest", str),
            member(data, "policy", dict),
            tuple(Requirement.read(item) for item in items(data, "requirements")),
            tuple(
                Approval(member(item, "role", str), member(item, "needed", int), member(item, "given", int))
                for item in items(data, "approvals")
            ),
            reasons_of(data),
            optional(data, "attestation", str),
            optional(data, "receipt", str),
            data,
        )


@dataclass(frozen=True)
class Decision:
    verdict: str
    role: str
    promotion: Promotion
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, data: Any) -> Decision:
        promotion = Promotion.read(member(data, "promotion", dict))
        return cls(member(data, "verdict", str), member(data, "role", str), promotion, data)


@dataclass(frozen=True)
class GateAnswer:
    """May this artefact run there, now? Anything but an explicit yes is a no."""

    allowed: bool
    digest: str
    environment: str
    reasons: tuple[Reason, ...]
    placements: tuple[dict[str, Any], ...]
    attestation: str | None
    receipt: str | None
    raw: dict[str, Any] = field(repr=False)

    @property
    def break_glass(self) -> bool:
        """Refused, and let through until `until` by somebody who answers for it."""
        return self.raw.get("break_glass") is True

    @property
    def until(self) -> str | None:
        return optional(self.raw, "until", str)

    @classmethod
    def read(cls, data: Any) -> GateAnswer:
        return cls(
            member(data, "allowed", bool),
            member(data, "digest", str),
            member(data, "environment", str),
            reasons_of(data),
            tuple(items(data, "placements")),
            optional(data, "attestation", str),
            optional(data, "receipt", str),
            data,
        )


@dataclass(frozen=True)
class Graph:
    """A part of the lineage graph. `truncated`: there is more than this."""

    nodes: tuple[dict[str, Any], ...]
    edges: tuple[dict[str, Any], ...]
    truncated: bool
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, data: Any) -> Graph:
        nodes = items(data, "nodes")
        for node in nodes:
            member(node, "id", str)
            member(node, "depth", int)
        edges = items(data, "edges")
        for edge in edges:
            member(edge, "origin", str)
            member(edge, "destination", str)
        return cls(tuple(nodes), tuple(edges), member(data, "truncated", bool), data)


@dataclass(frozen=True)
class LineageEvent:
    id: str
    digest: str
    findings: list[Any]
    created: bool
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, data: Any, created: bool) -> LineageEvent:
        return cls(
            member(data, "id", str),
            member(data, "digest", str),
            member(data, "findings", list),
            created,
            data,
        )


@dataclass(frozen=True)
class Export:
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
    raw: dict[str, Any] = field(repr=False)

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed")

    @classmethod
    def read(cls, data: Any) -> Export:
        return cls(
            member(data, "id", str),
            member(data, "state", str),
            optional(data, "form", str) or "bundle",
            optional(data, "filter", dict) or {},
            optional(data, "log_size", int),
            optional(data, "done_entries", int) or 0,
            optional(data, "matches", int),
            {
                str(verb): member({"n": n}, "n", int)
                for verb, n in (optional(data, "counts", dict) or {}).items()
            },
            data,
        )
