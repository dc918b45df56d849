"""A multipart body (RFC 7578) streamed from disk: its length is known before the first byte is sent."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from governance.client.errors import Usage

CHUNK = 1 << 18
Progress = Callable[[int, int], None]
"""Called with (bytes sent, bytes in all)."""


def no_progress(sent: int, total: int) -> None:
    return None


def digest_of_file(path: Path) -> str:
    """sha256:… of the bytes of a file; `Usage` if it cannot be read."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise unreadable(path, error) from error
    return f"sha256:{digest.hexdigest()}"


def unreadable(path: Path, error: OSError) -> Usage:
    return Usage(f"{path} cannot be read: {error.strerror or error}. Check the path.", code="file_unreadable")


@dataclass(frozen=True)
class Upload:
    """One file part `part` and one part `metadata`. Can be sent again: each `body()` reads the file anew."""

    part: str
    path: Path
    metadata: dict[str, Any]
    progress: Progress
    size: int
    boundary: str
    head: bytes
    tail: bytes

    @classmethod
    def of(cls, part: str, path: Path, metadata: dict[str, Any], progress: Progress = no_progress) -> Upload:
        try:
            status = os.stat(path)
        except OSError as error:
            raise unreadable(path, error) from error
        if not path.is_file():
            raise Usage(f"{path} is not a file. Name the file to upload.", code="file_unreadable")
        boundary = secrets.token_hex(24)
        # The server does not use the name; a header must not be broken by it.
        name = re.sub(r"[^A-Za-z0-9._-]", "_", path.name)[:100]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n'
            f"Content-Type: application/json\r\n\r\n{json.dumps(metadata)}\r\n"
            f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"; filename="{name}"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        return cls(
            part,
            path,
            metadata,
            progress,
            status.st_size,
            boundary,
            head,
            f"\r\n--{boundary}--\r\n".encode(),
        )

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def length(self) -> int:
        return len(self.head) + self.size + len(self.tail)

    def body(self) -> Iterator[bytes]:
        """Exactly `length` bytes, or `Usage` if the file became shorter or longer while it was read."""
        yield self.head
        sent = 0
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    sent += len(chunk)
                    if sent > self.size:
                        raise self._changed()
                    yield chunk
                    self.progress(sent, self.size)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if sent != self.size:
            raise self._changed()
        yield self.tail

    def _changed(self) -> Usage:
        return Usage(
            f"{self.path} changed while it was being uploaded, so the upload was stopped. Start again once nothing "
            "writes to it.",
            code="file_changed",
        )
