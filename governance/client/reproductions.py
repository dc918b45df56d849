"""What the client can do about a finished check: have it computed again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from governance.client.answers import Shape, items, member
from governance.client.errors import Reason
from governance.client.lifecycle import segment
from governance.client.patience import waited

if TYPE_CHECKING:
    from governance.client.transport import Answer


@dataclass(frozen=True)
class Reproduction(Shape):
    """`matches` is None until it is finished, and where the second run gave no result (then `error` says why).

    `differences`: (where, recorded, computed) of the first cells that differ, of `difference_count` in all.
    """

    id: str
    run: str
    check: str = field(metadata={"called": "check_name"})
    check_version: str
    state: str
    outcome: str
    matches: bool | None
    recorded_digest: str
    computed_digest: str
    tolerance: float
    differences: tuple[tuple[str, Any, Any], ...]
    difference_count: int
    error: Reason | None

    @property
    def finished(self) -> bool:
        return self.state in ("completed", "errored")

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        differences = tuple(
            (member(item, "where", str), item.get("recorded"), item.get("computed"))
            for item in items(data, "differences")
        )
        return super().read(data, differences=differences, **told)


class Reproductions:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...
        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...

    def reproduce(self, run_id: str, *, key: str | None = None) -> Reproduction:
        """Ask for a finished check run to be computed again on the same input."""
        return Reproduction.read(
            self._post(f"check-runs/{segment(run_id)}/reproductions", {}, key=key).json()
        )

    def reproduction(self, reproduction_id: str, *, wait: float = 0) -> Reproduction:
        return Reproduction.read(self._get(f"reproductions/{segment(reproduction_id)}", wait=wait).json())

    def wait_for_reproduction(self, reproduction_id: str, *, seconds: float) -> Reproduction:
        """Until it is finished, or the time is over."""
        return waited(
            lambda patience: self.reproduction(reproduction_id, wait=patience),
            lambda found: found.finished,
            seconds,
        )
