"""The part of `Crivo` that attaches what somebody else produced to a version (docs/evidence.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.client.answers import Shape
from governance.client.lifecycle import segment
from governance.client.multipart import Progress, Upload, digest_of_file, no_progress
from governance.client.transport import Answer


@dataclass(frozen=True)
class Evidence(Shape):
    """Attested, never computed. `created` False: the same file was attached for the same check before."""

    id: str
    version: str
    check: str
    kind: str
    title: str
    issuer: str
    digest: str
    summary: dict[str, Any]
    created: bool = False


class EvidenceCalls:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _upload(self, path: str, upload: Upload, key: str | None) -> Answer: ...
        def _pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]: ...

    def attach_evidence(
        self,
        name: str,
        n: int,
        path: str | Path,
        *,
        check: str,
        kind: str,
        title: str,
        issuer: str,
        public_key: str = "",
        signature: str = "",
        progress: Progress = no_progress,
        key: str | None = None,
    ) -> Evidence:
        """A test report (`junit`) or a signed `document` for one check. It counts only where the policy accepts it.

        A document needs `public_key` (PEM, Ed25519 or ECDSA P-256) and `signature` (base64, over the file's bytes).
        """
        path = Path(path)
        metadata = {
            "check": check,
            "kind": kind,
            "title": title,
            "issuer": issuer,
            "public_key": public_key,
            "signature": signature,
            "digest": digest_of_file(path),
        }
        upload = Upload.of("file", path, metadata, progress)
        answer = self._upload(f"models/{segment(name)}/versions/{n}/evidence", upload, key)
        return Evidence.read(answer.json(), created=answer.status == 201)

    def evidence(self, name: str, n: int, *, limit: int = 500) -> list[Evidence]:
        """What was attached to a version, the newest first."""
        path = f"models/{segment(name)}/versions/{n}/evidence"
        return [Evidence.read(row) for row in self._pages(path, limit)]
