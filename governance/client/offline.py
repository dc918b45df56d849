"""The gate without a server: attestations (in-toto in DSSE) and the revocation list, verified with the public keys.

A bundle is one or more files of DSSE envelopes, one JSON object a line: the `<model>.intoto.jsonl` and the signed
revocation list, in one file or in one folder. Whatever cannot be shown is a no. `cryptography` is needed here only.

Sources: DSSE v1 (secure-systems-lab/dsse), in-toto Statement v1, RFC 7517/7518 (ES256 keys), RFC 7638 (thumbprints).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from governance.client.errors import Usage
from governance.client.multipart import unreadable

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:crivo:attestation:promotion:v1"
IN_TOTO = "application/vnd.in-toto+json"
REVOCATIONS = "application/vnd.crivo.revocations+json"
REVOCATIONS_TYPE = "urn:crivo:attestation:revocations:v1"
SKEW = timedelta(minutes=5)  # between our clock and the notary's
MAX_BUNDLE = 64 << 20


@dataclass(frozen=True)
class Verdict:
    """`reasons` are (code, sentence); of every attestation that might have said yes, why it does not."""

    allowed: bool
    reasons: tuple[tuple[str, str], ...] = ()
    statement: dict[str, Any] | None = field(default=None, repr=False)
    revocations_issued: str | None = None


class _No(Exception):  # noqa: N818 - an answer
    def __init__(self, code: str, sentence: str) -> None:
        self.code, self.sentence = code, sentence
        super().__init__(code)


@dataclass(frozen=True)
class Key:
    """A public key with its validity (seconds since 1970 UTC)."""

    id: str
    public: Any
    since: float
    until: float

    def was_in_use(self, at: datetime) -> bool:
        skew = SKEW.total_seconds()
        return self.since - skew <= at.timestamp() <= self.until + skew


def read_keys(path: str | Path) -> dict[str, Key]:
    """The P-256 keys of a JWKS by their kid, which must be their thumbprint. Usage where there is none."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise Usage(
            "Verifying needs the package cryptography, which is not installed: pip install 'crivo[verify]'",
            code="cryptography_missing",
        ) from error
    document = _document(Path(path))
    keys = document.get("keys") if isinstance(document, dict) else None
    found: dict[str, Key] = {}
    for item in keys if isinstance(keys, list) else []:
        if not isinstance(item, dict) or (item.get("kty"), item.get("crv")) != ("EC", "P-256"):
            continue
        try:
            x, y = (_url64(item[name]) for name in ("x", "y"))
            if len(x) != 32 or len(y) != 32:
                raise ValueError("a coordinate of P-256 has 32 bytes")
            numbers = ec.EllipticCurvePublicNumbers(
                int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
            )
            key = Key(
                _thumbprint(item),
                numbers.public_key(),
                float(item.get("nbf", 0)),
                float(item.get("exp", "inf")),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise Usage(f"{path} holds a key that is none: {error}", code="jwks_malformed") from error
        if item.get("kid", key.id) != key.id:
            raise Usage(f"{path}: the kid of a key is not its thumbprint.", code="jwks_malformed")
        found[key.id] = key
    if not found:
        raise Usage(
            f"{path} holds no P-256 key. It should be a copy of /.well-known/jwks.json.",
            code="jwks_malformed",
        )
    return found


def _thumbprint(item: Mapping[str, Any]) -> str:
    members = json.dumps({name: item[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(sha256(members.encode()).digest()).decode().rstrip("=")


def _url64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BUNDLE:
            raise Usage(f"{path} is longer than {MAX_BUNDLE >> 20} MiB.", code="file_too_large")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 text.", code="not_utf8") from error


def _document(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise Usage(f"{path} is not JSON: {error}", code="not_json") from error


def read_bundle(path: str | Path) -> list[dict[str, Any]]:
    """The envelopes of a file, or of all *.jsonl and *.json in a folder. Usage for a line that is none."""
    place = Path(path)
    files = sorted([*place.glob("*.jsonl"), *place.glob("*.json")]) if place.is_dir() else [place]
    found = []
    for file in files:
        for number, line in enumerate(_text(file).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                envelope = json.loads(line)
                if not isinstance(envelope, dict) or not isinstance(envelope["signatures"], list):
                    raise TypeError
                _ = envelope["payload"], envelope["payloadType"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise Usage(
                    f"{file}, line {number} is not a DSSE envelope.", code="bundle_malformed"
                ) from error
            found.append(envelope)
    if not found:
        raise Usage(f"{path} holds no attestation.", code="bundle_malformed")
    return found


def opened(envelope: Mapping[str, Any], keys: Mapping[str, Key]) -> tuple[dict[str, Any], list[Key]]:
    """The payload and the keys that signed it, picked by keyid. _No where none of ours did."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        payload = _base64(envelope["payload"])
        kind = str(envelope["payloadType"]).encode()
        signatures = [(item.get("keyid"), _base64(item["sig"])) for item in envelope["signatures"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _No("envelope_malformed", "An envelope of the bundle is malformed.") from error
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    signers = []
    for keyid, signature in signatures:
        key = keys.get(keyid) if isinstance(keyid, str) else None
        if key is None:
            continue
        try:
            key.public.verify(signature, message, ec.ECDSA(SHA256()))
        except InvalidSignature as error:
            raise _No("signature_invalid", f"The signature of the key {keyid} does not verify.") from error
        signers.append(key)
    if not signers:
        named = ", ".join(str(keyid) for keyid, _ in signatures) or "nobody"
        raise _No("key_unknown", f"It is signed by {named}, which the given keys do not hold.")
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise _No("envelope_malformed", "A signed payload is not JSON.") from error
    if not isinstance(document, dict):
        raise _No("envelope_malformed", "A signed payload is no JSON object.")
    return document, signers


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def envelope_digest(envelope: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON (RFC 8785) of an envelope: it holds ASCII text only, so sorting suffices."""
    return sha256(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check(
    digest: str,
    environment: str,
    envelopes: Iterable[Mapping[str, Any]],
    keys: Mapping[str, Key],
    *,
    model: str | None = None,
    max_age: timedelta | None = None,
    now: datetime | None = None,
) -> Verdict:
    """May the artefact with this digest (sha256:…) run there, as far as these files show?

    `max_age`: how old the revocation list may be; without it, its own nextUpdate decides.
    """
    moment = now or datetime.now(UTC)
    rows = list(envelopes)
    reasons: list[tuple[str, str]] = []
    try:
        revoked, issued = _revocations(rows, keys, moment, max_age)
    except _No as no:
        return Verdict(False, ((no.code, no.sentence),))
    for envelope in rows:
        if envelope.get("payloadType") != IN_TOTO or not _is_about(envelope, digest):
            continue
        try:
            statement = _holds(envelope, keys, digest, environment, model, revoked, moment)
        except _No as no:
            if no.code != "elsewhere":
                reasons.append((no.code, no.sentence))
            continue
        return Verdict(True, (), statement, issued)
    if not reasons:
        reasons = [("not_attested", f"The bundle holds no attestation of this artefact for {environment}.")]
    return Verdict(False, tuple(dict.fromkeys(reasons)), None, issued)


def _is_about(envelope: Mapping[str, Any], digest: str) -> bool:
    """Unverified, to leave out what is about other artefacts; whatever is left is verified."""
    try:
        subjects = json.loads(_base64(envelope["payload"]))["subject"]
        return any(item["digest"].get("sha256") == digest.removeprefix("sha256:") for item in subjects)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return True  # its own reason says what is wrong with it


def _holds(
    envelope: Mapping[str, Any],
    keys: Mapping[str, Key],
    digest: str,
    environment: str,
    model: str | None,
    revoked: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    statement, signers = opened(envelope, keys)
    try:
        if statement["_type"] != STATEMENT or statement["predicateType"] != PREDICATE:
            raise _No("elsewhere", "It is another kind of statement.")
        digests = {item["digest"].get("sha256") for item in statement["subject"]}
        predicate = statement["predicate"]
        where, name = predicate["environment"], predicate["modelVersion"]["name"]
        promotion = predicate["promotion"]
        until = predicate["validUntil"]
        issued = moment_of(predicate.get("issuedAt") or predicate["effectiveAt"])
        ends = None if until is None else moment_of(until)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _No("statement_malformed", "A signed statement lacks what it must say.") from error
    if digest.removeprefix("sha256:") not in digests:
        raise _No("digest_differs", "The attestation is about another artefact.")
    if where != environment or (model is not None and name != model):
        raise _No("elsewhere", "It is for another environment or model.")
    if not any(key.was_in_use(issued) for key in signers):
        raise _No("key_not_in_use", "The key that signed it was not in use when it was issued.")
    if issued > now + SKEW:
        raise _No(
            "not_yet_valid", f"The attestation was issued at {predicate['issuedAt']}, which is to come."
        )
    if ends is not None and now >= ends:
        raise _No("attestation_expired", f"The attestation was valid until {until}.")
    if promotion in revoked:  # with every attestation of it, older and newer
        raise _No("attestation_revoked", f"The promotion {promotion} is {revoked[promotion]}.")
    own = envelope_digest(envelope)
    if own in revoked:
        raise _No("attestation_revoked", f"This attestation was revoked ({revoked[own]}).")
    return statement


def _revocations(
    rows: list[Mapping[str, Any]] | list[dict[str, Any]],
    keys: Mapping[str, Key],
    now: datetime,
    max_age: timedelta | None,
) -> tuple[dict[str, str], str]:
    """{promotion id or attestation digest: status} of the newest list, and when it was issued."""
    newest: dict[str, Any] | None = None
    for envelope in rows:
        if envelope.get("payloadType") != REVOCATIONS:
            continue
        document, signers = opened(envelope, keys)
        try:
            issued = moment_of(document["issuedAt"])
            if document["_type"] != REVOCATIONS_TYPE or not isinstance(document["sequence"], int):
                raise ValueError("another type")
        except (KeyError, TypeError, ValueError) as error:
            raise _No("revocations_malformed", "The revocation list lacks what it must say.") from error
        if not any(key.was_in_use(issued) for key in signers):
            raise _No("key_not_in_use", "The key that signed the revocation list was not in use then.")
        if newest is None or document["sequence"] > newest["sequence"]:
            newest = document
    if newest is None:
        raise _No(
            "revocations_missing",
            "The bundle holds no revocation list; fetch /api/v1/attestations/revoked into it.",
        )
    try:
        issued, following = moment_of(newest["issuedAt"]), moment_of(newest["nextUpdate"])
        listed = {
            key: str(item["status"])
            for item in newest["revoked"]
            # No promotion: the attestation alone is revoked, another of the same grant may hold.
            for key in (item["promotion"], item["attestation"]["sha256"])
            if key is not None
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _No("revocations_malformed", "The revocation list lacks what it must say.") from error
    if issued > now + SKEW:
        raise _No(
            "revocations_from_the_future", f"The revocation list is of {newest['issuedAt']}: check the clock."
        )
    if now >= following or (max_age is not None and now - issued > max_age):
        raise _No(
            "revocations_stale",
            f"The revocation list of {newest['issuedAt']} is too old to rely on; fetch it again.",
        )
    return listed, str(newest["issuedAt"])


def moment_of(text: Any) -> datetime:
    """ValueError for what is no time with its zone."""
    if not isinstance(text, str):
        raise ValueError("not a time")  # noqa: TRY004 - input, not a bug
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment
