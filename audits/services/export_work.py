"""Where an export grows: a folder that outlives its worker, so that the next one goes on where a killed one stopped.

The folder is beside the blobs, where every worker of the storage finds it. Whoever works in it holds its lock: a worker
that was only thought dead keeps it, and its successor begins anew in a folder of its own. What is in the folder is not
trusted by anybody who verifies, and what was half written is cut off again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.core.files.storage import FileSystemStorage, storages
from django.utils import timezone

from audits.models import AuditExport

FORGOTTEN = timedelta(days=2)


@dataclass
class Progress:
    """What was done when it was last saved: `start` is the next entry, `length` the bytes of the growing file."""

    start: int = 0
    length: int = 0
    heads: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    more: dict[str, Any] = field(default_factory=dict)


class Work:
    """One export under way. `folder` holds what will be packed."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "export"
        self.folder.mkdir(exist_ok=True)
        self.progress = self._read()

    def _read(self) -> Progress:
        try:
            saved = json.loads((self.root / "progress.json").read_bytes())
            return Progress(**{**saved, "counts": Counter(saved["counts"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            shutil.rmtree(self.folder)
            self.folder.mkdir()
            return Progress()

    def against(self, checkpoint: bytes, vkey: str) -> tuple[bytes, str]:
        """The checkpoint this export was begun against, and its key; these if it begins now."""
        path = self.root / "begun.json"
        if self.progress.start and path.exists():
            kept = json.loads(path.read_bytes())
            return kept["checkpoint"].encode(), kept["vkey"]
        self.progress = Progress()
        path.write_text(json.dumps({"checkpoint": checkpoint.decode(), "vkey": vkey}))
        return checkpoint, vkey

    @contextmanager
    def growing(self, name: str) -> Iterator[BinaryIO]:
        """The file that lines are appended to, as long as it was when progress was last saved."""
        path = self.folder / name
        path.touch()
        with path.open("r+b") as file:
            file.truncate(self.progress.length)
            file.seek(self.progress.length)
            yield file

    def save(self, file: BinaryIO) -> None:
        """After this a killed worker costs nothing that was done before."""
        file.flush()
        os.fsync(file.fileno())
        self.progress.length = file.tell()
        new = self.root / "progress.new"
        new.write_text(json.dumps(vars(self.progress)))
        os.replace(new, self.root / "progress.json")


def _home() -> Path | None:
    storage = storages["blobs"]
    return Path(storage.path("exports")) if isinstance(storage, FileSystemStorage) else None


@contextmanager
def work_for(export: UUID) -> Iterator[Work]:
    """The folder of this export. Kept if what is inside raises; thrown away once it is done."""
    home = _home()
    root = home / str(export) if home else None
    if root is not None:
        root.mkdir(parents=True, exist_ok=True)
        with (root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass
            else:
                yield Work(root)
                shutil.rmtree(root, ignore_errors=True)
                return
    with tempfile.TemporaryDirectory(prefix="crivo-export-") as scratch:
        yield Work(Path(scratch))


def forget_finished() -> int:
    """Folders of exports that are finished, or that nobody knows, after two days; how many."""
    home, limit, gone = _home(), (timezone.now() - FORGOTTEN).timestamp(), 0
    for root in sorted(home.iterdir()) if home and home.is_dir() else []:
        try:
            export = AuditExport.objects.filter(id=UUID(root.name)).first()
        except ValueError:
            continue
        if (export is None or export.finished) and root.stat().st_mtime < limit:
            shutil.rmtree(root, ignore_errors=True)
            gone += 1
    return gone
