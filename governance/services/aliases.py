"""Names for versions of a model: champion, challenger. Each change is an event; the gate never asks an alias."""

from __future__ import annotations

import re

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ledger.record import lock, record
from governance.models import Alias
from registry import selectors
from registry.models import ModelVersion
from registry.states import VersionState

# Not a number alone (name@3 is a version), and not what MLflow keeps for itself (latest, v3).
ALIAS = re.compile(r"(?!latest\Z|v[0-9]+\Z)[a-z][a-z0-9._-]{0,99}")


@service("alias.set")
def set_alias(*, command: Command, model: str, alias: str, n: int) -> Result[Alias]:
    """Point it to version `n`, from wherever it pointed. `created` says whether the name is new or was taken away."""
    row = selectors.model(command.actor, model)
    lock(row.workspace_id, row.ref)
    require(command, "alias.set", row.ref)
    if not ALIAS.fullmatch(alias):
        raise Unprocessable("alias_invalid", subject=row.ref, field="alias", name=alias[:200])
    version = ModelVersion.objects.filter(model=row, n=n).first()
    if version is None:
        raise Unprocessable("version_unknown", subject=row.ref, field="version", reference=f"{row.name}@{n}")
    if version.state == VersionState.RETIRED:
        raise Conflict("alias_to_retired", subject=row.ref, version=version.label)
    known = Alias.objects.select_for_update().filter(model=row, name=alias).first()
    if known is not None and known.version_id == version.id:
        return Result(known, created=False)
    before, fresh = _digest(known), known is None or known.version_id is None
    found = known or Alias(workspace_id=row.workspace_id, model=row, name=alias)
    found.version = version
    found.save()
    record(
        command,
        verb="alias.set",
        subject=found.ref,
        before=before,
        after=_digest(found),
        detail={"version": version.label},
    )
    return Result(found, created=fresh)


@service("alias.removed")
def remove_alias(*, command: Command, model: str, alias: str) -> Result[Alias]:
    """Take it away; the name may be set again later."""
    row = selectors.model(command.actor, model)
    lock(row.workspace_id, row.ref)
    require(command, "alias.set", row.ref)
    found = Alias.objects.select_for_update().filter(model=row, name=alias, version__isnull=False).first()
    if found is None:
        raise NotFound("not_found", kind="alias", name=f"{model}@{alias}"[:300])
    take_away(command, found, cause="request")
    return Result(found, created=False)


def take_away(command: Command, alias: Alias, *, cause: str) -> None:
    before, version = _digest(alias), alias.version
    alias.version = None
    alias.save(update_fields=["version"])
    record(
        command,
        verb="alias.removed",
        subject=alias.ref,
        before=before,
        after=_digest(alias),
        detail={"version": version.label if version is not None else None, "cause": cause},
    )


def _digest(alias: Alias | None) -> str:
    if alias is None:
        return ""
    return digest_of({"version": str(alias.version_id) if alias.version_id else None})
