"""The text of a token: `crv_<id>_<secret><crc>`. Secret scanners know it; a typo is told from a forgery."""

from __future__ import annotations

import hmac
import re
import secrets
import zlib
from hashlib import sha256

from audits.keys import pepper

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORM = re.compile(r"crv_([0-9A-Za-z]{12})_([0-9A-Za-z]{40})([0-9A-Za-z]{6})")


def new_token() -> tuple[str, str, str]:
    """(text shown once, public id, hash to keep). The secret has 238 bits."""
    public_id = "".join(secrets.choice(ALPHABET) for _ in range(12))
    secret = "".join(secrets.choice(ALPHABET) for _ in range(40))
    return f"crv_{public_id}_{secret}{_crc(public_id + secret)}", public_id, hash_of(secret)


def parse(text: str) -> tuple[str, str] | None:
    """(public id, secret), or None if this is no token of ours."""
    match = FORM.fullmatch(text)
    if match is None or match[3] != _crc(match[1] + match[2]):
        return None
    return match[1], match[2]


def hash_of(secret: str) -> str:
    """HMAC under a pepper the database does not hold. The secret is random, so a slow hash would add nothing."""
    return hmac.new(pepper(), secret.encode(), sha256).hexdigest()


def matches(secret: str, stored: str) -> bool:
    return hmac.compare_digest(hash_of(secret), stored)


def _crc(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits
