"""Verify an export of the audit ledger, offline: one file, Python's standard library and `cryptography`.

    python verifier.py EXPORT_DIR [--vkey KEY_OR_FILE] [--previous CHECKPOINT_FILE]
    python verifier.py RECEIPT.tlog-proof --vkey KEY_OR_FILE

Exit 0: verified. Exit 1: tampered with (it says which entry and why). Exit 2: unreadable, nothing decided.

What is checked, in one pass and without holding the log in memory:
1. the checkpoint is signed by the given key (C2SP signed-note, tlog-checkpoint; Ed25519);
2. the entries hash, through every tile of the export, to the signed root (RFC 6962 §2.1, C2SP tlog-tiles);
3. the entries of every subject are numbered 1, 2, 3 … and each carries the digest of the one before it;
4. every disclosed head, rest and text is the one its entry commits to;
5. what the export promises to disclose (its scope and filter) is disclosed, no more and no less; what was pruned since
   is exactly what an entry of the log says was pruned, and it says in which export it is;
6. with `--previous`: the log only grew since a checkpoint somebody else has kept.

The ledger writes with the functions of this file, so there is one definition of every format in it.
The commitments are SHA-256(salt ‖ text) with a salt of exactly 16 bytes, so the border between both is fixed:
head and rest over their canonical JSON, a text over its UTF-8 bytes, a pseudonym over canonical `[kind, id]`.
The digest of an entry, also in `previous`, is its RFC 6962 leaf hash.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import os
import re
import stat
import sys
from binascii import unhexlify
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from operator import lt
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # pragma: no cover - a stranger's machine
    if __name__ != "__main__":
        raise
    print("unreadable: the package `cryptography` is missing; run: pip install cryptography", file=sys.stderr)
    sys.exit(2)

VERIFIED, TAMPERED, UNREADABLE = 0, 1, 2
SALT_BYTES = 16
TILE_WIDTH = 256
MAX_ENTRY = 0xFFFF  # tlog-tiles: entries are prefixed by a uint16
MAX_LINE = 4 << 20
MAX_NOTE = 1 << 20
MAX_MANIFEST = 8 << 20
MAX_SIZE = (1 << 63) - 1
MAX_SIGNATURES = 100
MAX_LISTED = 100
MAX_PROOF_LINES = 63


class UnreadableError(Exception):
    """The export cannot be judged: a file is missing, is no plain file or has not the form it must have."""


# --- canonical JSON (RFC 8785) -----------------------------------------------------------------------------

_SAFE_INTEGER = 2**53 - 1
_MAX_DEPTH = 100


class CanonicalError(ValueError):
    """The value or text has no canonical form: NaN, an unsafe integer, a lone surrogate, a repeated name …"""


def _number(value: float) -> str:
    """A double as ECMAScript writes it (RFC 8785 §3.2.2.3), from Python's shortest round-trip digits."""
    if value != value or value in (float("inf"), float("-inf")):
        raise CanonicalError("NaN and infinity have no JSON form")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    padded = whole + fraction
    stripped = padded.lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(padded) - len(stripped))
    digits = stripped.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        body = digits + "0" * (point - count)
    elif 0 < point <= 21:
        body = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        power = point - 1
        tail = "." + digits[1:] if count > 1 else ""
        body = f"{digits[0]}{tail}e{'+' if power > 0 else '-'}{abs(power)}"
    return sign + body


def _write(value: object, out: list[str], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise CanonicalError(f"nested deeper than {_MAX_DEPTH}")
    if value is None or isinstance(value, bool):
        out.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, str):
        # The encoder's escapes are those of RFC 8785: short forms, \u00xx in lower case, the rest verbatim.
        out.append(_encode_string(value))
    elif isinstance(value, int):
        if abs(value) > _SAFE_INTEGER:
            raise CanonicalError("an integer beyond 2^53-1 has no exact JSON form; write it as a string")
        out.append(int.__repr__(value))
    elif isinstance(value, float):
        out.append(_number(value))
    elif isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise CanonicalError("names must be strings")
        opening = "{"
        for name in sorted(value, key=_utf16):
            out.append(f"{opening}{_encode_string(name)}:")
            _write(value[name], out, depth + 1)
            opening = ","
        out.append("{}" if opening == "{" else "}")
    elif isinstance(value, (list, tuple)):
        opening = "["
        for item in value:
            out.append(opening)
            _write(item, out, depth + 1)
            opening = ","
        out.append("[]" if opening == "[" else "]")
    else:
        raise CanonicalError(f"{type(value).__name__} is not JSON")


def _utf16(name: str) -> bytes:
    try:
        return name.encode("utf-16-be")
    except UnicodeEncodeError as error:
        raise CanonicalError("a lone surrogate is not text") from error


