"""The two keys that only the notary reads: Ed25519 for checkpoints, ECDSA P-256 for attestations.

`<CRIVO_KEYS>/checkpoint.key` is one line, the signer key of a C2SP signed note: PRIVATE+KEY+origin+hash+base64. Its
name is the origin of the log. `<CRIVO_KEYS>/attestation.key` is a private JWK (RFC 7517) with `nbf`, the time from
which it may sign. The text of either may also come from CRIVO_KEY_CHECKPOINT or CRIVO_KEY_ATTESTATION.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audits.held import HeldPrivateKey, HeldSigner, provider
from audits.keys import key_folder, make_secret
from audits.ledger import dsse
from audits.ledger.note import NoteError, SignerKey

SECRETS = ("row", "pepper", "sealing")  # held by web and worker, too (audits.keys)


@dataclass(frozen=True)
class AttestationKey:
    """Signs DSSE envelopes. `since`: seconds since 1970 UTC; `id`: RFC 7638 thumbprint of the public key."""

    private: ec.EllipticCurvePrivateKey | HeldPrivateKey
    since: int

    @property
    def id(self) -> str:
        return dsse.thumbprint(self.private.public_key())

    def sign(self, payload: bytes, payload_type: str = dsse.IN_TOTO) -> dict[str, Any]:
        return dsse.sign(payload, self.private, payload_type=payload_type)  # type: ignore[arg-type]

    @classmethod
    def generate(cls) -> AttestationKey:
        return cls(ec.generate_private_key(ec.SECP256R1()), int(time.time()))

    @classmethod
    def parse(cls, text: str) -> AttestationKey:
        """ValueError for what is no private P-256 JWK, or one whose halves do not belong together."""
        document = json.loads(text)
        public = dsse.public_key(document)
        scalar, since = document.get("d"), document.get("nbf", 0)
        if not isinstance(scalar, str) or not isinstance(since, int):
            raise ValueError("not a private JWK: d or nbf is missing")  # noqa: TRY004 - input, not a bug
        value = int.from_bytes(base64.urlsafe_b64decode(scalar + "=="), "big")
        private = ec.derive_private_key(value, ec.SECP256R1())
        if private.public_key().public_numbers() != public.public_numbers():
            raise ValueError("the private key does not belong to the public one")
        return cls(private, since)

    def text(self) -> str:
        if isinstance(self.private, HeldPrivateKey):
            raise TypeError("a key that is held elsewhere has no text")
        scalar = self.private.private_numbers().private_value.to_bytes(32, "big")
        secret = base64.urlsafe_b64encode(scalar).decode().rstrip("=")
        return json.dumps({**dsse.jwk(self.private.public_key()), "nbf": self.since, "d": secret})

    def __repr__(self) -> str:
        return f"AttestationKey({self.id})"


def checkpoint_key() -> SignerKey | HeldSigner:
    """The signer of checkpoints. ImproperlyConfigured if it is not there, unreadable, or another log's."""
    holder = provider()
    if holder is not None:
        return HeldSigner(holder, holder.line("checkpoint")[0][1], settings.CRIVO_ORIGIN)
    try:
        key = SignerKey.parse(_text("checkpoint"))
    except NoteError as error:
        raise ImproperlyConfigured(f"The key checkpoint cannot be used: {error}.") from error
    if key.vkey.name != settings.CRIVO_ORIGIN:
        raise ImproperlyConfigured(
            f"The key checkpoint belongs to the log {key.vkey.name}, but CRIVO_ORIGIN is {settings.CRIVO_ORIGIN}."
        )
    return key


def attestation_key() -> AttestationKey:
    """The signer of attestations. ImproperlyConfigured as above; no message repeats a key."""
    holder = provider()
    if holder is not None:
        since, name = holder.line("attestation")[0]
        return AttestationKey(HeldPrivateKey(holder, name), since)
    try:
        return AttestationKey.parse(_text("attestation"))
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(
            "The key attestation cannot be used: it is no private P-256 JWK."
        ) from error


def _text(name: str) -> str:
    text = os.environ.get(f"CRIVO_KEY_{name.upper()}")
    if text is not None:
        return text.strip()
    path = key_folder() / f"{name}.key"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The key {name} is missing: {path} cannot be read ({error.strerror}). "
            "`python manage.py make_keys` makes the keys that are not there yet."
        ) from error


def make_keys() -> list[str]:
    """Make every key that is not there yet, each in a file only its owner can read; the names of those made.

    None, where a provider holds them.
    """
    if provider() is not None:
        return []
    made = [name for name in SECRETS if make_secret(name)]
    makers: dict[str, Callable[[], str]] = {
        "checkpoint": lambda: SignerKey.generate(settings.CRIVO_ORIGIN).skey(),
        "attestation": lambda: AttestationKey.generate().text(),
    }
    for name, text in makers.items():
        path = key_folder() / f"{name}.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w") as file:
            file.write(text() + "\n")
        made.append(name)
    return made


def jwks(
    key: AttestationKey, earlier: dict[str, Any] | None = None, announced: Sequence[AttestationKey] = ()
) -> dict[str, Any]:
    """The JWKS to publish: the key in use first, then those announced, which will replace it in turn, then those of
    `earlier` that it replaced, which end now. Each ends when the next one begins.
    """
    line = [key, *announced]
    ends = [following.since for following in announced]
    published = [
        dsse.PublishedKey(item.private.public_key(), item.since, until)
        for item, until in zip(line, [*ends, None], strict=True)
    ]
    document = dsse.jwks(published)
    known = {item.id for item in line}
    for old in (earlier or {}).get("keys", []):
        if old.get("kid") not in known:
            document["keys"].append({"exp": max(key.since, int(old.get("nbf", 0))), **old})
    return document
