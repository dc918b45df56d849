"""Where what a part is told and what it counted lie until its run ends.

Both may quote group names and count few people. The table has them sealed. Of a data zone not even that: they lie,
sealed too, in a folder of the zone (CRIVO_ZONE_PARTS) that its workers share. The table then knows that a part is done,
and the digest of a file whose random nonce says nothing of what is in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from audits import sealing
from audits.keys import sealing_key
from audits.models import CheckPart
from audits.states import CheckRunState

ASKED, COUNTED = "asked", "counted"
ORPHAN_SECONDS = 3600  # a file of a row that was never written: its worker died in between
ENDED = (CheckRunState.COMPLETED, CheckRunState.ERRORED)
log = logging.getLogger(__name__)


def divides(zone: str | None) -> bool:
    """Whether there is a place for what parts count; outside zones there always is."""
    return zone is None or bool(settings.CRIVO_ZONE_PARTS)


def put(part: CheckPart, zone: str | None, what: str, content: Any) -> dict[str, Any]:
    """The columns to be written: the content itself, or nothing of it where it stays in the zone."""
    plain = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    sealed = sealing.encrypt(sealing_key(), zlib.compress(plain, 1), _about(part, what))
    columns: dict[str, Any] = {what: sealed if zone is None else None}
    if what == COUNTED:
        columns["counted_digest"] = _digest(plain if zone is None else sealed)
    if zone is not None:
        _write(_path(part, what), sealed)
    return columns


def get(part: CheckPart, zone: str | None, what: str) -> Any | None:
    """What was put; None once it is gone. In a zone None also for another file: the check has its one pass."""
    if zone is None:
        sealed = getattr(part, what)
        return None if sealed is None else _opened(part, what, bytes(sealed))
    try:
        sealed = _path(part, what).read_bytes()
        if what == COUNTED and _digest(sealed) != part.counted_digest:
            return None
        return _opened(part, what, sealed)
    except (OSError, ValueError, zlib.error):
        return None


def drop(part: CheckPart, what: str) -> None:
    """Of a zone: the file of a worker that came late."""
    with contextlib.suppress(OSError):
        _path(part, what).unlink()


def sweep() -> None:
    """In a zone: remove the files of runs that have ended. Called by its workers after whatever message they took.

    Whoever cancels a run from outside cannot do it.
    """
    if not settings.CRIVO_ZONE or not settings.CRIVO_ZONE_PARTS:
        return
    files = dict(_files())
    found = CheckPart.objects.filter(id__in=set(files.values())).values_list("id", "run__state")
    states: dict[UUID, str] = dict(found)
    for path, part in files.items():
        with contextlib.suppress(OSError):
            if states.get(part) in ENDED or (
                part not in states and path.stat().st_mtime < time.time() - ORPHAN_SECONDS
            ):
                path.unlink()


def _files() -> Iterator[tuple[Path, UUID]]:
    try:
        names = os.listdir(settings.CRIVO_ZONE_PARTS)
    except OSError:
        return
    for name in names:
        with contextlib.suppress(ValueError):  # somebody else's file
            yield Path(settings.CRIVO_ZONE_PARTS) / name, UUID(name.partition(".")[0])


def _path(part: CheckPart, what: str) -> Path:
    # The fence: two workers of which one came late do not write the same file.
    fence = part.fence if what == COUNTED else 0
    return Path(settings.CRIVO_ZONE_PARTS) / f"{part.id}.{fence}.{what}"


def _write(path: Path, content: bytes) -> None:
    """As a whole or not at all, for the owner's eyes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.half")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    half.replace(path)


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _about(part: CheckPart, what: str) -> bytes:
    return f"check part {part.id} {what}".encode()


def _opened(part: CheckPart, what: str, sealed: bytes) -> Any:
    return json.loads(zlib.decompress(sealing.decrypt(sealing_key(), sealed, _about(part, what))))
