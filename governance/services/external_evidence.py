"""Attach what somebody else produced (a vendor's test report, a signed document) to a version."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audits import blobs
from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.catalogue import CATALOGUE
from audits.door import Result, require, service
from audits.errors import Unprocessable
from audits.ledger.record import lock, record
from governance.junit import summarised
from governance.models import EvidenceKind, ExternalEvidence
from registry import selectors
from registry.models import ModelVersion

MAX_SIGNED = 20 * 1024 * 1024


@service("evidence.attached")
def attach_evidence(
    *,
    command: Command,
    model: str,
    n: int,
    stored: blobs.Stored,
    check: str,
    kind: str,
    title: str,
    issuer: str,
    public_key: str = "",
    signature: str = "",
) -> Result[ExternalEvidence]:
    """Bytes already in the blob store become evidence for `check`. The same again returns what is there.

    A test report is counted here; a signature is verified here against the key it came with, and which keys count is
    the policy's word. 422 for an unknown check or kind, an unreadable report, a document without a signature, or a
    signature that is not of these bytes.
    """
    version = selectors.model_version(command.actor, model, n)
    lock(version.workspace_id, version.ref)
    require(command, "evidence.attach", version.ref)
    try:
        summary, signed_by = _examined(version, stored, check, kind, public_key, signature)
    except Unprocessable as refusal:
        refusal.subject = version.ref
        raise
    existing = ExternalEvidence.objects.filter(
        version=version, check_slug=check, digest=stored.digest, signed_by=signed_by
    ).first()
    if existing is not None:
        return Result(existing, created=False)
    blobs.refer(version.workspace_id, stored)
    evidence = ExternalEvidence.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        check_slug=check,
        kind=kind,
        title=title,
        issuer=issuer,
        digest=stored.digest,
        size=stored.size,
        summary=summary,
        signed_by=signed_by,
        attached_by=command.actor.id,
    )
    record(
        command,
        verb="evidence.attached",
        subject=evidence.ref,
        after=digest_of({"content": stored.digest, "summary": summary, "signed_by": signed_by}),
        evidence=[{"kind": "attested", "digest": stored.digest}],
        detail={"version": version.label, "check": check, "kind": kind, "signed_by": signed_by, **summary},
    )
    return Result(evidence)


def _examined(
    version: ModelVersion, stored: blobs.Stored, check: str, kind: str, public_key: str, signature: str
) -> tuple[dict[str, int], str]:
    if check not in CATALOGUE:
        raise Unprocessable("evidence_check_unknown", field="metadata.check", check=check[:100])
    if kind not in EvidenceKind.values:
        raise Unprocessable("evidence_kind_unknown", field="metadata.kind", kind=kind[:40])
    if bool(public_key) != bool(signature) or (kind == EvidenceKind.DOCUMENT and not signature):
        raise Unprocessable("evidence_unsigned", field="metadata.signature")
    signed_by = _verified(version, stored, public_key, signature) if signature else ""
    if kind != EvidenceKind.JUNIT:
        return {}, signed_by
    with blobs.opened(version.workspace_id, stored.digest) as file:
        return summarised(file), signed_by


def _verified(version: ModelVersion, stored: blobs.Stored, public_key: str, signature: str) -> str:
    """The digest of the key (its SubjectPublicKeyInfo) whose signature over the bytes is good."""
    if stored.size > MAX_SIGNED:
        raise Unprocessable(
            "evidence_signature_invalid", field="file", reason=f"more than {MAX_SIGNED} bytes"
        )
    try:
        key = serialization.load_pem_public_key(public_key.encode())
        mark = base64.b64decode(signature, validate=True)
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise Unprocessable(
            "evidence_signature_invalid", field="metadata.public_key", reason="key or signature unreadable"
        ) from error
    with blobs.opened(version.workspace_id, stored.digest) as file:
        content = file.read()
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(mark, content)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            key.verify(mark, content, ec.ECDSA(hashes.SHA256()))
        else:
            raise Unprocessable(
                "evidence_signature_invalid", field="metadata.public_key", reason="Ed25519 or ECDSA P-256"
            )
    except InvalidSignature as error:
        raise Unprocessable(
            "evidence_signature_invalid", field="metadata.signature", reason="not of these bytes"
        ) from error
    plain = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{sha256(plain).hexdigest()}"
