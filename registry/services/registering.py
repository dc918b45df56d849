"""What registering a dataset and registering a model share: a name taken once, an upload that is the one announced, and
versions numbered without a gap."""

from __future__ import annotations

from typing import Any, TypeVar

from audits import blobs
from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result
from audits.errors import Conflict, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from registry.models import Dataset, Model
from registry.names import checked_name

Named = TypeVar("Named", Dataset, Model)


def workspace_of(command: Command) -> Workspace:
    return Workspace.objects.get(id=command.actor.workspace)


def registered(
    command: Command,
    kind: type[Named],
    workspace: Workspace,
    *,
    verb: str,
    name: str,
    description: str,
    content: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
    **declared: Any,
) -> Result[Named]:
    """The row called `name`, made if there is none. 409 for one that is there and was declared otherwise.

    `declared` are fields of the row, `content` what of them is digested beside the name, `detail` what the event says.
    """
    checked_name(name, workspace.ref)
    lock(workspace.id, workspace.ref)
    existing = kind.objects.filter(workspace=workspace, name=name).first()
    if existing is not None:
        if any(getattr(existing, field) != value for field, value in declared.items()):
            raise Conflict("dataset_name_taken", subject=workspace.ref, name=name)
        return Result(existing, created=False)
    row = kind.objects.create(
        workspace=workspace,
        name=name,
        description=description,
        owner_id=command.actor.person or command.actor.id,
        **declared,
    )
    record(
        command,
        verb=verb,
        subject=row.ref,
        after=digest_of({"name": name, **(content or {})}),
        detail=detail,
    )
    return Result(row)


def checked_upload(
    stored: blobs.Stored | Unprocessable, expected_digest: str, of: Dataset | Model
) -> blobs.Stored:
    """The bytes as they lie in the store. 422 if they could not be taken, or are not those that were announced."""
    if isinstance(stored, Unprocessable):
        stored.subject = of.ref
        raise stored
    if expected_digest and expected_digest != stored.digest:
        raise Unprocessable(
            "upload_digest_mismatch",
            subject=of.ref,
            field="digest",
            expected=expected_digest,
            found=stored.digest,
        )
    return stored


def next_n(of: Named) -> int:
    """The number of the next version, from a locked counter: never one that was given away before."""
    row = type(of).objects.select_for_update().get(id=of.id)
    row.last_n += 1
    row.save(update_fields=["last_n"])
    return row.last_n
