"""The part of `Crivo` about the environment of a version: its lock file, and the bill of materials made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.client.answers import Shape
from governance.client.lifecycle import segment
from governance.client.multipart import Progress, Upload, no_progress
from governance.client.transport import Answer


@dataclass(frozen=True)
class EnvironmentLock(Shape):
    """What a lock lists. `open`: packages it leaves without a version; `created` False: it was kept before."""

    version: str
    format: str
    digest: str
    open: int
    packages: tuple[dict[str, Any], ...]
    created: bool = False


class Environments:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _upload(self, path: str, upload: Upload, key: str | None) -> Answer: ...
        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...

    def keep_lock(
        self, name: str, n: int, path: str | Path, *, progress: Progress = no_progress, key: str | None = None
    ) -> EnvironmentLock:
        """Keep the lock file of a version: the one whose digest it declares as `environment_digest`."""
        upload = Upload.of("file", Path(path), {}, progress)
        answer = self._upload(f"models/{segment(name)}/versions/{n}/environment", upload, key)
        return EnvironmentLock.read(answer.json(), created=answer.status == 201)

    def environment(self, name: str, n: int) -> EnvironmentLock:
        """The packages a version was made with. Refused (404) until its lock is kept."""
        return EnvironmentLock.read(self._get(f"models/{segment(name)}/versions/{n}/environment").json())

    def sbom(self, name: str, n: int) -> bytes:
        """The environment as CycloneDX 1.6 (JSON), byte for byte as the server gives it."""
        return self._get(f"models/{segment(name)}/versions/{n}/sbom").body
