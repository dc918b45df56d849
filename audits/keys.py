"""Where the keys of Crivo come from: one file each below CRIVO_KEYS, or the environment. Never the database.

Web and worker hold the row-MAC key, the token pepper and the sealing key; only the notary reads the signing keys
(ledger.signing). Or all of them are held by a KMS or an HSM (audits.held).
"""

from __future__ import annotations

import os
import secrets
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audits.held import provider


def key_folder() -> Path:
    return Path(settings.CRIVO_KEYS)


@cache
def row_key() -> bytes:
    return _secret("row")


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
    key = bytes.fromhex(text.strip())
    if len(key) < 32:
        raise ImproperlyConfigured(f"The key {name} is too short: at least 32 bytes, as hex.")
    return key


def make_secret(name: str) -> bool:
    """Make the key if it is not there; True if it was made. Readable by its owner only."""
    path = key_folder() / f"{name}.key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    return True
