"""Keys that are held elsewhere: the hook for a KMS or an HSM (PKCS#11).

CRIVO_KEY_PROVIDER is the dotted path of a class like `KeyProvider`, made once per process without arguments. With it no
key is read from files or environment. The signing keys never come here: we hand over what is to be signed and get the
signature. The keys of web and worker (row, pepper, sealing) are used thousands of times a second; what holds them hands
them out, to the processes that may have them (a KMS decrypts them: envelope encryption), and they stay in memory.
docs/keys.md tells how to write one.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from audits.ledger.note import VerifierKey
from audits.verifier import key_id


class KeyProvider(Protocol):
    """Names of keys: row, pepper, sealing; checkpoint, attestation; and successors of row, checkpoint, attestation."""

    def secret(self, name: str) -> bytes:
        """At least 32 random bytes, the same at every call."""

    def public_key(self, name: str) -> bytes:
        """DER of the SubjectPublicKeyInfo: Ed25519 for checkpoints, P-256 for attestations."""

    def sign(self, name: str, message: bytes) -> bytes:
        """Over the whole message. Ed25519: 64 bytes (RFC 8032). P-256: ECDSA with SHA-256, in DER."""

    def line(self, purpose: str) -> list[tuple[int, str]]:
        """(from, name) of the keys of `checkpoint`, `attestation` or `row`, the first one first: from when (Unix
        seconds) each signs alone. The first is older than anything it signed."""

    def make(self, purpose: str, since: int) -> str:
        """Make the successor that signs alone from `since` on; its name. From now on `line` has it."""

    def discard(self, name: str) -> None:
        """Take back one that was made, and not announced after all."""


@cache
def _made(path: str) -> KeyProvider:
    found: KeyProvider = import_string(path)()
    return found


def provider() -> KeyProvider | None:
    path: str = settings.CRIVO_KEY_PROVIDER
    return _made(path) if path else None


class BadSignatureError(Exception):
    """What holds the key handed back something that does not verify. Nothing was signed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"what holds the key {name} handed back a signature that does not verify")


class HeldSigner:
    """An Ed25519 signer of checkpoints, held elsewhere (audits.ledger.note.NoteSigner)."""

    def __init__(self, holder: KeyProvider, name: str, origin: str) -> None:
        public = _public(holder, name)
        if not isinstance(public, Ed25519PublicKey):
            raise ImproperlyConfigured(f"The key {name} is no Ed25519 key.")
        raw = public.public_bytes_raw()
        self.vkey = VerifierKey(origin, key_id(origin, raw), raw)
        self._public, self._holder, self._name = public, holder, name

    def sign(self, text: bytes) -> bytes:
        """BadSignatureError if what comes back is no signature over this: it must never be published."""
        signature = self._holder.sign(self._name, text)
        try:
            self._public.verify(signature, text)
        except InvalidSignature as error:
            raise BadSignatureError(self._name) from error
        return signature

    def __repr__(self) -> str:
        return f"HeldSigner({self.vkey.name})"


class HeldPrivateKey:
    """What signing an envelope needs of a P-256 key (audits.ledger.dsse.sign), held elsewhere."""

    def __init__(self, holder: KeyProvider, name: str) -> None:
        public = _public(holder, name)
        if not (isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1)):
            raise ImproperlyConfigured(f"The key {name} is no P-256 key.")
        self._public, self._holder, self._name = public, holder, name

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def sign(self, message: bytes, algorithm: object) -> bytes:
        signature = self._holder.sign(self._name, message)
        try:
            self._public.verify(signature, message, ec.ECDSA(SHA256()))
        except InvalidSignature as error:
            raise BadSignatureError(self._name) from error
        return signature


def _public(holder: KeyProvider, name: str) -> Any:
    try:
        return load_der_public_key(holder.public_key(name))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ImproperlyConfigured(f"The public key of {name} cannot be read: it is no DER.") from error
