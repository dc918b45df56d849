"""What the client can do about a check run: look how far it is, and cancel it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from governance.client.errors import Reason
from governance.client.lifecycle import segment
from governance.client.shapes import member, optional, reason_of

if TYPE_CHECKING:
    from governance.client.transport import Answer


@dataclass(frozen=True)
class Progress:
    """Of a check that is divided among workers; rows count as done with the part they are in."""

    parts: int
    parts_done: int
    rows: int
    rows_done: int

    @classmethod
    def read(cls, data: Any) -> Progress:
        return cls(*(member(data, name, int) for name in ("parts", "parts_done", "rows", "rows_done")))

    def __str__(self) -> str:
        return f"{self.parts_done} of {self.parts} parts, {self.rows_done:,} of {self.rows:,} rows"


@dataclass(frozen=True)
class CheckRun:
    """`progress` is None for a check in one pass. `error` says why an errored one gave no result."""

    id: str
    check: str
    check_version: str
    state: str
    progress: Progress | None
    error: Reason | None
    result_digest: str
    raw: dict[str, Any] = field(repr=False)

    @property
    def finished(self) -> bool:
        return self.state in ("completed", "errored")

    @classmethod
    def read(cls, data: Any) -> CheckRun:
        progress = optional(data, "progress", dict)
        error = optional(data, "error", dict)
        return cls(
            member(data, "id", str),
            member(data, "check_name", str),
            member(data, "check_version", str),
            member(data, "state", str),
            None if progress is None else Progress.read(progress),
            None if error is None else reason_of(error),
            member(data, "result_digest", str),
            data,
        )


class CheckRuns:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...
        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...

    def check_run(self, run_id: str, *, wait: float = 0) -> CheckRun:
        """A check run and how far it is; `wait`: until it is finished, for at most so many seconds."""
        return CheckRun.read(self._get(f"check-runs/{segment(run_id)}", wait=wait).json())

    def cancel_check(self, run_id: str, *, reason: str, key: str | None = None) -> CheckRun:
        """End a check that has no result yet. 409 once it is finished."""
        body = {"reason": reason}
        return CheckRun.read(self._post(f"check-runs/{segment(run_id)}/cancellation", body, key=key).json())
