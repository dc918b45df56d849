"""Bytes by content. A file is hashed while it streams in, made durable, renamed into place, and only then referred to.

Any Django storage will do ("blobs" in STORAGES). A file nobody refers to (the process died before its commit) is
collected a day later by `collect_orphans`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol, cast
from uuid import UUID

from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.utils import timezone

from audits.errors import TooLarge
from audits.models import Blob

CHUNK = 1 << 20
ORPHAN_AGE = timedelta(days=1)


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Stored:
    digest: str
    size: int


def _storage() -> Storage:
    return storages["blobs"]


def name_of(workspace: UUID, digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64:
        raise ValueError(f"not a sha256 digest: {digest!r}")
    return f"{workspace}/sha256/{value[:2]}/{value}"


def store(workspace: UUID, stream: Readable, *, cap: int) -> Stored:
    """Keep the bytes of `stream` (at most `cap`, else TooLarge) and say their digest. Writes no database row."""
    storage = _storage()
    local = storage if isinstance(storage, FileSystemStorage) else None
    folder = Path(local.path("incoming")) if local else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder)
    hasher, size = sha256(), 0
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                if size > cap:
                    raise TooLarge("upload_too_large", cap=cap)
                hasher.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        digest = f"sha256:{hasher.hexdigest()}"
        name = name_of(workspace, digest)
        if local:
            final = Path(local.path(name))
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, final)
            _sync_folder(final.parent)
        elif not storage.exists(name):
            with open(temporary, "rb") as kept:
                storage.save(name, File(kept))
        return Stored(digest, size)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refer(workspace: UUID, stored: Stored) -> Blob:
    """The row that keeps the bytes from being collected; part of the transaction of a service."""
    blob, _ = Blob.objects.get_or_create(
        workspace_id=workspace, digest=stored.digest, defaults={"size": stored.size}
    )
    return blob


@contextmanager
def opened(workspace: UUID, digest: str) -> Iterator[BinaryIO]:
    """The bytes for reading. Whoever relies on them proves first that they still are what their name says."""
    with _storage().open(name_of(workspace, digest), "rb") as file:
        yield cast(BinaryIO, file)


def collect_orphans() -> int:
    """Delete files older than a day that no row refers to; returns how many. Only for storage on a file system."""
    storage = _storage()
    if not isinstance(storage, FileSystemStorage):
        return 0
    root, limit, removed = Path(storage.location), (timezone.now() - ORPHAN_AGE).timestamp(), 0
    for path in root.glob("*/sha256/*/*"):
        workspace, digest = UUID(path.parts[-4]), f"sha256:{path.name}"
        if (
            path.stat().st_mtime < limit
            and not Blob.objects.filter(workspace=workspace, digest=digest).exists()
        ):
            path.unlink(missing_ok=True)
            removed += 1
    for path in root.glob("incoming/*"):
        if path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
