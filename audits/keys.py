"""Where the keys of Crivo come from: one file each below CRIVO_KEYS, or the environment. Never the database.

Web and worker hold the row-MAC key, the token pepper and the sealing key; only the notary reads the signing keys
(ledger.signing). Or all of them are held by a KMS or an HSM (audits.held).

The row key has successors: `row.<from>.key`, from when (Unix seconds) each is used. They are looked for once a second
(every ten, of a provider), so that every process changes keys by itself; earlier ones stay, for what was written under
them.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audits.held import KeyProvider, provider

log = logging.getLogger(__name__)


def key_folder() -> Path:
    return Path(settings.CRIVO_KEYS)


@cache
def row_key() -> bytes:
    return _secret("row")


@dataclass(frozen=True)
class RowKey:
    """Used from `since` to `until` (Unix seconds; None: open). The first is as old as the log."""

    since: int
    until: int | None
    key: bytes

    @property
    def id(self) -> str:
        return fingerprint(self.key)

    def __repr__(self) -> str:
        return f"RowKey({self.id})"


def fingerprint(key: bytes) -> str:
    """What a secret key may be called in public."""
    return "sha256:" + sha256(b"crivo key " + key).hexdigest()[:32]


def row_keys() -> tuple[RowKey, ...]:
    """All that this installation has used or will, the oldest first."""
    every = 1 if provider() is None else 10  # seconds
    line = [(0, row_key()), *_row_successors(int(time.monotonic() / every), _source())]
    ends = [since for since, _ in line[1:]]
    return tuple(RowKey(since, until, key) for (since, key), until in zip(line, [*ends, None], strict=True))


def row_key_now() -> bytes:
    """The one to write with."""
    now = time.time()
    return next(found.key for found in reversed(row_keys()) if found.since <= now)


def look_again() -> None:
    """Forget which successors there were: one may have been made within this second."""
    _row_successors.cache_clear()


def _source() -> str:
    path: str = settings.CRIVO_KEY_PROVIDER or settings.CRIVO_KEYS
    return path


@lru_cache(maxsize=1)
def _row_successors(second: int, source: str) -> tuple[tuple[int, bytes], ...]:
    holder = provider()
    if holder is not None:
        return _held_successors(holder)
    if os.environ.get("CRIVO_KEY_ROW") is not None:
        return ()
    found = []
    for path in key_folder().glob("row.*.key"):
        if match := re.fullmatch(r"row\.(\d{1,12})\.key", path.name):
            found.append((int(match[1]), _parsed(f"row.{match[1]}", path.read_text())))
    return tuple(sorted(found))


_last_held: dict[str, tuple[tuple[int, bytes], ...]] = {}


def _held_successors(holder: KeyProvider) -> tuple[tuple[int, bytes], ...]:
    """As last heard, where the provider cannot be reached: events are written all the same."""
    try:
        _last_held[settings.CRIVO_KEY_PROVIDER] = tuple(
            (since, holder.secret(name)) for since, name in holder.line("row")[1:]
        )
    except Exception:
        if settings.CRIVO_KEY_PROVIDER not in _last_held:
            raise
        log.warning("what holds the keys cannot be reached: row keys as last heard", exc_info=True)
    return _last_held[settings.CRIVO_KEY_PROVIDER]


@cache
def pepper() -> bytes:
    return _secret("pepper")


@cache
def sealing_key() -> bytes:
    """Wraps the keys of persons (audits.sealing)."""
    return _secret("sealing")[:32]


def _secret(name: str) -> bytes:
    """32 random bytes as hex, from CRIVO_KEY_<NAME> or `<CRIVO_KEYS>/<name>.key`."""
    holder = provider()
    if holder is not None:
        key = holder.secret(name)
        if len(key) < 32:
            raise ImproperlyConfigured(f"The key {name} is too short: at least 32 bytes.")
        return key
    text = os.environ.get(f"CRIVO_KEY_{name.upper()}")
    if text is None:
        path = key_folder() / f"{name}.key"
        try:
            text = path.read_text()
        except OSError as error:
            raise ImproperlyConfigured(
                f"The key {name} is missing: {path} cannot be read ({error.strerror}). "
                f"`python manage.py make_keys` makes the keys that are not there yet."
            ) from error
    return _parsed(name, text)


def _parsed(name: str, text: str) -> bytes:
    key = bytes.fromhex(text.strip())
    if len(key) < 32:
        raise ImproperlyConfigured(f"The key {name} is too short: at least 32 bytes, as hex.")
    return key


def make_secret(name: str) -> bool:
    """Make the key if it is not there; True if it was made. Readable by its owner only."""
    return write_secret(key_folder() / f"{name}.key", secrets.token_bytes(32))


def write_secret(path: Path, key: bytes) -> bool:
    """False if there is a file already. Synced: what is written under a key must not outlive it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True


@dataclass(frozen=True)
class Replacement:
    """A new key beside the one in use (`<name>.next.key`), which it replaces at `swap`. For what has no successors."""

    name: str
    old: bytes
    new: bytes

    @classmethod
    def prepare(cls, name: str) -> Replacement:
        """One that was begun and never ended is taken up again. LookupError where the key is no file of ours."""
        if provider() is not None or os.environ.get(f"CRIVO_KEY_{name.upper()}") is not None:
            raise LookupError(name)
        path = key_folder() / f"{name}.next.key"
        write_secret(path, secrets.token_bytes(32))
        old = (key_folder() / f"{name}.key").read_text()
        return cls(name, _parsed(name, old), _parsed(name, path.read_text()))

    def swap(self) -> Path:
        """The new one takes its place; where the old one lies now, to be destroyed."""
        folder, aside = key_folder(), key_folder() / f"{self.name}.{int(time.time())}.old"
        (folder / f"{self.name}.key").rename(aside)
        (folder / f"{self.name}.next.key").rename(folder / f"{self.name}.key")
        for known in (row_key, pepper, sealing_key):
            known.cache_clear()
        return aside
