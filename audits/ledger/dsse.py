"""DSSE envelopes signed with ECDSA P-256 and SHA-256, and the public keys as JWK.

Sources: DSSE v1 (secure-systems-lab/dsse protocol.md), RFC 7517/7518 (JWK, ES256), RFC 7638 (thumbprint).
Signatures are DER, as securesystemslib and cosign verify them; JOSE's raw r‖s is not used.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from audits.verifier import SignatureMismatchError, canonical

__all__ = [
    "IN_TOTO",
    "DsseError",
    "PublishedKey",
    "SignatureMismatchError",
    "jwk",
    "jwks",
    "pae",
    "public_key",
    "sign",
    "thumbprint",
    "verify",
]

IN_TOTO = "application/vnd.in-toto+json"


class DsseError(ValueError):
    """An envelope or key that does not have the form its specification gives."""


def pae(payload: bytes, payload_type: str) -> bytes:
    """Pre-authentication encoding: what is signed, so that type and payload cannot be shifted into each
    other.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, *keys: ec.EllipticCurvePrivateKey, payload_type: str = IN_TOTO) -> dict[str, Any]:
    """The envelope as a JSON object, one signature per key; keyid is the key's RFC 7638 thumbprint."""
    if not keys:
        raise DsseError("an envelope needs at least one signature")
    message = pae(payload, payload_type)
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [
            {
                "keyid": thumbprint(_p256(key.public_key())),
                "sig": base64.b64encode(key.sign(message, ec.ECDSA(SHA256()))).decode(),
            }
            for key in keys
        ],
    }


def verify(
    envelope: Mapping[str, Any], keys: Iterable[ec.EllipticCurvePublicKey], payload_type: str = IN_TOTO
) -> tuple[bytes, list[str]]:
    """The payload and the thumbprints of the keys that signed it.

    `keyid` is only a hint (DSSE): every key is tried on every signature. Raises DsseError for a malformed
    envelope or another payload type, SignatureMismatchError when none of the keys signed.
    """
    try:
        payload = _decode(envelope["payload"])
        signatures = [_decode(item["sig"]) for item in envelope["signatures"]]
        kind = envelope["payloadType"]
    except (KeyError, TypeError) as error:
        raise DsseError("not a DSSE envelope: payload, payloadType and signatures are needed") from error
    if kind != payload_type:
        raise DsseError(f"the payload is not {payload_type}")
    message = pae(payload, payload_type)
    signers = [
        thumbprint(key) for key in keys if any(_verifies(_p256(key), item, message) for item in signatures)
    ]
    if not signers:
        raise SignatureMismatchError("none of the given keys signed the envelope")
    return payload, signers


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _decode(text: object) -> bytes:
    """DSSE: standard or URL-safe base64, by whoever wrote it."""
    if not isinstance(text, str):
        raise DsseError("payload and sig are base64 text")
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DsseError("not base64") from error


def _p256(key: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePublicKey:
    if not isinstance(key.curve, ec.SECP256R1):
        raise DsseError("the key is not on P-256")
    return key


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = _p256(key).public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": _url64(numbers.x.to_bytes(32, "big")),
        "y": _url64(numbers.y.to_bytes(32, "big")),
    }


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """RFC 7638: base64url of SHA-256 over the canonical JSON of the required members."""
    return _url64(sha256(canonical(_members(key))).digest())


def jwk(key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """The public key as JWK with its thumbprint as `kid`."""
    return {**_members(key), "alg": "ES256", "kid": thumbprint(key), "use": "sig"}


def public_key(document: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    """The key of a P-256 JWK. DsseError if it is none, if its point is not on the curve or its kid is not its
    own.
    """
    try:
        if document["kty"] != "EC" or document["crv"] != "P-256":
            raise DsseError("the key is not on P-256")
        x, y = (_coordinate(document[name]) for name in ("x", "y"))
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except (KeyError, TypeError, ValueError) as error:
        raise DsseError("not a P-256 JWK") from error
    if document.get("kid", thumbprint(key)) != thumbprint(key):
        raise DsseError("the kid is not the key's thumbprint")
    return key


def _coordinate(text: object) -> int:
    if not isinstance(text, str):
        raise DsseError("a coordinate is base64url text")
    data = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=", validate=True)
    if len(data) != 32:
        raise DsseError("a coordinate of P-256 has 32 bytes")
    return int.from_bytes(data, "big")


@dataclass(frozen=True)
class PublishedKey:
    """A key with its validity, in seconds since 1970 UTC as JOSE has it; `until` None: still in use."""

    key: ec.EllipticCurvePublicKey
    since: int
    until: int | None = None


def jwks(keys: Sequence[PublishedKey]) -> dict[str, Any]:
    """The JWKS document; `nbf` and `exp` bound when a key may have signed. Retired keys stay, to verify old
    ones.
    """
    return {
        "keys": [
            {**jwk(item.key), "nbf": item.since, **({} if item.until is None else {"exp": item.until})}
            for item in keys
        ]
    }
