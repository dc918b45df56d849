"""Where checkpoints go outside the database: a folder with `checkpoint`, `checkpoints/<size>`, `vkey`, `jwks.json`.

Every file appears whole or not at all (written beside, synced, renamed). `checkpoints/<size>` is never replaced:
another root for a size that was published before is a fork, whoever asks for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from audits.ledger.note import (
    Checkpoint,
    NoteError,
    SignatureMismatchError,
    VerifierKey,
    verify_checkpoint,
    verify_checkpoint_by_any,
)


class ForkError(Exception):
    """What was published and what the database holds are not the same log: nothing may be signed."""


class Publication:
    """The folder of one log. Every checkpoint in it is signed by `vkey`, or by an earlier or a coming one of `others`
    (audits.ledger.rotation).
    """

    def __init__(
        self, vkey: VerifierKey, folder: Path | None = None, others: Sequence[VerifierKey] = ()
    ) -> None:
        self.vkey = vkey
        self.others: Sequence[VerifierKey] = others
        self.folder = folder or Path(settings.CRIVO_PUBLISH)
        (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)

    def last(self) -> tuple[Checkpoint, bytes] | None:
        """The newest checkpoint published, with its note. ForkError if it is not ours or cannot be read."""
        return self._read(self.folder / "checkpoint")

    def furthest(self) -> tuple[Checkpoint, bytes] | None:
        """The largest checkpoint in the folder, `checkpoint` or not: a crash may lie between the two files."""
        sizes = [int(path.name) for path in (self.folder / "checkpoints").iterdir() if path.name.isdecimal()]
        kept = self._read(self.folder / "checkpoints" / str(max(sizes))) if sizes else None
        current = self.last()
        if kept is None or (current is not None and current[0].size >= kept[0].size):
            return current
        return kept

    def _read(self, path: Path) -> tuple[Checkpoint, bytes] | None:
        try:
            note = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return self.verified(note), note
        except (NoteError, SignatureMismatchError) as error:
            raise ForkError(f"{path} is not a checkpoint of this log signed by its key: {error}") from error

    def verified(self, note: bytes) -> Checkpoint:
        """The checkpoint of a note signed by any key of this log. NoteError, SignatureMismatchError."""
        return verify_checkpoint_by_any(note, [self.vkey, *self.others])

    def publish(self, checkpoint: Checkpoint, note: bytes) -> bool:
        """Make the checkpoint public; False if a later one already is. Doing it again changes nothing.

        ForkError if another root was published for this size.
        """
        with self._alone():
            current = self.last()
            if current is not None and current[0].size > checkpoint.size:
                return False
            if current is not None and current[0].size == checkpoint.size:
                if current[0].root != checkpoint.root:
                    raise ForkError(f"another root was published for {checkpoint.size} entries")
                return True
            self._keep(checkpoint, note)
            self._replace(self.folder / "checkpoint", note)
            return True

    def _keep(self, checkpoint: Checkpoint, note: bytes) -> None:
        path = self.folder / "checkpoints" / str(checkpoint.size)
        kept = self._read(path)
        if kept is not None and kept[0].root != checkpoint.root:
            raise ForkError(f"another root was published for {checkpoint.size} entries: {path}")
        if kept is None:
            self._replace(path, note)

    def publish_keys(self, jwks: dict[str, Any]) -> None:
        """`vkey` is the newest key that the newest checkpoint verifies with; `vkeys` holds all, if there are more."""
        known = self._known()
        self._replace(self.folder / "vkey", f"{self.newest_vkey()}\n".encode())
        if len(known) > 1:
            self._replace(self.folder / "vkeys", "".join(f"{key}\n" for key in known).encode())
        self._replace(self.folder / "jwks.json", json.dumps(jwks, indent=1).encode() + b"\n")

    def _known(self) -> list[VerifierKey]:
        return list(dict.fromkeys([*self.others, self.vkey]))

    def publish_validity(self, vkeys: list[dict[str, Any]]) -> None:
        """`vkeys.json`: every vkey of the log with when it signs; written when it changed."""
        data = json.dumps(vkeys, indent=1).encode() + b"\n"
        path = self.folder / "vkeys.json"
        if not path.exists() or path.read_bytes() != data:
            self._replace(path, data)

    def newest_vkey(self) -> VerifierKey:
        """The newest key that the newest checkpoint verifies with."""
        current = self.last()
        if current is None:
            return self.vkey
        for key in self._known():
            try:
                verify_checkpoint(current[1], key)
            except SignatureMismatchError:
                continue
            return key
        return self.vkey

    def published_vkey(self) -> str:
        try:
            return (self.folder / "vkey").read_text().strip()
        except FileNotFoundError:
            return ""

    def published_jwks(self) -> dict[str, Any] | None:
        try:
            document = json.loads((self.folder / "jwks.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # The database's advisory lock elects the notary; this one stops a notary that was frozen, lost its session
        # and woke up beside its successor from putting an older checkpoint over a newer one.
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _replace(self, path: Path, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
