"""Keep the environment lock of a version: the bytes behind the digest that its manifest declares."""

from __future__ import annotations

from audits import blobs
from audits.actors import Command
from audits.door import Result, require, service
from audits.errors import Unprocessable
from audits.ledger.record import lock, record
from registry import selectors
from registry.locks import Lock
from registry.models import EnvironmentLock


@service("environment_lock.kept")
def keep_environment_lock(
    *, command: Command, name: str, n: int, stored: blobs.Stored, found: Lock | Unprocessable
) -> Result[EnvironmentLock]:
    """Bytes already in the blob store become the lock of `name@n`. The same again returns what is there.

    422 for a file that is not the declared one, or that lists no packages. What a lock says can never change after
    the fact: the manifest, to which every decision is pinned, holds its digest.
    """
    version = selectors.model_version(command.actor, name, n)
    lock(version.workspace_id, version.ref)
    require(command, "model_version.register", version.ref)
    declared = version.metadata["environment_digest"]
    if stored.digest != declared:
        raise Unprocessable(
            "lock_not_declared", subject=version.ref, field="file", expected=declared, found=stored.digest
        )
    if isinstance(found, Unprocessable):
        found.subject = version.ref
        raise found
    existing = EnvironmentLock.objects.filter(version=version).first()
    if existing is not None:
        return Result(existing, created=False)
    blobs.refer(version.workspace_id, stored)
    kept = EnvironmentLock.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        format=found.format,
        digest=stored.digest,
        size=stored.size,
        packages=[package.to_json() for package in found.packages],
    )
    record(
        command,
        verb="environment_lock.kept",
        subject=version.ref,
        evidence=[{"kind": "environment_lock", "digest": stored.digest}],
        detail={"format": found.format, "packages": len(found.packages), "open": found.open},
    )
    return Result(kept)
