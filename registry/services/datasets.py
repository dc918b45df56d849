from __future__ import annotations

from typing import Any

from audits import blobs
from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from registry import selectors
from registry.models import Dataset, DatasetVersion
from registry.names import checked_name
from registry.services.lineage import node_of_version
from registry.tabular import Profile


def workspace_of(command: Command) -> Workspace:
    return Workspace.objects.get(id=command.actor.workspace)


@service("dataset.registered")
def register_dataset(
    *, command: Command, name: str, description: str = "", hidden: bool = False
) -> Result[Dataset]:
    """A dataset by name. Naming one that is there returns it (created False).

    A hidden one is an evaluation set: only those who validate register it and see it. 409 for a name that is taken by
    one of the other sort, whatever the caller may see.
    """
    workspace = workspace_of(command)
    require(
        command,
        "evaluation_set.register" if hidden else "dataset.register",
        None,
        remember_on=workspace.ref,
    )
    checked_name(name, workspace.ref)
    lock(workspace.id, workspace.ref)
    existing = Dataset.objects.filter(workspace=workspace, name=name).first()
    if existing is not None:
        if existing.hidden != hidden:
            raise Conflict("dataset_name_taken", subject=workspace.ref, name=name)
        return Result(existing, created=False)
    dataset = Dataset.objects.create(
        workspace=workspace,
        name=name,
        description=description,
        owner_id=command.actor.person or command.actor.id,
        hidden=hidden,
    )
    content = {"name": name, "hidden": True} if hidden else {"name": name}
    record(command, verb="dataset.registered", subject=dataset.ref, after=digest_of(content))
    return Result(dataset)


def registering(dataset: Dataset) -> str:
    """The action that registers a version of it."""
    return "evaluation_set.register" if dataset.hidden else "dataset_version.register"


@service("dataset_version.registered")
def register_dataset_version(
    *,
    command: Command,
    name: str,
    stored: blobs.Stored | Unprocessable,
    format: str,
    profile: Profile | Unprocessable,
    sensitive: dict[str, Any],
    expected_digest: str = "",
    dialect: dict[str, str] | None = None,
    uri: str = "",
) -> Result[DatasetVersion]:
    """A version of the dataset `name` from bytes already in the blob store. Same content, same version.

    422 if the digest is not the one announced, or a sensitive column is not in the data.
    """
    dataset = selectors.dataset(command.actor, name)
    lock(dataset.workspace_id, dataset.ref)
    require(command, registering(dataset), dataset.ref)
    if isinstance(stored, Unprocessable):
        stored.subject = dataset.ref
        raise stored
    if expected_digest and expected_digest != stored.digest:
        raise Unprocessable(
            "upload_digest_mismatch",
            subject=dataset.ref,
            field="digest",
            expected=expected_digest,
            found=stored.digest,
        )
    if isinstance(profile, Unprocessable):
        profile.subject = dataset.ref
        raise profile
    names = [column["name"] for column in profile.columns]
    for column in sensitive:
        if names and column not in names:
            raise Unprocessable(
                "column_not_in_data",
                subject=dataset.ref,
                field="sensitive",
                column=column,
                dataset=name,
                known=names,
            )
    existing = DatasetVersion.objects.filter(dataset=dataset, digest=stored.digest).first()
    if existing is not None:
        if existing.sensitive != sensitive or existing.dialect != (dialect or {}):
            raise Conflict("same_content_other_declaration", subject=dataset.ref, version=existing.label)
        return Result(existing, created=False)
    dataset = Dataset.objects.select_for_update().get(id=dataset.id)
    dataset.last_n += 1
    dataset.save(update_fields=["last_n"])
    blobs.refer(dataset.workspace_id, stored)
    version = DatasetVersion.objects.create(
        workspace_id=dataset.workspace_id,
        dataset=dataset,
        n=dataset.last_n,
        kind="uri" if uri else "upload",
        uri=uri,
        format=format,
        dialect=dialect or {},
        digest=stored.digest,
        size=stored.size,
        rows=profile.rows,
        columns=profile.columns,
        sensitive=sensitive,
        registered_by=command.actor.id,
    )
    if not dataset.hidden:  # the graph is for everybody
        node_of_version(version)
    record(
        command,
        verb="dataset_version.registered",
        subject=version.ref,
        after=digest_of({"content": version.digest, "columns": version.columns, "sensitive": sensitive}),
        evidence=[{"kind": "dataset", "digest": version.digest}],
        detail={"rows": profile.rows, "size": stored.size, "format": format, "sensitive": sorted(sensitive)}
        | ({"uri": uri} if uri else {}),
    )
    return Result(version)
