"""Signing checkpoints and handing out receipts (C2SP signed-note, tlog-checkpoint, tlog-proof), with Ed25519.

Verification is in the stand-alone verifier; what is here needs a private key or the tree.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audits.verifier import (
    MAX_SIGNATURES,
    MAX_SIZE,
    Checkpoint,
    NoteError,
    Receipt,
    Signature,
    SignatureMismatchError,
    VerifierKey,
    b64decode,
    check_key_name,
    key_id,
    parse_note,
    verify_checkpoint,
    verify_inclusion,
    verify_note,
    verify_receipt,
)

__all__ = [
    "Checkpoint",
    "NoteError",
    "NoteSigner",
    "Receipt",
    "Signature",
    "SignatureMismatchError",
    "SignerKey",
    "VerifierKey",
    "make_receipt",
    "parse_note",
    "sign_checkpoint",
    "sign_note",
    "verify_checkpoint",
    "verify_checkpoint_by_any",
    "verify_note",
    "verify_receipt",
]

_PREFIX = "PRIVATE+KEY+"


class NoteSigner(Protocol):
    """Whoever signs: a key in memory here, a KMS or PKCS#11 token behind the same two members elsewhere."""

    @property
    def vkey(self) -> VerifierKey: ...

    def sign(self, text: bytes) -> bytes:
        """The 64 bytes of the Ed25519 signature over the note's text."""
        ...


class SignerKey:
    """An Ed25519 signer key in memory; `skey` form: PRIVATE+KEY+name+hash+base64(0x01 ‖ 32-byte seed)."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Raises NoteError for a name no signature line can hold, ValueError for a seed that has not 32
        bytes.
        """
        check_key_name(name)
        self._seed = bytes(seed)
        self._key = Ed25519PrivateKey.from_private_bytes(self._seed)
        public = self._key.public_key().public_bytes_raw()
        self._vkey = VerifierKey(name, key_id(name, public), public)

    @classmethod
    def generate(cls, name: str) -> SignerKey:
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, skey: str) -> SignerKey:
        """Raises NoteError; the message never repeats the key."""
        parts = skey.removeprefix(_PREFIX).split("+", 2)
        if not skey.startswith(_PREFIX) or len(parts) != 3:
            raise NoteError("a signer key is one line: PRIVATE+KEY+name+8 hex digits+base64")
        name, digits, material = parts
        secret = b64decode(material)
        if len(secret) != 33 or secret[0] != 1:
            raise NoteError("the signer key is not an Ed25519 key (type 1, 32 bytes)")
        key = cls(name, secret[1:])
        if key.vkey.id.hex() != digits:
            raise NoteError("the signer key's hash does not fit its name and key")
        return key

    def skey(self) -> str:
        """The private key as text, for whoever stores it."""
        material = base64.b64encode(b"\x01" + self._seed).decode()
        return f"{_PREFIX}{self._vkey.name}+{self._vkey.id.hex()}+{material}"

    @property
    def vkey(self) -> VerifierKey:
        return self._vkey

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text)

    def __repr__(self) -> str:
        return f"SignerKey({self._vkey.name})"


def sign_note(text: str, *signers: NoteSigner, keep: Sequence[Signature] = ()) -> bytes:
    """A signed note over `text`, which ends in a newline. `keep` are signatures of others to carry along.

    Raises NoteError when the text cannot be a note's or nobody signs; the result always parses again.
    """
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise NoteError("the text of a note ends in a newline and holds no other control character")
    made = [Signature(s.vkey.name, s.vkey.id, s.sign(text.encode())) for s in signers]
    named = {(item.name, item.id) for item in made}
    signatures = [*made, *(item for item in keep if (item.name, item.id) not in named)]
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise NoteError(f"a note has between 1 and {MAX_SIGNATURES} signatures")
    lines = "".join(
        f"— {name} {base64.b64encode(identifier + signature).decode()}\n"
        for name, identifier, signature in signatures
    )
    note = f"{text}\n{lines}".encode()
    if parse_note(note) != (text, signatures):
        raise NoteError("the note would not read back as what was signed")
    return note


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner, *witnesses: NoteSigner) -> bytes:
    """The signed checkpoint. The signer's name is the log's origin; never sign what forks the log: that is
    for the caller to rule out, before calling.
    """
    if checkpoint.origin != signer.vkey.name:
        raise NoteError("the signer's name must be the origin of the log")
    if not 0 <= checkpoint.size <= MAX_SIZE or len(checkpoint.root) != 32:
        raise NoteError("a checkpoint has a size from 0 to 2^63-1 and a root of 32 bytes")
    if Checkpoint.parse(str(checkpoint)) != checkpoint:
        raise NoteError("the checkpoint holds a line break or an empty line")
    return sign_note(str(checkpoint), signer, *witnesses)


def verify_checkpoint_by_any(note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint in a note that one of these keys of its log signed. The first error where none did."""
    first: SignatureMismatchError | None = None
    for key in keys:
        try:
            return verify_checkpoint(note, key)
        except SignatureMismatchError as error:
            first = first or error
    raise first or SignatureMismatchError("no key was given")


def make_receipt(
    leaf: bytes, index: int, proof: Sequence[bytes], checkpoint: bytes, extra: bytes | None = None
) -> bytes:
    """A tlog-proof for the leaf hash `leaf`. `extra` = the entry makes it verifiable on its own.

    Raises SignatureMismatchError when the proof does not lead to the checkpoint's root: no receipt leaves
    that fails.
    """
    state = Checkpoint.parse(parse_note(checkpoint)[0])
    if not verify_inclusion(leaf, index, state.size, proof, state.root):
        raise SignatureMismatchError("the proof does not lead to the checkpoint's root")
    return bytes(Receipt(index, tuple(proof), checkpoint, extra))
