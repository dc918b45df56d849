"""The part of `Crivo` about reference sketches: what drift is measured against when the data themselves are gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from governance.client.answers import member, optional, reason_of
from governance.client.errors import Reason
from governance.client.lifecycle import segment
from governance.client.patience import waited

if TYPE_CHECKING:
    from governance.client.transport import Answer


@dataclass(frozen=True)
class ReferenceSketch:
    """`digest` is empty until it is made; `attributes`: sensitive columns with the groups that it tells of.

    `created` False: it was there, or on its way. `error` says why it could not be made; it may be asked for again.
    """

    version: str
    state: str
    k: int
    digest: str
    rows: int | None
    columns: tuple[str, ...]
    attributes: dict[str, list[str]]
    error: Reason | None
    created: bool
    raw: dict[str, Any] = field(repr=False)

    @property
    def finished(self) -> bool:
        return self.state in ("completed", "errored")

    @classmethod
    def read(cls, data: Any, created: bool = False) -> ReferenceSketch:
        error = optional(data, "error", dict)
        return cls(
            member(data, "version", str),
            member(data, "state", str),
            member(data, "k", int),
            member(data, "digest", str),
            optional(data, "rows", int),
            tuple(member(data, "columns", list)),
            member(data, "attributes", dict),
            None if error is None else reason_of(error),
            created,
            data,
        )


class Sketches:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...
        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...

    def request_sketch(self, name: str, n: int, *, key: str | None = None) -> ReferenceSketch:
        """Have the reference sketch of a dataset version made, so that drift can outlive the data."""
        answer = self._post(_path(name, n), {}, key=key)
        return ReferenceSketch.read(answer.json(), answer.status == 202)

    def sketch(self, name: str, n: int, *, wait: float = 0) -> ReferenceSketch:
        """Refused (404) until it is asked for."""
        return ReferenceSketch.read(self._get(_path(name, n), wait=wait).json())

    def wait_for_sketch(self, name: str, n: int, *, seconds: float) -> ReferenceSketch:
        """Until it is finished, or the time is over."""
        return waited(
            lambda patience: self.sketch(name, n, wait=patience), lambda found: found.finished, seconds
        )

    def sketch_content(self, name: str, n: int) -> bytes:
        """The sketch as JSON, the bytes that have its digest. Refused (404) until it is made."""
        return self._get(f"{_path(name, n)}/content").body


def _path(name: str, n: int) -> str:
    return f"datasets/{segment(name)}/versions/{n}/sketch"
