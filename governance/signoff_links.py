"""The link somebody outside signs off with: `<id><secret><signature>`; only a keyed hash of it is kept.

The hash covers what the link is for, so that moving an invitation to another request, role or person in the database,
or prolonging it there, makes the link worthless. The key is not in the database (audits.keys.pepper).
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256

from audits.keys import pepper
from governance.models import SignoffInvitation
from governance.tokens import ALPHABET

FORM = re.compile(r"([0-9A-Za-z]{12})([0-9A-Za-z]{40})([0-9a-f]{16})")


def new_public_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(12))


def new_secret() -> str:
    """238 bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(40))


def text_of(public_id: str, secret: str) -> str:
    return f"{public_id}{secret}{_signature(public_id, secret)}"


def parse(text: str) -> tuple[str, str] | None:
    """(public id, secret) of a link we signed, before anything is looked up; None for any other text."""
    match = FORM.fullmatch(text)
    if match is None or not hmac.compare_digest(match[3], _signature(match[1], match[2])):
        return None
    return match[1], match[2]


def hash_of(invitation: SignoffInvitation, secret: str) -> str:
    covered = (
        invitation.id,
        invitation.promotion_id,
        invitation.role,
        invitation.actor_id,
        invitation.expires_at.isoformat(),
        secret,
    )
    return _mac("signoff", *map(str, covered))


def matches(invitation: SignoffInvitation, secret: str) -> bool:
    return hmac.compare_digest(hash_of(invitation, secret), invitation.secret_hash)


def _signature(public_id: str, secret: str) -> str:
    return _mac("signoff-link", public_id, secret)[:16]


def _mac(*parts: str) -> str:
    return hmac.new(pepper(), "\n".join(parts).encode(), sha256).hexdigest()
