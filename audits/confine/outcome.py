"""What a confined run is given and what it answers. Standard library only: every process of Crivo may
import this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from audits.checks.contract import Message

# What must hold in the child before one foreign byte is read, by level. The words are what the child reports
# after it has *tried* to get out, never what it merely asked the kernel for.
LEVEL_1 = ("rlimits", "no_new_privs", "capabilities_dropped", "landlock", "seccomp")
LEVEL_2 = (*LEVEL_1, "user_namespace", "network_namespace", "ipc_namespace")

# Stable codes of `ConfinedOutcome.error` that this package itself raises. A check may add its own
# (`CheckError`).
CODES = (
    "killed_by_signal",  # signal: a library crashed, or the filter killed a foreign system call
    "out_of_memory",  # memory_bytes
    "timeout",  # kind: wall | cpu, seconds
    "output_too_large",  # limit_bytes
    "garbled_output",  # reason
    "check_crashed",  # exception, where
    "confinement_unavailable",  # required_level, level, missing
    "digest_mismatch",  # file, expected, found
    "zygote_failed",  # stage, reason
)


@dataclass(frozen=True)
class Limits:
    """What one run may use. A run that goes over is killed and named, never trimmed.

    `memory_bytes` is address space on top of what the preloaded libraries already map in every child (about
    2 GB of it, nearly all shared and untouched). `output_bytes` bounds the JSON answer. `threads` bounds
    the threads where the kernel counts them per job (own user namespace); elsewhere memory bounds them.
    """

    wall_seconds: float = 600.0
    cpu_seconds: int = 600
    memory_bytes: int = 4 << 30
    output_bytes: int = 16 << 20
    threads: int = 256

    def __post_init__(self) -> None:
        for name in ("wall_seconds", "cpu_seconds", "memory_bytes", "output_bytes", "threads"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class Confinement:
    """What really held in the child: `level` 0, 1 or 2, and each mechanism that passed its probe."""

    level: int
    mechanisms: tuple[str, ...]

    @classmethod
    def of(cls, mechanisms: tuple[str, ...]) -> Confinement:
        held = set(mechanisms)
        level = 2 if held.issuperset(LEVEL_2) else 1 if held.issuperset(LEVEL_1) else 0
        return cls(level=level, mechanisms=mechanisms)

    def missing(self, required_level: int) -> list[str]:
        """The mechanisms that `required_level` (1 or 2) asks for and this confinement does not have."""
        wanted = LEVEL_2 if required_level >= 2 else LEVEL_1
        return [name for name in wanted if name not in self.mechanisms]


@dataclass(frozen=True)
class ConfinedOutcome:
    """Exactly one of `result` and `error` is set.

    `result` is what the entry point returned, as JSON. It was computed in the same process as the foreign
    code, so a format that can run code (pickle, joblib) could have written it itself: confinement protects
    the host, the data and the secrets; only a format without code (skops with an allow-list, ONNX, …)
    protects the numbers. `confinement` is None when no child got as far as reporting it. `seconds` is wall
    time from the fork, `max_rss_bytes` the child's peak, preloaded libraries included. `libraries` maps
    name to version.
    """

    result: dict[str, Any] | None = None
    error: Message | None = None
    confinement: Confinement | None = None
    seconds: float = 0.0
    max_rss_bytes: int = 0
    libraries: dict[str, str] = field(default_factory=dict)
