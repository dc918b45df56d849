"""Replacing the notary's keys without a moment in which something cannot be verified.

Beside `<purpose>.key` lie its successors, `<purpose>.<from>.key`, where <from> is when (seconds since 1970 UTC) the new
key begins to sign alone. Until then:

- attestation: the old key signs; the new one is in the JWKS already, with its `nbf`, so that everybody has fetched it
  before the first signature. Afterwards the old one stays in the JWKS with its `exp`.
- checkpoint: both sign every checkpoint (C2SP signed-note: several signatures), so that whoever holds either vkey can
  verify. Afterwards only the new one signs; the old one is still known, for what was published before.
- row: events are marked with the old one, then with the new one (audits.keys). The notary takes an event under the key
  of its time; both are kept, for rows that were written under them.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audits.held import HeldPrivateKey, HeldSigner, KeyProvider, provider
from audits.keys import RowKey, fingerprint, key_folder, look_again, row_keys, write_secret
from audits.ledger.note import NoteError, NoteSigner, SignerKey, VerifierKey
from audits.ledger.signing import AttestationKey, attestation_key, checkpoint_key

Purpose = Literal["attestation", "checkpoint", "row"]
PURPOSES: tuple[Purpose, ...] = ("attestation", "checkpoint", "row")


@dataclass(frozen=True)
class AttestationKeys:
    """`current` signs; `announced` will, one after the other."""

    current: AttestationKey
    announced: tuple[AttestationKey, ...] = ()


@dataclass(frozen=True)
class CheckpointKeys:
    """`signer` and `cosigners` sign together; `vkeys` are all that this log has or had, the newest first."""

    signer: NoteSigner
    cosigners: tuple[NoteSigner, ...]
    vkeys: tuple[VerifierKey, ...]
    starts: tuple[int, ...]  # when each signs alone, the oldest first


def attestation_keys(now: float | None = None) -> AttestationKeys:
    """ImproperlyConfigured as `attestation_key`."""
    moment = time.time() if now is None else now
    holder = provider()
    if holder is not None:
        held = holder.line("attestation")[1:]
        following = [AttestationKey(HeldPrivateKey(holder, name), since) for since, name in held]
    else:
        following = [_attestation(text) for _, text in _successors("attestation")]
    line = [attestation_key(), *following]
    begun = [key for key in line[1:] if key.since <= moment]
    current = begun[-1] if begun else line[0]
    return AttestationKeys(current, tuple(line[line.index(current) + 1 :]))


def checkpoint_keys(now: float | None = None) -> CheckpointKeys:
    """ImproperlyConfigured as `checkpoint_key`."""
    moment = time.time() if now is None else now
    holder = provider()
    following: list[tuple[int, NoteSigner]]
    if holder is not None:
        held = holder.line("checkpoint")[1:]
        following = [(since, HeldSigner(holder, name, settings.CRIVO_ORIGIN)) for since, name in held]
    else:
        following = [(since, _checkpoint(text)) for since, text in _successors("checkpoint")]
    line: list[tuple[int, NoteSigner]] = [(0, checkpoint_key()), *following]
    position = max(at for at, (since, _) in enumerate(line) if since <= moment)
    keys = [key for _, key in line]
    vkeys = tuple(key.vkey for key in reversed(keys))
    return CheckpointKeys(keys[position], tuple(keys[position + 1 :]), vkeys, tuple(at for at, _ in line))


def vkey_validity(keys: CheckpointKeys, compromised: Collection[str] = ()) -> list[dict[str, Any]]:
    """The vkeys of this log, the newest first, with when each signs alone (Unix seconds; null: open)."""
    starts = list(keys.starts)
    ends: list[int | None] = [*starts[1:], None]
    return [
        {
            "vkey": str(vkey),
            "from": start or None,
            "until": end,
            **({"compromised": True} if str(vkey) in compromised else {}),
        }
        for vkey, start, end in zip(keys.vkeys, reversed(starts), reversed(ends), strict=True)
    ]


def _successors(purpose: Purpose) -> list[tuple[int, str]]:
    """(from, text), the earliest first. None where the key itself comes from the environment."""
    if os.environ.get(f"CRIVO_KEY_{purpose.upper()}") is not None:
        return []
    found = []
    for path in key_folder().glob(f"{purpose}.*.key"):
        if match := re.fullmatch(rf"{purpose}\.(\d{{1,12}})\.key", path.name):
            found.append((int(match[1]), path.read_text().strip()))
    return sorted(found)


def _attestation(text: str) -> AttestationKey:
    try:
        return AttestationKey.parse(text)
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured("A key attestation cannot be used: it is no private P-256 JWK.") from error


def _checkpoint(text: str) -> SignerKey:
    try:
        key = SignerKey.parse(text)
    except NoteError as error:
        raise ImproperlyConfigured(f"A key checkpoint cannot be used: {error}.") from error
    if key.vkey.name != settings.CRIVO_ORIGIN:
        raise ImproperlyConfigured(f"A key checkpoint belongs to another log, {key.vkey.name}.")
    return key


class RotationRefusedError(Exception):
    """No new key was made. `code`: from_environment, pending."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True)