_encode_string = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of a JSON value. Raises CanonicalError where there is no canonical form."""
    out: list[str] = []
    _write(value, out, 0)
    try:
        return "".join(out).encode()
    except UnicodeEncodeError as error:
        raise CanonicalError("a lone surrogate is not text") from error


class _SlowPath(Exception):  # noqa: N818 - a signal, not an error
    """The fast reader met something the C encoder does not write canonically."""


def _fast_integer(digits: str) -> int:
    if len(digits) > 15:
        raise _SlowPath
    return int(digits)


def _strict_integer(digits: str) -> int | float:
    if len(digits) > 400:
        raise CanonicalError("a number of more than 400 digits")
    value = int(digits)
    return value if abs(value) <= _SAFE_INTEGER else float(digits)


def _fast_float(digits: str) -> float:
    """Without an exponent and a final .0, Python's shortest digits are ECMAScript's."""
    value = float(digits)
    if repr(value) != digits or "e" in digits or digits.endswith(".0"):
        raise _SlowPath
    return value


def _refuse_constant(name: str) -> Any:
    raise CanonicalError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise CanonicalError("a name appears twice in one object")
    return result


_FAST = json.JSONDecoder(parse_float=_fast_float, parse_int=_fast_integer, parse_constant=_refuse_constant)
_STRICT = json.JSONDecoder(
    parse_int=_strict_integer, parse_constant=_refuse_constant, object_pairs_hook=_unique
)
_fast_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def _canonical_at(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start` and where it ends; CanonicalError unless that stretch is canonical.

    The C encoder agrees with RFC 8785 as long as there is no float with an exponent, no integer of more than
    15 digits and no character beyond the BMP (RFC 8785 sorts names by UTF-16 units, Python by code points);
    else ours decides.
    """
    try:
        try:
            value, end = _FAST.raw_decode(text, start)
            stretch = text[start:end]
            shallow = stretch.count("{") + stretch.count("[") <= _MAX_DEPTH
            if shallow and (stretch.isascii() or max(stretch) <= "\uffff") and _fast_encode(value) == stretch:
                stretch.encode()
                return value, end
        except _SlowPath:
            pass
        value, end = _STRICT.raw_decode(text, start)
        if canonical(value) != text[start:end].encode():
            raise CanonicalError("not canonical JSON (RFC 8785)")
    except json.JSONDecodeError as error:
        raise CanonicalError(f"not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise CanonicalError("nested too deeply") from error
    except UnicodeEncodeError as error:
        raise CanonicalError("a lone surrogate is not text") from error
    return value, end


def parse_canonical(data: bytes) -> Any:
    """The value of canonical JSON bytes; CanonicalError for any other spelling of the same value."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CanonicalError("not UTF-8") from error
    value, end = _canonical_at(text, 0)
    if end != len(text):
        raise CanonicalError("something follows the JSON value")
    return value


# --- Merkle tree (RFC 6962 §2.1, RFC 9162 §2.1) ------------------------------------------------------------

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _pairs(hashes: Sequence[bytes]) -> list[bytes]:
    return [
        sha256(b"\x01" + hashes[i] + hashes[i + 1]).digest()
        for i in range(0, len(hashes) - len(hashes) % 2, 2)
    ]


def root_from_levels(levels: Iterable[Sequence[bytes]]) -> bytes:
    """Root over the right edge of a tree: `levels[l]` holds the newest subtrees of 256**l leaves, not yet
    part of one in `levels[l + 1]`. No hash at all is the empty tree.
    """
    root: bytes | None = None
    for hashes in levels:
        row = list(hashes)
        while row:
            if len(row) % 2:
                root = row[-1] if root is None else node_hash(row[-1], root)
            row = _pairs(row)
    return EMPTY_ROOT if root is None else root


def root_from_leaves(hashes: Sequence[bytes]) -> bytes:
    """Merkle tree hash over leaf hashes."""
    return root_from_levels([hashes])


def _all_hashes(*values: bytes) -> bool:
    return all(len(value) == 32 for value in values)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 §2.1.3.2: whether the leaf hash is the one at `index` of the tree of `size` leaves."""
    if not 0 <= index < size or not _all_hashes(leaf, root, *proof):
        return False
    position, last, running = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            running = node_hash(sibling, running)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            running = node_hash(running, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and running == root


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162 §2.1.4.2: whether tree 1 is a prefix of tree 2. An empty tree 1 proves nothing: False."""
    if 0 < size1 == size2:
        return not proof and root1 == root2
    if not 0 < size1 < size2 or not _all_hashes(root1, root2, *proof):
        return False
    path = list(proof)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    if not path:
        return False
    position, last = size1 - 1, size2 - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and old == root1 and new == root2


# --- signed notes, checkpoints, receipts (C2SP) ------------------------------------------------------------


class NoteError(ValueError):
    """A note, key, checkpoint or receipt that does not have the form its specification gives."""


class SignatureMismatchError(Exception):
    """Well formed, but not signed by the key it must be signed by."""


def b64decode(text: str) -> bytes:
    """Standard base64 (RFC 4648 §4), one spelling only: no white space, no stray bits, padding required."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteError("not canonical base64")
    return data


def key_id(name: str, public: bytes) -> bytes:
    """signed-note: SHA-256(name ‖ LF ‖ signature type 0x01 ‖ public key), its first four bytes."""
    return sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def check_key_name(name: str) -> None:
    """NoteError unless the name can stand in a signature line."""
    if not name or "+" in name or any(c.isspace() or ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in name):
        raise NoteError("a key name must not be empty nor hold spaces, plus or control characters")


@dataclass(frozen=True)
class VerifierKey:
    """An Ed25519 verifier key (`vkey`): name+hash+base64(0x01 ‖ 32 bytes)."""

    name: str
    id: bytes
    public: bytes

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        parts = text.split("+", 2)
        if len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[1]):
            raise NoteError("a verifier key is one line: name+8 hex digits+base64")
        name, digits, material = parts
        check_key_name(name)
        key = b64decode(material)
        if len(key) != 33 or key[0] != 1:
            raise NoteError("the verifier key is not an Ed25519 key (type 1, 32 bytes)")
        if key_id(name, key[1:]).hex() != digits:
            raise NoteError("the verifier key's hash does not fit its name and key")
        return cls(name, bytes.fromhex(digits), key[1:])

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([1]) + self.public).decode()}"

    def verifies(self, signature: bytes, text: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signature(NamedTuple):
    name: str
    id: bytes
    signature: bytes


def parse_note(note: bytes) -> tuple[str, list[Signature]]:
    """Text (with its final newline) and signatures of a signed note, nothing verified (NoteError)."""
    if len(note) > MAX_NOTE:
        raise NoteError("the note is longer than 1 MiB")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise NoteError("the note is not UTF-8") from error
    if any(c < " " and c != "\n" for c in whole):
        raise NoteError("the note holds a control character")
    border = whole.rfind("\n\n")
    if border < 0 or not whole.endswith("\n") or border + 2 == len(whole):
        raise NoteError("the note has no signatures")
    text, lines = whole[: border + 1], whole[border + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"the note has more than {MAX_SIGNATURES} signatures")
    signatures = []
    for line in lines:
        name, space, encoded = line.removeprefix("— ").partition(" ")
        if not line.startswith("— ") or not space:
            raise NoteError("a signature line is not of the form «— name base64»")
        check_key_name(name)
        data = b64decode(encoded)
        if len(data) < 5:
            raise NoteError("a signature is too short")
        signatures.append(Signature(name, data[:4], data[4:]))
    return text, signatures


def verify_note(note: bytes, keys: Sequence[VerifierKey]) -> tuple[str, list[str]]:
    """Text and the names of the keys that signed it.

    Raises NoteError for a malformed note or two keys of the same name and id, SignatureMismatchError when the
    signature of a known key does not verify or no known key signed.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.id), key) is not key:
            raise NoteError(f"two keys are called {key.name}+{key.id.hex()}")
    text, signatures = parse_note(note)
    verified: dict[tuple[str, bytes], str] = {}
    for name, identifier, signature in signatures:
        signer = known.get((name, identifier))
        if signer is None or (name, identifier) in verified:
            continue
        if not signer.verifies(signature, text.encode()):
            raise SignatureMismatchError(f"the signature of {name} does not verify")
        verified[name, identifier] = name
    if not verified:
        raise SignatureMismatchError("none of the given keys signed it")
    return text, list(verified.values())


@dataclass(frozen=True)
class Checkpoint:
    """tlog-checkpoint: what a log says of itself at one moment. `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise NoteError("a checkpoint has an origin, a size and a root, one per line, and no empty line")
        if not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]) or int(lines[1]) > MAX_SIZE:
            raise NoteError("the checkpoint's size is not a plain decimal number")
        root = b64decode(lines[2])
        if len(root) != 32:
            raise NoteError("the checkpoint's root is not 32 bytes")
        return cls(lines[0], int(lines[1]), root, tuple(lines[3:]))

    def __str__(self) -> str:
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions]
        return "".join(f"{line}\n" for line in lines)


def verify_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note signed by `key`, whose name must be the log's origin.

    Raises NoteError when malformed, SignatureMismatchError when signed otherwise.
    """
    text, _ = verify_note(note, [key])
    checkpoint = Checkpoint.parse(text)
    if checkpoint.origin != key.name:
        raise SignatureMismatchError(f"the key belongs to {key.name}, the checkpoint to {checkpoint.origin}")
    return checkpoint


@dataclass(frozen=True)
class Receipt:
    """C2SP tlog-proof: one entry is in the log. `extra` is not authenticated; ours holds the entry itself."""

    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    HEADER = "c2sp.org/tlog-proof@v1"

    @classmethod
    def parse(cls, data: bytes) -> Receipt:
        if len(data) > MAX_NOTE:
            raise NoteError("the receipt is longer than 1 MiB")
        try:
            head, gap, note = data.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise NoteError("the receipt is not UTF-8") from error
        lines = head.split("\n")
        if lines.pop(0) != cls.HEADER or not gap:
            raise NoteError(
                f"a receipt begins with {cls.HEADER} and ends with a checkpoint after an empty line"
            )
        extra = b64decode(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
        number = re.fullmatch("index (0|[1-9][0-9]{0,18})", lines.pop(0)) if lines else None
        if number is None or len(lines) > MAX_PROOF_LINES:
            raise NoteError("the receipt has no index line, or more hashes than a tree has levels")
        proof = tuple(b64decode(line) for line in lines)
        if not _all_hashes(*proof):
            raise NoteError("a hash of the receipt is not 32 bytes")
        return cls(int(number[1]), proof, note.encode(), extra)

    def __bytes__(self) -> bytes:
        lines = [self.HEADER]
        if self.extra is not None:
            lines.append("extra " + base64.b64encode(self.extra).decode())
        lines.append(f"index {self.index}")
        lines.extend(base64.b64encode(item).decode() for item in self.proof)
        return "\n".join(lines).encode() + b"\n\n" + self.checkpoint


def verify_receipt(
    receipt: bytes, key: VerifierKey, entry: bytes | None = None
) -> tuple[Receipt, Checkpoint]:
    """The receipt and its checkpoint, once `entry` (default: the one in `extra`) is proved to be logged."""
    parsed = Receipt.parse(receipt)
    checkpoint = verify_checkpoint(parsed.checkpoint, key)
    content = parsed.extra if entry is None else entry
    if content is None:
        raise NoteError("the receipt holds no entry; the entry it is for must be given")
    if not verify_inclusion(leaf_hash(content), parsed.index, checkpoint.size, parsed.proof, checkpoint.root):
        raise SignatureMismatchError(
            f"the proof does not lead from the entry at {parsed.index} to the signed root"
        )
    return parsed, checkpoint


# --- tiles (C2SP tlog-tiles) -------------------------------------------------------------------------------


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile (`level` 0-63) or entry bundle (`level` "entries"), partial if `width` < 256."""
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03d}")
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(parts))}{suffix}"


def split_bundle(bundle: bytes) -> list[bytes]:
    """Entries of a bundle (big-endian uint16 lengths). ValueError if a length runs past the end."""
    entries, position = [], 0
    while position < len(bundle):
        start = position + 2
        position = start + int.from_bytes(bundle[position:start], "big")
        if start > len(bundle) or position > len(bundle):
            raise ValueError("an entry runs past the end of its bundle")
        entries.append(bundle[start:position])
    return entries


# --- entries, heads, commitments ---------------------------------------------------------------------------


def salted(salt: bytes, data: bytes) -> bytes:
    """The commitment SHA-256(salt ‖ data). ValueError unless the salt has 16 bytes: that marks the border."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return sha256(salt + data).digest()


def pseudonym(salt: bytes, kind: str, identifier: str) -> bytes:
    """SHA-256(salt ‖ canonical JSON [kind, id]); a workspace is of the kind "workspace"."""
    try:
        return salted(salt, f"[{_encode_string(kind)},{_encode_string(identifier)}]".encode())
    except UnicodeEncodeError as error:
        raise CanonicalError("a lone surrogate is not text") from error


class Envelope(NamedTuple):
    """One entry of the log; digests are 64 hexadecimal digits; `previous` is None when subject_seq is 1."""

    event_id: str
    head: str
    previous: str | None
    rest: str
    subject: str
    subject_seq: int
    workspace: str


_HEX = "[0-9a-f]"
_ENVELOPE = re.compile(
    rf'\{{"event_id":"({_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}})","head":"({_HEX}{{64}})",'
    rf'"previous":(?:null|"({_HEX}{{64}})"),"rest":"({_HEX}{{64}})","subject":"({_HEX}{{64}})",'
    rf'"subject_seq":([1-9][0-9]{{0,14}}),"v":1,"workspace":"({_HEX}{{64}})"\}}'
)


def parse_envelope(entry: bytes) -> Envelope:
    """The envelope in an entry. Its canonical form has one spelling, so a pattern is the whole grammar."""
    match = _ENVELOPE.fullmatch(entry.decode("latin-1"))
    if match is None:
        raise ValueError("the entry is not a version 1 envelope in canonical JSON")
    event_id, head, previous, rest, subject, number, workspace = match.groups()
    seq = int(number)
    if (previous is None) != (seq == 1):
        raise ValueError("only the first event of a subject has no previous one")
    return Envelope(event_id, head, previous, rest, subject, seq, workspace)


class Head(NamedTuple):
    """What may be filtered on. `at` is RFC 3339 in UTC with six decimals, so it sorts as text."""

    actor_id: str
    actor_kind: str
    at: str
    correlation_id: str | None
    outcome: str
    request_id: str | None
    subject_id: str
    subject_kind: str
    verb: str
    workspace: str


_STRING = (
    r'"([^"\\\x00-\x1f\ud800-\udfff]*(?:\\(?:["\\bfnrt]|u00[01][0-9a-f])[^"\\\x00-\x1f\ud800-\udfff]*)*)"'
)
_TIME = r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{6}Z"
_TIME_PATTERN = re.compile(_TIME)
_HEAD = re.compile(
    rf'\{{"actor":\{{"id":{_STRING},"kind":{_STRING}\}},"at":"({_TIME})","correlation_id":(?:null|{_STRING}),'
    rf'"outcome":{_STRING},"request_id":(?:null|{_STRING}),"subject":\{{"id":{_STRING},"kind":{_STRING}\}},'
    rf'"verb":{_STRING},"workspace":{_STRING}\}}'
)


def _head_at(text: str, start: int) -> tuple[Head, int]:
    match = _HEAD.match(text, start)
    if match is None:
        raise ValueError("the head is not a version 1 head in canonical JSON")
    stretch = match[0]
    if "\\" in stretch:  # rare: let the strict reader undo the escapes, and refuse those that need none
        value, _ = _canonical_at(stretch, 0)
        return head_from(value), match.end()
    return Head(*match.groups()), match.end()


def head_from(value: Mapping[str, Any]) -> Head:
    """Head of the JSON object `{actor{id,kind}, at, correlation_id, …}`; KeyError if a member is missing."""
    actor, subject = value["actor"], value["subject"]
    return Head(
        actor["id"],
        actor["kind"],
        value["at"],
        value["correlation_id"],
        value["outcome"],
        value["request_id"],
        subject["id"],
        subject["kind"],
        value["verb"],
        value["workspace"],
    )


def parse_head(data: bytes) -> Head:
    """Head of canonical JSON bytes (ValueError)."""
    text = data.decode()
    head, end = _head_at(text, 0)
    if end != len(text):
        raise ValueError("something follows the head")
    return head


class Line(NamedTuple):
    """One line of events.jsonl. `head_text` and `rest_text` are the committed bytes."""

    entry: int
    head: Head
    head_text: bytes
    head_salt: bytes
    rest_text: bytes | None
    rest_salt: bytes | None
    rest: Any
    subject_salt: bytes
    workspace_salt: bytes
    texts: dict[str, tuple[str, bytes]]


_SALT = rf'"({_HEX}{{{2 * SALT_BYTES}}})"'
_AFTER_HEAD = re.compile(rf',"head_salt":{_SALT},"index":(0|[1-9][0-9]{{0,18}}),')
_AFTER_REST = re.compile(rf',"rest_salt":{_SALT},')
_SUBJECT_SALT = re.compile(rf'"subject_salt":{_SALT},')
_WORKSPACE_SALT = re.compile(rf'"workspace_salt":{_SALT}\}}')


def _expect(pattern: re.Pattern[str], text: str, position: int) -> re.Match[str]:
    match = pattern.match(text, position)
    if match is None:
        raise ValueError(f"the line does not have the form of an event at character {position}")
    return match


def parse_line(data: bytes) -> Line:
    """One line without its newline: canonical JSON with exactly the known members (ValueError)."""
    text = data.decode()
    if not text.startswith('{"head":'):
        raise ValueError("the line is not an event in canonical JSON")
    head, end = _head_at(text, 8)
    head_text = text[8:end].encode()
    match = _expect(_AFTER_HEAD, text, end)
    head_salt, index, position = match[1], int(match[2]), match.end()
    rest_text = rest_salt = rest = None
    if text.startswith('"rest":', position):
        rest, end = _canonical_at(text, position + 7)
        if not isinstance(rest, dict):
            raise ValueError("the rest is not an object")
        rest_text = text[position + 7 : end].encode()
        match = _expect(_AFTER_REST, text, end)
        rest_salt, position = bytes.fromhex(match[1]), match.end()
    match = _expect(_SUBJECT_SALT, text, position)
    subject_salt, position = match[1], match.end()
    texts: dict[str, tuple[str, bytes]] = {}
    if text.startswith('"texts":', position):
        value, position = _canonical_at(text, position + 8)
        texts = _texts(value)
        if not text.startswith(",", position):
            raise ValueError("the line does not have the form of an event")
        position += 1
    match = _expect(_WORKSPACE_SALT, text, position)
    if match.end() != len(text):
        raise ValueError("something follows the event")
    return Line(
        index,
        head,
        head_text,
        bytes.fromhex(head_salt),
        rest_text,
        rest_salt,
        rest,
        bytes.fromhex(subject_salt),
        bytes.fromhex(match[1]),
        texts,
    )


def _texts(value: Any) -> dict[str, tuple[str, bytes]]:
    texts = {}
    if not isinstance(value, dict) or not value:
        raise ValueError("the texts are not an object with members")
    for name, item in value.items():
        if not isinstance(item, dict) or set(item) != {"salt", "text"} or not isinstance(item["text"], str):
            raise ValueError("a text is not of the form {salt, text}")
        if not isinstance(item["salt"], str) or not re.fullmatch(_SALT, f'"{item["salt"]}"'):
            raise ValueError("the salt of a text is not 32 hexadecimal digits")
        texts[name] = (item["text"], bytes.fromhex(item["salt"]))
    return texts


# --- the quick reader --------------------------------------------------------------------------------------
#
# Nearly every line has one form to the letter. For those a pattern over the bytes is the whole grammar, and the entry
# is not read but written anew, from what the line discloses, and compared. The quick reader only ever says that all is
# well; what does not fit goes to the careful one above, which alone finds problems.

_BLOCK = 1 << 18  # bytes of events.jsonl at once


def _line_pattern(string: str) -> re.Pattern[bytes]:
    """A line with such strings. Groups: head, names (of subject, verb and workspace in it), head salt, index, rest, its
    detail, params and texts if they are not empty, rest salt, other salts, texts.

    Where an object with free members ends is told by what follows it; whether it is canonical is asked of `_Pieces`,
    and whether salts are hexadecimal where they are used.
    """
    maybe, salt = f"(?:null|{string})", '"(.{32})"'
    item, actor = rf'\{{"digest":{string},"kind":{string}\}}', rf'\{{"id":{string},"kind":{string}\}}'

    def free(following: str) -> str:
        return rf"(?:\{{\}}|(\{{[^{{}}\n]*\}}|\{{[^,\n]*(?:,(?!{following})[^,\n]*)*\}}))"

    detail, params = free(r'"evidence":\['), free(r'"subject":\{"digest":')
    head = (
        rf'(\{{"actor":{actor},"at":"{_TIME}","correlation_id":{maybe},"outcome":{string},"request_id":{maybe},'
        rf'"subject":\{{"id":({string},"kind":{string}\}},"verb":{string},"workspace":{string})\}})'
    )
    rest = (
        rf'(\{{"after":{maybe},"before":{maybe},"detail":{detail},'
        rf'"evidence":\[(?:{item}(?:,{item})*)?\],"on_behalf_of":(?:null|{actor}),'
        rf'"policy":(?:null|\{{"digest":{string},"id":{string},"version":(?:0|[1-9][0-9]{{0,14}})\}}),'
        rf'"reason":(?:null|\{{"code":{string},"params":{params}\}}),'
        rf'"subject":\{{"digest":{maybe},"label":{string}\}},"texts":(?:\{{\}}|(\{{[^{{}}\n]*\}}))\}})'
    )
    line = (
        rf'\{{"head":{head},"head_salt":{salt},"index":(0|[1-9][0-9]{{0,18}}),(?:"rest":{rest},"rest_salt":{salt},)?'
        r'"subject_salt":(".{32}",(?:"texts":(\{.*\}),)?"workspace_salt":".{32}")\}\n'
    )
    return re.compile(line.encode())


_Plain = re.Match[bytes]
_PLAIN_LINE = _line_pattern('"[^"]*"')  # in a block without backslashes and control characters
_LINE = _line_pattern(r'"[^"\\\x00-\x1f]*"')
_PLAIN_BYTES = bytes(63 if (byte < 32 and byte != 10) or byte == 92 else byte for byte in range(256))
_EVENT_IDS = re.compile(rf"(?:{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}})*")


def _bulk_float(digits: str) -> float:
    """Whether Python writes it as it was is seen when all is written again; with these forms that would say nothing."""
    if digits.endswith(".0") or "e" in digits or "E" in digits:
        raise _SlowPath
    return float(digits)


_BULK = json.JSONDecoder(parse_float=_bulk_float, parse_int=_fast_integer, parse_constant=_refuse_constant)


class _Pieces:
    """Whether pieces of lines, each from a brace to a brace, are canonical objects: many together, or else one by one.

    Together they are read as one array, with a string between each two that nobody could know before. Where every
    second value is that string, no piece is more or less than one value.
    """

    def __init__(self) -> None:
        self._between = os.urandom(16).hex()
        self._known: set[bytes] = set()

    def all_canonical(self, pieces: list[bytes]) -> bool:
        if not all(map(_shallow, pieces)):
            return False
        text = "[" + f',"{self._between}",'.join([piece.decode() for piece in pieces]) + "]"
        try:
            values = _BULK.decode(text)
        except (ValueError, _SlowPath):
            return False
        between = values[1::2]
        return (
            between.count(self._between) == len(between) == len(pieces) - 1
            and (text.isascii() or max(text) <= "\uffff")
            and _fast_encode(values) == text
        )

    def is_canonical(self, piece: bytes) -> bool:
        if piece not in self._known:
            try:
                parse_canonical(piece)
            except ValueError:
                return False
            if len(self._known) < 4096 and len(piece) < 512:
                self._known.add(piece)
        return _shallow(piece)


def _fits(texts: bytes, committed: bytes) -> bool:
    """Whether the texts of a line are those that its rest, whose `texts` is canonical, commits to."""
    try:
        told, commitments = _texts(parse_canonical(texts)), json.loads(committed)
        return all(
            salted(salt, text.encode()).hex() == commitments.get(name) for name, (text, salt) in told.items()
        )
    except ValueError:
        return False


def _shallow(piece: bytes) -> bool:
    return len(piece) < 128 or piece.count(b"{") + piece.count(b"[") < 64


def _split(block: bytes) -> list[_Plain | bytes]:
    *lines, rest = block.split(b"\n")
    return [*(line + b"\n" for line in lines), *([rest] if rest else [])]


def _lines_of(block: bytes, pieces: _Pieces) -> list[_Plain | bytes]:
    """The lines of a block: groups where they have the one form, else bytes with their newline."""
    try:
        block.decode()
    except UnicodeDecodeError:
        return _split(block)
    if len(block) > 2 * _BLOCK:  # a line so long that it may be too long
        return _split(block)
    plain = block.translate(_PLAIN_BYTES) == block
    lines, free = _matched(block, _PLAIN_LINE if plain else _LINE)
    if not free or pieces.all_canonical(free):
        return lines
    return [
        line if isinstance(line, bytes) or all(map(pieces.is_canonical, _free(line))) else line[0]
        for line in lines
    ]


def _free(line: _Plain) -> list[bytes]:
    return [piece for piece in line.group(6, 7, 8) if piece is not None]


def _matched(block: bytes, pattern: re.Pattern[bytes]) -> tuple[list[_Plain | bytes], list[bytes]]:
    """The lines, and those of their pieces that must be canonical objects."""
    lines: list[_Plain | bytes] = []
    free: list[bytes] = []
    position, length, match = 0, len(block), pattern.match
    while position < length:
        line = match(block, position)
        end = block.find(b"\n", position) + 1 or length
        if line is not None and line.end() == end:  # not where a string goes on in the next line
            lines.append(line)
            for piece in line.group(6, 7, 8):
                if piece is not None:
                    free.append(piece)
        else:
            lines.append(block[position:end])
        position = end
    return lines, free


# --- what an export promises -------------------------------------------------------------------------------


class Scope:
    """Whose heads are all disclosed: the whole log, one workspace, or some subjects.

    JSON: `{"kind":"log"}`, `{"kind":"workspace","id":…,"salt":…}` or
    `{"kind":"subjects","subjects":[{"id":…,"kind":…,"salt":…}, …]}`; salts in hexadecimal. The salts give the
    pseudonyms, so the entries in scope are known before, and without, any line of events.jsonl.
    """

    def __init__(self, value: Any) -> None:
        self.kind = _member(value, "kind", str)
        self.workspaces: set[str] = set()
        self.subjects: set[str] = set()
        if self.kind == "log":
            _only(value, {"kind"})
        elif self.kind == "workspace":
            _only(value, {"kind", "id", "salt"})
            self.workspaces.add(pseudonym(_salt(value), "workspace", _member(value, "id", str)).hex())
        elif self.kind == "subjects":
            _only(value, {"kind", "subjects"})
            for item in _member(value, "subjects", list):
                _only(item, {"kind", "id", "salt"})
                digest = pseudonym(_salt(item), _member(item, "kind", str), _member(item, "id", str))
                self.subjects.add(digest.hex())
        else:
            raise ValueError("the scope's kind is not log, workspace or subjects")

    def key(self, workspace: str, subject: str) -> str | None:
        """Which of an entry's pseudonyms puts it in scope ("" when the whole log is), None when it is outside."""
        if self.kind == "log":
            return ""
        if workspace in self.workspaces:
            return workspace
        return subject if subject in self.subjects else None


class Filter:
    """Which heads in scope come with their rest. Members are joined by «and», the values of a member by «or».

    JSON, every member optional: `verb`, `outcome`, `request_id`, `correlation_id`: list of strings;
    `actor`, `subject`: list of `{"id":…, "kind":…}`, either may be missing; `from` ≤ at < `to`: RFC 3339
    in UTC with six decimals; `sample`: `{"per_million":n, "seed":s}`, which takes the entries whose
    SHA-256("seed:index"), its first 8 bytes modulo 1,000,000, is below n. `{}` takes everything.
    """

    MEMBERS = {"verb", "outcome", "request_id", "correlation_id", "actor", "subject", "from", "to", "sample"}

    def __init__(self, value: Any) -> None:
        if not isinstance(value, dict) or not set(value) <= self.MEMBERS:
            raise ValueError(f"the filter may only hold {', '.join(sorted(self.MEMBERS))}")
        self.everything = not value
        self.values: dict[str, frozenset[str]] = {}
        for name in ("verb", "outcome", "request_id", "correlation_id"):
            if name in value:
                items = _member(value, name, list)
                if not all(isinstance(item, str) for item in items):
                    raise ValueError(f"{name} is not a list of strings")
                self.values[name] = frozenset(items)
        self.references: dict[str, frozenset[tuple[str | None, str | None]]] = {}
        for name in ("actor", "subject"):
            if name in value:
                self.references[name] = frozenset(_reference(item) for item in _member(value, name, list))
        self.bounds = {name: _member(value, name, str) for name in ("from", "to") if name in value}
        if not all(_TIME_PATTERN.fullmatch(bound) for bound in self.bounds.values()):
            raise ValueError("from and to are RFC 3339 times in UTC with six decimals")
        self.sample: tuple[str, int] | None = None
        if "sample" in value:
            _only(value["sample"], {"per_million", "seed"})
            rate = _member(value["sample"], "per_million", int)
            if isinstance(rate, bool) or not 0 <= rate <= 1_000_000:
                raise ValueError("per_million is between 0 and 1,000,000")
            self.sample = (_member(value["sample"], "seed", str), rate)

    def matches(self, head: Head, index: int) -> bool:
        if self.everything:
            return True
        if any(getattr(head, name) not in values for name, values in self.values.items()):
            return False
        for name, wanted in self.references.items():
            kind, identifier = getattr(head, f"{name}_kind"), getattr(head, f"{name}_id")
            if not wanted & {(kind, identifier), (kind, None), (None, identifier)}:
                return False
        if "from" in self.bounds and head.at < self.bounds["from"]:
            return False
        if "to" in self.bounds and head.at >= self.bounds["to"]:
            return False
        if self.sample is None:
            return True
        return sampled(*self.sample, index)


def sampled(seed: str, per_million: int, index: int) -> bool:
    """Whether the entry at `index` is in the sample: SHA-256("seed:index"), its first 8 bytes modulo 1,000,000."""
    return int.from_bytes(sha256(f"{seed}:{index}".encode()).digest()[:8], "big") % 1_000_000 < per_million


def _only(value: Any, names: set[str]) -> None:
    if not isinstance(value, dict) or set(value) != names:
        raise ValueError(f"an object does not have exactly the members {', '.join(sorted(names))}")


def _member(value: Any, name: str, kind: type) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get(name), kind):
        raise ValueError(f"{name} is missing or not {kind.__name__}")  # noqa: TRY004 - input, not a bug
    return value[name]


def _salt(value: Any) -> bytes:
    digits = _member(value, "salt", str)
    if not re.fullmatch(_SALT, f'"{digits}"'):
        raise ValueError("a salt is not 32 hexadecimal digits")
    return bytes.fromhex(digits)


def _reference(value: Any) -> tuple[str | None, str | None]:
    if not isinstance(value, dict) or not value or not set(value) <= {"kind", "id"}:
        raise ValueError("an actor or subject of the filter is not {id, kind}")
    if not all(isinstance(item, str) for item in value.values()):
        raise ValueError("an actor or subject of the filter is not a pair of strings")
    return value.get("kind"), value.get("id")


COMPLETENESS = ("full", "filtered", "none")


@dataclass(frozen=True)
class Manifest:
    """export.json. Everything is checked against the log except `stated`: what only people can judge
    (query as typed, parameters, time zone, when and by whom it was exported).

    completeness: "full" = every event of the log; "filtered" = all heads of the scope, the rest for matches
    of the filter; "none" = scope and filter are null, and events may have been left out.
    """

    log: dict[str, Any]
    scope: Scope | None
    filter: Filter | None
    completeness: str
    heads: int
    matches: int
    counts: dict[str, int]
    stated: dict[str, Any]
    pruned: int | None = None  # the entry that tells which events of the workspace were pruned

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        value = parse_canonical(data.removesuffix(b"\n"))
        pruned = value.pop("pruned", None) if isinstance(value, dict) else None
        if pruned is not None and (type(pruned) is not int or pruned < 0):
            raise ValueError("pruned is no entry")
        _only(value, {"v", "log", "scope", "filter", "completeness", "heads", "matches", "counts", "stated"})
        completeness = value["completeness"]
        if type(value["v"]) is not int or value["v"] != 1 or completeness not in COMPLETENESS:
            raise ValueError("it is not version 1 with a completeness of full, filtered or none")
        _only(value["log"], {"origin", "size", "root"})
        if completeness == "none":
            if value["scope"] is not None or value["filter"] is not None:
                raise ValueError("without completeness there is no scope and no filter")
            scope, chosen = None, None
        else:
            scope, chosen = Scope(value["scope"]), Filter(value["filter"])
            if (scope.kind == "log" and chosen.everything) != (completeness == "full"):
                raise ValueError("full means: the whole log and no filter")
        counts = _member(value, "counts", dict)
        numbers = [value["heads"], value["matches"], *counts.values()]
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("a count is not a number")
        stated = _member(value, "stated", dict)
        return cls(
            value["log"],
            scope,
            chosen,
            completeness,
            value["heads"],
            value["matches"],
            counts,
            stated,
            pruned,
        )


# --- the export on disk ------------------------------------------------------------------------------------

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_OPEN_FLAGS = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class _Folder:
    """Reads plain files below one folder. Paths follow from the log's size, none is taken from the export."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: set[str] = {""}
        if not root.is_dir():
            raise UnreadableError(f"{_plain(str(root))} is not a folder")

    def _check(self, folder: str) -> None:
        """A link could lead out of the export: what is verified must be what is handed over."""
        if folder in self._checked:
            return
        self._check(folder.rpartition("/")[0])
        if (self.root / folder).is_symlink():
            raise UnreadableError(f"{folder} is a symbolic link; an export holds plain files")
        self._checked.add(folder)

    def open(self, relative: str) -> BinaryIO:
        self._check(relative.rpartition("/")[0])
        path = os.path.join(self.root, relative)
        if not _NO_FOLLOW and os.path.islink(path):
            raise UnreadableError(f"{relative} is a symbolic link; an export holds plain files")
        try:
            descriptor = os.open(path, _OPEN_FLAGS)
        except FileNotFoundError as error:
            raise UnreadableError(f"{relative} is missing; the export is not whole") from error
        except OSError as error:
            if os.path.islink(path):
                raise UnreadableError(
                    f"{relative} is a symbolic link; an export holds plain files"
                ) from error
            raise UnreadableError(f"{relative} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnreadableError(f"{relative} is not a plain file")
        return os.fdopen(descriptor, "rb")

    def read(self, relative: str, limit: int) -> bytes:
        try:
            with self.open(relative) as handle:
                data = handle.read(min(limit, os.fstat(handle.fileno()).st_size) + 1)
        except OSError as error:
            raise UnreadableError(f"{relative} cannot be read: {error.strerror}") from error
        if len(data) > limit:
            raise UnreadableError(f"{relative} is longer than the {limit:,} bytes it may have")
        return data


@dataclass(frozen=True)
class Problem:
    """Why the export is not what was logged. `index` is the entry's place in the log where one is known."""

    code: str
    sentence: str
    index: int | None = None

    def __str__(self) -> str:
        place = "" if self.index is None else f"entry {self.index}: "
        return f"{place}{self.sentence} [{self.code}]"


@dataclass
class Report:
    """What was found. Only the first 100 problems are kept; `problem_count` counts all of them."""

    origin: str = ""
    size: int = 0
    root: bytes = b""
    completeness: str = "none"
    heads: int = 0
    matches: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    pruned: int = 0  # events in scope that are in earlier exports only, as the log says
    pruned_to: list[dict[str, Any]] = field(
        default_factory=list
    )  # those exports: {export, export_digest, count}
    key_checked: bool = False
    previous_size: int | None = None
    stated: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0

    @property
    def verified(self) -> bool:
        return self.problem_count == 0

    @property
    def exit_code(self) -> int:
        return VERIFIED if self.verified else TAMPERED

    def problem(self, code: str, sentence: str, index: int | None = None) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_LISTED:
            self.problems.append(Problem(code, sentence, index))


_NOTHING = (0, b"")


class _Chains:
    """Every subject's events are numbered without a gap and linked. Tree order is not causal: a later event
    may come first; it waits in `early` until the gap closes. Memory: one item per subject."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.newest: dict[bytes, tuple[int, bytes]] = {}
        self.early: dict[tuple[bytes, int], tuple[int, str, bytes]] = {}

    def add(self, index: int, envelope: Envelope, digest: bytes) -> None:
        subject = bytes.fromhex(envelope.subject)
        seq, before = self.newest.get(subject, _NOTHING)
        if envelope.subject_seq <= seq or (subject, envelope.subject_seq) in self.early:
            self.report.problem(
                "seq_repeated", f"number {envelope.subject_seq} of its subject appears a second time", index
            )
        elif envelope.subject_seq > seq + 1:
            self.early[subject, envelope.subject_seq] = (index, envelope.previous or "", digest)
        else:
            self._link(index, envelope.previous or "", before)
            seq, before = seq + 1, digest
            while self.early and (later := self.early.pop((subject, seq + 1), None)):
                self._link(later[0], later[1], before)
                seq, before = seq + 1, later[2]
            self.newest[subject] = (seq, before)

    def follow(self, subject: bytes, seq: int, previous: str, digest: bytes) -> bool:
        """The usual case: it is the next of its subject and linked to the last. Else False, and nothing is done."""
        newest, before = self.newest.get(subject, _NOTHING)
        if self.early or seq != newest + 1 or previous != before.hex():
            return False
        self.newest[subject] = (seq, digest)
        return True

    def _link(self, index: int, previous: str, before: bytes) -> None:
        if previous != before.hex():
            self.report.problem(
                "previous_differs", "it does not carry the digest of its subject's previous event", index
            )

    def finish(self) -> None:
        for subject, seq in sorted(self.early, key=lambda key: self.early[key][0]):
            if (subject, seq - 1) not in self.early:
                missing = self.newest.get(subject, _NOTHING)[0] + 1
                self.report.problem(
                    "seq_missing",
                    f"it is number {seq} of its subject {subject.hex()[:12]}…, but the log has no number"
                    f" {missing}: an event was taken out before it was covered by a checkpoint",
                    self.early[subject, seq][0],
                )


class _Lines:
    """The lines of events.jsonl in order of index. A bad line is a problem and is skipped."""

    quick = True  # the tests compare with what is found without

    def __init__(self, handle: BinaryIO, report: Report, stop: int | None = None) -> None:
        """Reads from where `handle` is; `stop` is the byte where somebody else goes on."""
        self.report = report
        self.number, self.last = 0, -1  # of the lines read; the index of the last good one
        self.waiting: deque[_Plain | bytes] = deque()
        self._blocks = self._read(handle, None if stop is None else stop - handle.tell())
        self._next: Line | None = None
        self._pieces = _Pieces()

    def _read(self, handle: BinaryIO, length: int | None) -> Iterator[bytes]:
        """Blocks of whole lines."""
        while block := handle.read(_BLOCK if length is None else max(0, min(_BLOCK, length))):
            start = block.rfind(b"\n") + 1
            if start < len(block):
                block += handle.readline(MAX_LINE + 1 - (len(block) - start))
            length = None if length is None else length - len(block)
            yield block

    def more(self) -> bool:
        """Whether a line is waiting, now that it has been looked for."""
        if not self.waiting and (block := next(self._blocks, None)) is not None:
            self.waiting.extend(_lines_of(block, self._pieces) if self.quick else _split(block))
        return bool(self.waiting)

    @property
    def next(self) -> Line | None:
        """The next good line, read carefully. It stays the next until it is taken."""
        while self._next is None and self.more():
            waiting = self.waiting.popleft()
            self.number += 1
            self._next = self._judged(waiting if isinstance(waiting, bytes) else waiting[0])
        return self._next

    def _judged(self, data: bytes) -> Line | None:
        number = self.number
        if len(data) > MAX_LINE:
            self.report.problem(
                "line_too_long", f"events.jsonl line {number} is longer than {MAX_LINE:,} bytes"
            )
            self.waiting.clear()
            self._blocks = iter(())
            return None
        if not data.endswith(b"\n"):
            self.report.problem("line_truncated", f"events.jsonl line {number}, the last, breaks off")
        try:
            line = parse_line(data.removesuffix(b"\n"))
        except UnicodeDecodeError:
            self.report.problem("line_malformed", f"events.jsonl line {number}: not UTF-8")
            return None
        except (ValueError, KeyError, TypeError) as error:
            self.report.problem("line_malformed", f"events.jsonl line {number}: {error}")
            return None
        if line.entry <= self.last:
            self.report.problem(
                "line_order",
                f"events.jsonl line {number} repeats or goes back from entry {self.last} to {line.entry}",
                line.entry,
            )
            return None
        self.last = line.entry
        return line

    def plain(self, most: int) -> list[_Plain]:
        """The next lines that were matched, up to the first that must be read carefully."""
        if self._next is not None or not self.more():
            return []
        plain = []
        for line in islice(self.waiting, most):
            if isinstance(line, bytes):
                break
            plain.append(line)
        return plain

    def skip(self, count: int, last: int) -> None:
        """So many of them were good, the last one that of entry `last`."""
        for _ in range(count):
            self.waiting.popleft()
        self.number += count
        self.last = last

    def take(self, index: int) -> Line | None:
        line = self.next
        if line is None or line.entry != index:
            return None
        self._next = None
        return line


# What follows from the names and salts in a line: the subject's pseudonym as bytes, it and the workspace's in
# hexadecimal, the verb, and what puts it in scope.
_About = tuple[bytes, str, str, str, str | None]


class _Walk:
    """One pass over bundles, tiles and lines."""

    def __init__(self, folder: _Folder, checkpoint: Checkpoint, manifest: Manifest, report: Report) -> None:
        self.folder, self.size, self.report = folder, checkpoint.size, report
        self.scope, self.filter, self.manifest = manifest.scope, manifest.filter, manifest
        self.chains: _Chains | _Runs = _Chains(report)
        self.seen_scope: set[str] = set()
        self.known: dict[tuple[bytes, bytes], _About] = {}
        # levels[l] holds the hashes of tile level l not yet folded into a full tile: at most 256 each.
        self.levels: list[list[bytes]] = [[]]
        self.files = 0
        self.absent: list[bytes] = []  # event id and digest of each entry in scope that is not disclosed
        self.told: Any = None  # what the log says was pruned

    def run(self, lines: _Lines, previous: Checkpoint | None) -> bytes:
        """The root over all entries."""
        for start in range(0, self.size, TILE_WIDTH):
            width = min(TILE_WIDTH, self.size - start)
            hashes = self._bundle(start, width, lines)
            if previous is not None and start < previous.size <= start + width:
                old = root_from_levels([hashes[: previous.size - start], *self.levels[1:]])
                if old != previous.root:
                    self._forked(previous)
            self.levels[0] = hashes
            if width == TILE_WIDTH:
                self._fold(0, start // TILE_WIDTH)
        root = root_from_levels(self.levels)
        self._right_edge()
        self.chains.finish()
        while (line := lines.next) is not None:
            lines.take(line.entry)
            self.report.problem(
                "line_beyond", "events.jsonl discloses an entry the log does not have", line.entry
            )
        return root

    def _forked(self, previous: Checkpoint) -> None:
        self.report.problem(
            "history_differs",
            f"the first {previous.size:,} entries are not those of the earlier checkpoint:"
            " history was rewritten",
        )

    def _bundle(self, start: int, width: int, lines: _Lines) -> list[bytes]:
        path = tile_path("entries", start // TILE_WIDTH, width)
        data = self.folder.read(path, TILE_WIDTH * (MAX_ENTRY + 2))
        self.files += 1
        try:
            entries = split_bundle(data)
        except ValueError as error:
            raise _BrokenBundle(f"{path}: {error}", start) from error
        if len(entries) != width:
            raise _BrokenBundle(f"{path} holds {len(entries)} entries instead of {width}", start)
        hashes = [sha256(b"\x00" + entry).digest() for entry in entries]
        stored = self._tile(0, start // TILE_WIDTH, width)
        if stored != b"".join(hashes):
            for offset, digest in enumerate(hashes):
                if stored[32 * offset : 32 * offset + 32] != digest:
                    self.report.problem(
                        "leaf_differs",
                        "the entry in the bundle is not the one hashed in tile/0",
                        start + offset,
                    )
        self._entries(start, entries, hashes, lines)
        return hashes

    def _entries(self, start: int, entries: list[bytes], hashes: list[bytes], lines: _Lines) -> None:
        """Each entry with its line: many together while all is well, else one by one and carefully."""
        done = 0
        while done < len(entries):
            well, tried = self._together(start + done, entries[done:], hashes[done:], lines)
            for offset in range(done + well, done + tried):
                self._entry(start + offset, entries[offset], hashes[offset], lines.take(start + offset))
            done += tried

    def _together(
        self, start: int, entries: list[bytes], hashes: list[bytes], lines: _Lines
    ) -> tuple[int, int]:
        """How many of the entries, from the first on, are well and counted, and how many were tried. Of those between
        nothing was done: they are for the careful reader.
        """
        plain = lines.plain(len(entries) + 1)
        places = [int(line[4]) for line in plain]
        if not plain or places[0] < start or not all(map(lt, places, places[1:])):
            return 0, 1
        count = bisect_left(places, start + len(entries))
        # With a line beyond, the entries up to there have no others; without, nothing is known after the last.
        tried = len(entries) if count < len(places) else places[-1] - start + 1
        texts = [entry.decode("latin-1") for entry in entries[:tried]]
        event_ids = "".join([text[13:49] for text in texts])
        if len(event_ids) != 36 * tried or not _EVENT_IDS.fullmatch(event_ids):
            return 0, tried
        disclosed, follow = self._disclosed_by(plain[:count], places), self.chains.follow
        verbs: list[str] = []
        used, place, seen = 0, places[0], self.seen_scope
        try:
            for index, text, digest in zip(range(start, start + tried), texts, hashes, strict=False):
                if index != place:
                    self._entry(index, entries[index - start], digest, None)
                    continue
                (subject_digest, subject, workspace, verb, scope), head, rest = next(disclosed)
                if text[136:137] == '"':
                    previous, seq = text[137:201], int(text[368:-86])
                    written = f'"{previous}"'
                else:
                    previous, seq, written = "", 1, "null"
                if text != (
                    f'{{"event_id":"{text[13:49]}","head":"{head}","previous":{written},'
                    f'"rest":"{rest or parse_envelope(entries[index - start]).rest}","subject":"{subject}",'
                    f'"subject_seq":{seq},"v":1,"workspace":"{workspace}"}}'
                ):
                    break
                if not follow(subject_digest, seq, previous, digest):
                    break
                used += 1
                place = places[used] if used < count else -1
                if scope is not None and scope not in seen:
                    seen.add(scope)
                if rest is not None:
                    verbs.append(verb)
            else:
                index += 1
        except ValueError:
            pass
        if used:
            lines.skip(used, places[used - 1])
        report = self.report
        report.heads += used
        report.matches += len(verbs)
        for verb, number in Counter(verbs).items():
            report.counts[verb] = report.counts.get(verb, 0) + number
        return index - start, tried

    def _disclosed_by(
        self, lines: list[_Plain], places: list[int]
    ) -> Iterator[tuple[_About, str, str | None]]:
        """What each line is about, and the digests of its head and of its rest, if that is there. ValueError from the
        first on that is not as it should be.
        """
        known, chosen = self.known, self.filter
        some = chosen is not None and not chosen.everything
        for index, line in zip(places, lines, strict=False):
            head, names, head_salt, _, rest, _, _, commitments, rest_salt, salts, texts = line.groups()
            if texts is not None:
                salts = salts[:35] + salts[-51:]
            about = known.get((names, salts)) or self._learn(names, salts)
            if index == self.manifest.pruned:
                raise ValueError("what it says was pruned is for the careful reader")
            if chosen is not None and (rest is None) != (
                some and not chosen.matches(parse_head(head), index)
            ):
                raise ValueError("its rest is there and should not be, or the other way round")
            if texts is not None and (rest is None or not _fits(texts, commitments or b"{}")):
                raise ValueError("its texts are not those committed to")
            if not head_salt.islower() or not (rest is None or rest_salt.islower()):
                raise ValueError("a salt is not in lower case")
            yield (
                about,
                sha256(unhexlify(head_salt) + head).hexdigest(),
                None if rest is None else sha256(unhexlify(rest_salt) + rest).hexdigest(),
            )

    def _learn(self, names: bytes, salts: bytes) -> _About:
        """ValueError if a salt is not in hexadecimal, or the entry is not in scope."""
        _, subject_salt, _, _, _, workspace_salt, _ = salts.split(b'"')
        if not (subject_salt.islower() and workspace_salt.islower()):
            raise ValueError("a salt is not in hexadecimal")
        _, identifier, _, _, _, kind, _, _, _, verb, _, _, _, name, _ = names.decode().split('"')
        digest = pseudonym(unhexlify(subject_salt), kind, identifier)
        workspace = pseudonym(unhexlify(workspace_salt), "workspace", name).hex()
        scope = None if self.scope is None else self.scope.key(workspace, digest.hex())
        if self.scope is not None and scope is None:
            raise ValueError("it is out of scope")
        about = digest, digest.hex(), workspace, verb, scope
        if len(self.known) >= 8192:
            self.known.clear()
        self.known[names, salts] = about
        return about

    def _tile(self, level: int, index: int, width: int) -> bytes:
        path = tile_path(level, index, width)
        data = self.folder.read(path, 32 * TILE_WIDTH)
        self.files += 1
        if len(data) != 32 * width:
            self.report.problem("tile_length", f"{path} has {len(data)} bytes instead of {32 * width}")
        return data

    def _fold(self, level: int, index: int) -> None:
        """A tile is full: its root is one hash of the level above."""
        row = self.levels[level]
        while len(row) > 1:
            row = _pairs(row)
        self.levels[level] = []
        self._raise(row[0], index, level)

    def _raise(self, root: bytes, index: int, level: int = 0) -> None:
        """`root` is that of the full tile `index` of `level`."""
        if level + 1 == len(self.levels):
            self.levels.append([])
        above = self.levels[level + 1]
        above.append(root)
        if len(above) == TILE_WIDTH:
            self._compare(level + 1, index // TILE_WIDTH, above)
            self._fold(level + 1, index // TILE_WIDTH)

    def _right_edge(self) -> None:
        for level, row in enumerate(self.levels):
            if level and row:
                self._compare(level, (self.size >> 8 * level) // TILE_WIDTH, row)

    def _compare(self, level: int, index: int, row: list[bytes]) -> None:
        if self._tile(level, index, len(row)) != b"".join(row):
            self.report.problem(
                "tile_differs", f"{tile_path(level, index, len(row))} is not the hash of the tiles below it"
            )

    def _entry(self, index: int, entry: bytes, digest: bytes, line: Line | None) -> None:
        try:
            envelope = parse_envelope(entry)
        except ValueError as error:
            self.report.problem("envelope_malformed", str(error), index)
            return
        self.chains.add(index, envelope, digest)
        covered_by = None if self.scope is None else self.scope.key(envelope.workspace, envelope.subject)
        if covered_by is not None:
            self.seen_scope.add(covered_by)
        if line is None:
            if covered_by is not None and self.manifest.pruned is not None:
                self.absent.append(bytes.fromhex(envelope.event_id.replace("-", "")) + digest)
            elif covered_by is not None:
                self.report.problem(
                    "head_missing",
                    "it is in the export's scope, but events.jsonl does not disclose it",
                    index,
                )
            return
        if self.scope is not None and covered_by is None:
            self.report.problem("out_of_scope", "it is disclosed, but outside the export's scope", index)
        self._disclosed(line, envelope)

    def _disclosed(self, line: Line, envelope: Envelope) -> None:
        problem, head = self.report.problem, line.head
        self.report.heads += 1
        if sha256(line.head_salt + line.head_text).hexdigest() != envelope.head:
            problem("head_differs", "the disclosed head is not the one the entry commits to", line.entry)
        if pseudonym(line.subject_salt, head.subject_kind, head.subject_id).hex() != envelope.subject:
            problem("subject_differs", "the subject in the head is not the entry's", line.entry)
        if pseudonym(line.workspace_salt, "workspace", head.workspace).hex() != envelope.workspace:
            problem("workspace_differs", "the workspace in the head is not the entry's", line.entry)
        extra = False
        if self.filter is not None and self.filter.matches(head, line.entry) != (line.rest_text is not None):
            if line.entry == self.manifest.pruned and line.rest_text is not None:
                extra = True  # it is there to say what was pruned, whatever the filter
            elif line.rest_text is None:
                problem("match_missing", "it matches the filter, but its rest is left out", line.entry)
            else:
                problem("match_extra", "it does not match the filter, but its rest is there", line.entry)
        if line.rest_text is None or line.rest_salt is None:
            if line.texts:
                problem(
                    "text_without_rest",
                    "texts are disclosed without the rest that commits to them",
                    line.entry,
                )
            return
        if not extra:
            self.report.matches += 1
            self.report.counts[head.verb] = self.report.counts.get(head.verb, 0) + 1
        if line.entry == self.manifest.pruned and (head.verb, head.outcome) == ("audit.pruned", "done"):
            self.told = json.loads(line.rest_text)["detail"]
        if sha256(line.rest_salt + line.rest_text).hexdigest() != envelope.rest:
            problem("rest_differs", "the disclosed rest is not the one the entry commits to", line.entry)
        commitments = line.rest.get("texts")
        for name, (text, salt) in line.texts.items():
            if not isinstance(commitments, dict) or salted(salt, text.encode()).hex() != commitments.get(
                name
            ):
                problem("text_differs", f"the text «{_plain(name)}» is not the one committed to", line.entry)


# --- several processes -------------------------------------------------------------------------------------

_LINE_INDEX = re.compile(rb',"head_salt":"[0-9a-f]{32}","index":([0-9]{1,19}),')
_MIN_SHARE = 16  # bundles; less is not worth a process


class _Runs:
    """The chains of a stretch of the log: per subject, runs of events that follow and link to each other, as
    [first number, its previous, last number, its digest]. Put together and judged by `_linked`.
    """

    def __init__(self) -> None:
        self.of: dict[bytes, list[list[Any]]] = {}

    def add(self, index: int, envelope: Envelope, digest: bytes) -> None:
        self.follow(bytes.fromhex(envelope.subject), envelope.subject_seq, envelope.previous or "", digest)

    def follow(self, subject: bytes, seq: int, previous: str, digest: bytes) -> bool:
        runs = self.of.setdefault(subject, [])
        if runs and runs[-1][2] + 1 == seq and runs[-1][3].hex() == previous:
            runs[-1][2:] = seq, digest
        else:
            runs.append([seq, previous, seq, digest])
        return True

    def finish(self) -> None:
        """Nothing is judged before all stretches are there."""


def _linked(stretches: Iterable[Mapping[bytes, list[list[Any]]]]) -> bool:
    whole: dict[bytes, list[list[Any]]] = {}
    for stretch in stretches:
        for subject, runs in stretch.items():
            whole.setdefault(subject, []).extend(runs)
    for runs in whole.values():
        seq, digest = 0, b""
        for first, previous, last, newest in sorted(runs, key=lambda run: run[0]):
            if first != seq + 1 or previous != digest.hex():
                return False
            seq, digest = last, newest
    return True


class _Share(NamedTuple):
    """What one process found in its stretch: the root of each bundle (of the last, partial one its hashes)."""

    report: Report
    roots: list[bytes]
    partial: list[bytes]
    seen_scope: set[str]
    files: int
    runs: dict[bytes, list[list[Any]]]


def _share(
    root: str, checkpoint: Checkpoint, manifest: bytes, entries: tuple[int, int], lines: tuple[int, int]
) -> _Share:
    """Entries from a multiple of 256 on, with the lines of events.jsonl between two bytes."""
    report, folder, runs = Report(), _Folder(Path(root)), _Runs()
    walk = _Walk(folder, checkpoint, Manifest.parse(manifest), report)
    walk.chains = runs
    roots, partial = [], []
    with folder.open("events.jsonl") as handle:
        handle.seek(lines[0])
        told = _Lines(handle, report, lines[1])
        for start in range(*entries, TILE_WIDTH):
            width = min(TILE_WIDTH, checkpoint.size - start)
            hashes = walk._bundle(start, width, told)
            if width == TILE_WIDTH:
                roots.append(root_from_leaves(hashes))
            else:
                partial = hashes
        if told.next is not None:
            report.problem("line_beyond", "a line is not where it belongs")
    return _Share(report, roots, partial, walk.seen_scope, walk.files, runs.of)


def _line_from(handle: BinaryIO, size: int, index: int) -> int:
    """The byte where the first line of an entry from `index` on begins. A guess if lines are not what they should be:
    whoever reads there notices.
    """
    low, high = 0, size  # lines before `low` are of earlier entries; the first one from `high` on is not
    while low < high:
        middle = begin = (low + high) // 2
        if middle > low:
            handle.seek(middle - 1)
            begin = middle - 1 + len(handle.readline(MAX_LINE + 1))
        if begin >= high:
            high = middle
            continue
        handle.seek(begin)
        line = handle.readline(MAX_LINE + 1)
        match = _LINE_INDEX.search(line)
        if match is not None and int(match[1]) < index:
            low = begin + len(line)
        else:
            high = middle
    return low


class _Together(_Walk):
    """The walk by several processes. They only ever say that all is well: else one process looks again, in order."""

    def shares(self, jobs: int, manifest: bytes) -> list[_Share] | None:
        bundles = -(-self.size // TILE_WIDTH)
        each = max(_MIN_SHARE, -(-bundles // (4 * jobs))) * TILE_WIDTH
        starts = list(range(0, self.size, each))
        with self.folder.open("events.jsonl") as handle:
            length = os.fstat(handle.fileno()).st_size
            borders = [0, *(_line_from(handle, length, start) for start in starts[1:]), length]
        if borders != sorted(borders):
            return None
        checkpoint = Checkpoint("", self.size, b"")
        with ProcessPoolExecutor(min(jobs, len(starts))) as pool:
            futures = [
                pool.submit(
                    _share, str(self.folder.root), checkpoint, manifest,
                    (start, min(start + each, self.size)), (borders[number], borders[number + 1]),
                )
                for number, start in enumerate(starts)
            ]  # fmt: skip
            found = [future.result() for future in futures]
        if any(share.report.problem_count for share in found) or not _linked(share.runs for share in found):
            return None
        return found

    def join(self, shares: list[_Share], previous: Checkpoint | None) -> bytes:
        """The root over all entries; tiles above the lowest are compared here."""
        bundle = 0
        for share in shares:
            for root in share.roots:
                self._check_previous(previous, bundle)
                self._raise(root, bundle)
                bundle += 1
            self.levels[0] = share.partial
            self.files += share.files
            self.seen_scope |= share.seen_scope
            self.report.heads += share.report.heads
            self.report.matches += share.report.matches
            for verb, count in share.report.counts.items():
                self.report.counts[verb] = self.report.counts.get(verb, 0) + count
        if self.levels[0]:
            self._check_previous(previous, bundle)
        root = root_from_levels(self.levels)
        self._right_edge()
        return root

    def _check_previous(self, previous: Checkpoint | None, bundle: int) -> None:
        start = bundle * TILE_WIDTH
        if previous is None or not start < previous.size <= min(start + TILE_WIDTH, self.size):
            return
        width = min(TILE_WIDTH, self.size - start)
        tile = self.folder.read(tile_path(0, bundle, width), 32 * TILE_WIDTH)[: 32 * (previous.size - start)]
        hashes = [tile[at : at + 32] for at in range(0, len(tile), 32)]
        if root_from_levels([hashes, *self.levels[1:]]) != previous.root:
            self._forked(previous)


class _BrokenBundle(Exception):  # noqa: N818 - ends the walk; becomes a problem of the report
    def __init__(self, sentence: str, index: int) -> None:
        super().__init__(sentence)
        self.index = index


def _load_key(text: str) -> VerifierKey:
    return VerifierKey.parse(text.removesuffix("\n"))


def verify_export(
    path: str | Path, vkey: str | None = None, previous: bytes | None = None, jobs: int = 1
) -> Report:
    """Verify the export in the folder `path`.

    `vkey` is the log's verifier key from a source other than the export (without it a warning says so);
    `previous` the bytes of an earlier checkpoint of the same log. `jobs`: how many processes may work at it.
    Raises UnreadableError when nothing is decided.
    """
    folder = _Folder(Path(path))
    report = Report(key_checked=vkey is not None)
    try:
        own = folder.read("vkey", 4096).decode()
        key = _load_key(own)
    except (UnicodeDecodeError, NoteError) as error:
        raise UnreadableError(f"vkey: {error}") from error
    if vkey is None:
        report.warnings.append(
            "THE KEY WAS NOT CHECKED: it comes from the export itself, and whoever forges an export can forge"
            " that too; repeat with --vkey and a key you got elsewhere"
        )
    else:
        try:
            given = _load_key(vkey)
        except NoteError as error:
            raise UnreadableError(f"the given key: {error}") from error
        if given != key:
            report.problem("key_differs", "the vkey file in the export is not the key you gave")
        key = given
    checkpoint = _checkpoint(folder.read("checkpoint", MAX_NOTE), key, report, "the checkpoint")
    try:
        written = folder.read("export.json", MAX_MANIFEST)
        manifest = Manifest.parse(written)
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"export.json: {error}") from error
    report.origin, report.size, report.root = checkpoint.origin, checkpoint.size, checkpoint.root
    report.completeness, report.stated = manifest.completeness, manifest.stated
    if manifest.completeness == "none":
        report.warnings.append(
            "COMPLETENESS: NONE. What is disclosed was logged, but events may have been left out"
        )
    earlier = None if previous is None else _checkpoint(previous, key, report, "the earlier checkpoint")
    walk: _Walk = _Together(folder, checkpoint, manifest, report)
    try:
        root = _in_parallel(walk, jobs, written, earlier)
        if root is None:
            walk = _Walk(folder, checkpoint, manifest, report)
            with folder.open("events.jsonl") as handle:
                root = walk.run(_Lines(handle, report), earlier)
    except _BrokenBundle as error:
        report.problem("bundle_malformed", f"{error}; everything from here on is unchecked", error.index)
        return report
    except (UnreadableError, OSError) as error:
        if report.verified:
            raise UnreadableError(str(error)) from error
        # Something is already known to be wrong, a forged size for instance: that must not become
        # "unreadable".
        report.problem("unreadable", f"{error}; everything from here on is unchecked")
        return report
    if root != checkpoint.root:
        report.problem(
            "root_differs",
            f"the entries hash to {base64.b64encode(root).decode()}, the checkpoint signs"
            f" {base64.b64encode(checkpoint.root).decode()}: entries were changed, added, removed or moved",
        )
    if earlier is not None:
        _check_earlier(earlier, checkpoint, report)
    _check_manifest(manifest, checkpoint, walk, report)
    _check_pruned(manifest, walk, report)
    _warn_of_strays(folder.root, walk.files, report)
    return report


def _in_parallel(walk: _Walk, jobs: int, manifest: bytes, earlier: Checkpoint | None) -> bytes | None:
    """The root, or None: one process has to do it."""
    if jobs < 2 or walk.size <= _MIN_SHARE * TILE_WIDTH or not isinstance(walk, _Together):
        return None
    if walk.manifest.pruned is not None:
        return None  # what is absent is gathered in one place
    try:
        shares = walk.shares(jobs, manifest)
    except (ValueError, UnreadableError, OSError, _BrokenBundle, BrokenExecutor):
        return None
    return None if shares is None else walk.join(shares, earlier)


def _checkpoint(note: bytes, key: VerifierKey, report: Report, what: str) -> Checkpoint:
    """A checkpoint whose signature fails is still read, so that the report can say more than that."""
    try:
        return verify_checkpoint(note, key)
    except SignatureMismatchError as error:
        report.problem("signature", f"{what}: {error}")
    except NoteError as error:
        raise UnreadableError(f"{what}: {error}") from error
    try:
        return Checkpoint.parse(parse_note(note)[0])
    except NoteError as error:
        raise UnreadableError(f"{what}: {error}") from error


def _check_earlier(earlier: Checkpoint, checkpoint: Checkpoint, report: Report) -> None:
    report.previous_size = earlier.size
    if earlier.origin != checkpoint.origin:
        report.problem(
            "origin_differs", f"the earlier checkpoint is of another log, {_plain(earlier.origin)}"
        )
    if earlier.size > checkpoint.size:
        report.problem(
            "rolled_back",
            f"the earlier checkpoint covers {earlier.size:,} entries, this export only {checkpoint.size:,}",
        )
    if earlier.size == 0 and earlier.root != EMPTY_ROOT:
        report.problem("history_differs", "the earlier checkpoint is of an empty log but has another root")


def _check_manifest(manifest: Manifest, checkpoint: Checkpoint, walk: _Walk, report: Report) -> None:
    stated: dict[str, Any] = {
        "log.origin": manifest.log["origin"],
        "log.size": manifest.log["size"],
        "log.root": manifest.log["root"],
        "heads": manifest.heads,
        "matches": manifest.matches,
        "counts": manifest.counts,
    }
    found: dict[str, Any] = {
        "log.origin": checkpoint.origin,
        "log.size": checkpoint.size,
        "log.root": base64.b64encode(checkpoint.root).decode(),
        "heads": report.heads,
        "matches": report.matches,
        "counts": report.counts,
    }
    for name, value in found.items():
        if type(stated[name]) is not type(value) or stated[name] != value:
            report.problem("manifest_differs", f"{name} in export.json is not what the export holds")
    if manifest.scope is not None:
        for digest in sorted((manifest.scope.workspaces | manifest.scope.subjects) - walk.seen_scope):
            report.problem(
                "scope_unknown",
                f"the scope names a workspace or subject with the pseudonym {digest[:12]}…, which no entry of"
                " the log has: its name or salt was changed",
            )


def _check_pruned(manifest: Manifest, walk: _Walk, report: Report) -> None:
    """What is absent is exactly what the log itself says was pruned: their number, and SHA-256 over ids and digests."""
    if manifest.pruned is None:
        return
    if manifest.scope is None or manifest.scope.kind != "workspace" or not isinstance(walk.told, dict):
        report.problem(
            "pruned_untold",
            "events are left out as pruned, but that entry does not tell of a pruning of this workspace",
            manifest.pruned,
        )
        return
    digest = sha256(b"".join(sorted(walk.absent))).hexdigest()
    if (len(walk.absent), digest) != (walk.told.get("total"), walk.told.get("pruned")):
        report.problem(
            "pruned_differs",
            f"{len(walk.absent):,} events in scope are not disclosed, and they are not the "
            f"{_plain(str(walk.told.get('total')))} that the log says were pruned: events were left out",
            manifest.pruned,
        )
        return
    report.pruned, report.pruned_to = len(walk.absent), walk.told.get("exports", [])


def _warn_of_strays(root: Path, files: int, report: Report) -> None:
    strays = sorted(
        {item.name for item in root.iterdir()} - {"checkpoint", "vkey", "export.json", "events.jsonl", "tile"}
    )
    report.warnings.extend(
        f"{_plain(name)} is not part of the export and was not read" for name in strays[:10]
    )
    found = sum(len(names) for _, _, names in os.walk(root / "tile"))
    if found != files:
        report.warnings.append(
            f"{found - files} files below tile/ are not part of the export and were not read"
        )


# --- command line ------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Text of the export on a terminal: no control or direction characters, not endless."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:500])


def _argument_file(path: str, what: str) -> bytes:
    try:
        with Path(path).open("rb") as handle:
            data = handle.read(MAX_NOTE + 1)
    except OSError as error:
        raise UnreadableError(f"{what} {_plain(path)} cannot be read: {error.strerror}") from error
    if len(data) > MAX_NOTE:
        raise UnreadableError(f"{what} {_plain(path)} is longer than 1 MiB")
    return data


def _argument_key(value: str | None) -> str | None:
    """A key given as text or as a file that holds it."""
    if value is None or re.fullmatch(r"\S+\+[0-9a-f]{8}\+\S+", value):
        return value
    try:
        return _argument_file(value, "the key").decode()
    except UnicodeDecodeError as error:
        raise UnreadableError("the key is not UTF-8") from error


def _receipt(path: str, vkey: str | None) -> int:
    if vkey is None:
        raise UnreadableError("a receipt can only be verified with --vkey, the log's key")
    try:
        receipt, checkpoint = verify_receipt(_argument_file(path, "the receipt"), _load_key(vkey))
    except NoteError as error:
        raise UnreadableError(f"the receipt: {error}") from error
    except SignatureMismatchError as error:
        print(f"TAMPERED: {_plain(str(error))}")
        return TAMPERED
    print(f"verified: entry {receipt.index} of {checkpoint.size:,} in {_plain(checkpoint.origin)}")
    print(f"  {_plain((receipt.extra or b'').decode(errors='replace'))}")
    return VERIFIED


def _print(report: Report) -> None:
    log = f"{_plain(report.origin)}, {report.size:,} entries, root {base64.b64encode(report.root).decode()}"
    print(f"{'verified' if report.verified else 'TAMPERED'}: {log}")
    print(
        f"  completeness {report.completeness}; disclosed: {report.heads:,} heads, {report.matches:,} events"
    )
    for verb, count in sorted(report.counts.items()):
        print(f"  {count:>12,}  {_plain(verb)}")
    if report.pruned:
        print(f"  pruned, as the log says: {report.pruned:,} events, which are in these exports:")
        for told in report.pruned_to:
            print(
                f"  {_plain(str(told.get('count'))):>12}  {_plain(str(told.get('export')))}"
                f" {_plain(str(told.get('export_digest')))}"
            )
    if report.previous_size is not None and report.verified:
        print(f"  the log only grew since the earlier checkpoint of {report.previous_size:,} entries")
    if report.stated:
        print(
            "  stated by the exporter, proved by nothing: "
            + _plain(json.dumps(report.stated, ensure_ascii=False))
        )
    for problem in report.problems:
        print(f"  {_plain(str(problem))}")
    if report.problem_count > len(report.problems):
        print(f"  … and {report.problem_count - len(report.problems):,} more")
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="verifier.py", description="Verify an export of the audit ledger.")
    parser.add_argument("export", help="folder of a verifiable export, or a receipt (.tlog-proof)")
    parser.add_argument(
        "--vkey", help="the log's verifier key, or a file that holds it; not the one in the export"
    )
    parser.add_argument("--previous", help="an earlier checkpoint of the same log that you have kept")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes to use; default: one per core"
    )
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        vkey = _argument_key(options.vkey)
        if Path(options.export).is_file():
            return _receipt(options.export, vkey)
        previous = (
            None if options.previous is None else _argument_file(options.previous, "the earlier checkpoint")
        )
        report = verify_export(options.export, vkey, previous, options.jobs)
    except UnreadableError as error:
        print(f"unreadable: {_plain(str(error))}", file=sys.stderr)
        return UNREADABLE
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        print(f"unreadable: {type(error).__name__}: {_plain(str(error))}", file=sys.stderr)
        return UNREADABLE
    _print(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
