"""What the client can do about one record: ask why a version decided as it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from governance.client.answers import Shape, items, member, optional
from governance.client.errors import Reason
from governance.client.lifecycle import segment
from governance.client.patience import waited

if TYPE_CHECKING:
    from governance.client.transport import Answer


@dataclass(frozen=True)
class Explanation(Shape):
    """`contributions` add up with `base_value` to `output`, the largest first; `error` says why there are none."""

    id: str
    state: str
    version: str
    prediction: Any
    explains: str | None
    base_value: float | None
    output: float | None
    output_space: str | None
    contributions: tuple[tuple[str, float], ...]
    weights: tuple[tuple[str, float], ...]
    notes: tuple[Reason, ...]
    error: Reason | None
    record_digest: str

    @property
    def finished(self) -> bool:
        return self.state in ("completed", "errored")

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        second = optional(data, "lime", dict)
        return super().read(
            data,
            contributions=_pairs(items(data, "contributions"), "phi"),
            weights=_pairs(items(second, "weights") if second is not None else [], "weight"),
            **told,
        )


def _pairs(rows: list[dict[str, Any]], value: str) -> tuple[tuple[str, float], ...]:
    return tuple((member(row, "feature", str), member(row, value, float)) for row in rows)


class Explanations:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...
        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...

    def explain(
        self, name: str, n: int, record: dict[str, Any], *, lime: bool = False, key: str | None = None
    ) -> Explanation:
        """Ask. The record is kept encrypted until the answer is there, then erased."""
        path = f"models/{segment(name)}/versions/{n}/explanations"
        return Explanation.read(self._post(path, {"record": record, "lime": lime}, key=key).json())

    def explanation(self, explanation_id: str, *, wait: float = 0) -> Explanation:
        return Explanation.read(self._get(f"explanations/{segment(explanation_id)}", wait=wait).json())

    def wait_for_explanation(self, explanation_id: str, *, seconds: float) -> Explanation:
        """Until it is answered, or the time is over."""
        return waited(
            lambda patience: self.explanation(explanation_id, wait=patience),
            lambda found: found.finished,
            seconds,
        )

    def explains_record(self, explanation_id: str, record: dict[str, Any]) -> bool:
        """Whether an explanation is about this record."""
        path = f"explanations/{segment(explanation_id)}/matches"
        return member(self._post(path, {"record": record}).json(), "matches", bool)
