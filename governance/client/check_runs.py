"""What the client can do about a check run: look how far it is, and cancel it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from governance.client.answers import Shape
from governance.client.errors import Reason
from governance.client.lifecycle import segment

if TYPE_CHECKING:
    from governance.client.transport import Answer


@dataclass(frozen=True)
class Progress(Shape):
    """Of a check that is divided among workers; rows count as done with the part they are in."""

    parts: int
    parts_done: int
    rows: int
    rows_done: int

    def __str__(self) -> str:
        return f"{self.parts_done} of {self.parts} parts, {self.rows_done:,} of {self.rows:,} rows"


@dataclass(frozen=True)
class CheckRun(Shape):
    """`progress` is None for a check in one pass. `error` says why an errored one gave no result."""

    id: str
    check: str = field(metadata={"called": "check_name"})
    check_version: str
    state: str
    progress: Progress | None
    error: Reason | None
    result_digest: str

    @property
    def finished(self) -> bool:
        return self.state in ("completed", "errored")


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