class NewKey:
    """A key that was made. `old` and `new` are public: thumbprints, or vkeys."""

    path: Path | str
    purpose: Purpose
    old: str
    new: str
    since: int

    def discard(self) -> None:
        """It was not announced after all, and must not begin to sign."""
        holder = provider()
        if isinstance(self.path, Path):
            self.path.unlink(missing_ok=True)
        elif holder is not None:
            holder.discard(self.path)
        look_again()


def make_successor(purpose: Purpose, since: int) -> NewKey:
    """Write the successor that signs alone from `since` on (Unix seconds), readable by its owner only.

    RotationRefusedError where the key is not a file of ours, or one is announced already that does not sign alone yet.
    """
    if os.environ.get(f"CRIVO_KEY_{purpose.upper()}") is not None:
        raise RotationRefusedError("from_environment")
    waiting: Sequence[object]
    holder = provider()
    if holder is not None:
        return _made_elsewhere(holder, purpose, since)
    if purpose == "row":
        return _made_row_key(since)
    if purpose == "attestation":
        keys = attestation_keys()
        old, waiting = keys.current.id, keys.announced
        made = AttestationKey(AttestationKey.generate().private, since)
        new, text = made.id, made.text()
    else:
        pair = checkpoint_keys()
        old, waiting = str(pair.signer.vkey), pair.cosigners
        signer = SignerKey.generate(settings.CRIVO_ORIGIN)
        new, text = str(signer.vkey), signer.skey()
    if waiting:
        raise RotationRefusedError("pending")
    path = key_folder() / f"{purpose}.{since}.key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    return NewKey(path, purpose, old, new, since)


def _made_row_key(since: int) -> NewKey:
    old = _row_key_in_use()
    key = secrets.token_bytes(32)
    path = key_folder() / f"row.{since}.key"
    if not write_secret(path, key):
        raise RotationRefusedError("pending")
    look_again()
    return NewKey(path, "row", old.id, fingerprint(key), since)


def _row_key_in_use() -> RowKey:
    look_again()
    known, now = row_keys(), time.time()
    if known[-1].since > now:
        raise RotationRefusedError("pending")
    return known[-1]


def _made_elsewhere(holder: KeyProvider, purpose: Purpose, since: int) -> NewKey:
    if purpose == "row":
        old = _row_key_in_use()
        name = holder.make(purpose, since)
        look_again()
        return NewKey(name, purpose, old.id, fingerprint(holder.secret(name)), since)
    if purpose == "attestation":
        keys = attestation_keys()
        if keys.announced:
            raise RotationRefusedError("pending")
        name = holder.make(purpose, since)
        return NewKey(
            name, purpose, keys.current.id, AttestationKey(HeldPrivateKey(holder, name), since).id, since
        )
    pair = checkpoint_keys()
    if pair.cosigners:
        raise RotationRefusedError("pending")
    name = holder.make(purpose, since)
    made = HeldSigner(holder, name, settings.CRIVO_ORIGIN)
    return NewKey(name, purpose, str(pair.signer.vkey), str(made.vkey), since)
