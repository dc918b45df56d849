from __future__ import annotations

from typing import Any

from django.conf import settings

from audits import blobs
from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.zone_terms import LEAST
from audits.door import Result, require, service
from audits.errors import Conflict, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from registry import selectors
from registry.models import Dataset, DatasetVersion
from registry.services.lineage import node_of_version
from registry.services.registering import checked_upload, next_n, registered, workspace_of
from registry.tabular import Profile

MOST = 10_000  # rows: a smallest cell beyond that keeps everything back


@service("dataset.registered")
def register_dataset(
    *,
    command: Command,
    name: str,
    description: str = "",
    hidden: bool = False,
    zone: str | None = None,
    smallest_cell: int | None = None,
) -> Result[Dataset]:
    """A dataset by name. Naming one that is there returns it (created False).

    A hidden one is an evaluation set: only those who validate register it and see it. 409 for a name that is taken by
    one of the other sort, whatever the caller may see.

    One with a `zone` is registered by URI and digest only; its content is read by workers of that zone and nobody else,
    and no figure resting on fewer than `smallest_cell` rows (default 10) leaves it. 422 for a zone nobody has set up.
    """
    workspace = workspace_of(command)
    require(
        command,
        "evaluation_set.register" if hidden else "dataset.register",
        None,
        remember_on=workspace.ref,
    )
    smallest_cell = _checked_zone(zone, smallest_cell, workspace)
    in_zone = {"zone": zone, "smallest_cell": smallest_cell} if zone else {}
    return registered(
        command,
        Dataset,
        workspace,
        verb="dataset.registered",
        name=name,
        description=description,
        content={**({"hidden": True} if hidden else {}), **in_zone},
        detail=in_zone,
        hidden=hidden,
        zone=zone,
        smallest_cell=smallest_cell,
    )


def _checked_zone(zone: str | None, smallest_cell: int | None, workspace: Workspace) -> int | None:
    """The rows a cell needs in that zone; None without one."""
    if zone is None:
        if smallest_cell is not None:
            raise Unprocessable("zone_missing", subject=workspace.ref, field="zone")
        return None
    if zone not in settings.CRIVO_ZONES:
        known = sorted(settings.CRIVO_ZONES)
        raise Unprocessable("zone_unknown", subject=workspace.ref, field="zone", zone=zone, known=known)
    least = LEAST if smallest_cell is None else smallest_cell
    if not 2 <= least <= MOST:
        raise Unprocessable(
            "smallest_cell_invalid", subject=workspace.ref, field="smallest_cell", least=2, most=MOST
        )
    return least


def _kept_in_zone(dataset: Dataset, uri: str, profile: Profile | Unprocessable) -> None:
    """422 unless nothing but a name, a place and a digest came: what its columns are called is declared, not read."""
    if not uri:
        raise Unprocessable("zone_upload_refused", subject=dataset.ref, field="uri", zone=dataset.zone)
    if isinstance(profile, Profile) and not profile.columns:
        raise Unprocessable(
            "zone_columns_missing", subject=dataset.ref, field="metadata.columns", zone=dataset.zone
        )


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
    stored = checked_upload(stored, expected_digest, dataset)
    if dataset.zone is not None:
        _kept_in_zone(dataset, uri, profile)
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
    if dataset.zone is None:
        blobs.refer(dataset.workspace_id, stored)
    version = DatasetVersion.objects.create(
        workspace_id=dataset.workspace_id,
        dataset=dataset,
        n=next_n(dataset),
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
