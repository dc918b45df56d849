"""What anybody can check without the server: attestations, receipts and exports. Needs `cryptography`, no Django."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

VERIFIER = Path(__file__).resolve().parent.parent.parent / "audits" / "verifier.py"


class ProofError(Exception):
    """The proof does not prove it."""


def attested(envelope: bytes, jwks: dict[str, Any]) -> dict[str, Any]:
    """The in-toto statement inside a DSSE envelope that one of the keys (ES256) has signed. ProofError otherwise.

    DSSE v1: signed is the pre-authentication encoding of type and payload; `keyid` is a hint, so every key is tried.
    """
    try:
        found = json.loads(envelope)
        kind, payload = found["payloadType"], base64.b64decode(found["payload"], validate=True)
        signatures = [base64.b64decode(item["sig"], validate=True) for item in found["signatures"]]
        keys = [_key(item) for item in jwks["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ProofError(f"not a DSSE envelope, or not a key set: {error}") from error
    if kind != "application/vnd.in-toto+json":
        raise ProofError(f"the payload is {kind}, no in-toto statement")
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    if not any(_signed(key, signature, message) for key in keys for signature in signatures):
        raise ProofError("none of the keys signed it")
    statement = json.loads(payload)
    if statement.get("_type") != "https://in-toto.io/Statement/v1":
        raise ProofError("the payload is no in-toto statement, version 1")
    return dict(statement)


def _key(jwk: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    x, y = (
        int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=" * (-len(jwk[name]) % 4)), "big")
        for name in ("x", "y")
    )
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _signed(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def verify(subject: Path, vkey: Path, previous: Path | None = None) -> tuple[int, str]:
    """(exit code, what it said) of the stand-alone verifier on an export or a receipt: 0 verified, 1 tampered with.

    As a stranger would run it: the one file, isolated from this checkout and from the environment.
    """
    command = [sys.executable, "-I", str(VERIFIER), str(subject), "--vkey", str(vkey)]
    if previous is not None:
        command += ["--previous", str(previous)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return ended.returncode, (ended.stdout + ended.stderr).strip()
