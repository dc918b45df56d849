"""The steps of the way to production. What has been used keeps its place among the others and its meaning:

another order would change what earlier grants were based on, another `exclusive` what may be live beside what is.
"""

from __future__ import annotations

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from governance.models import Environment, Promotion
from registry.names import checked_name

MOST = 20


@service("environment.added")
def add_environment(
    *, command: Command, name: str, exclusive: bool = False, position: int | None = None
) -> Result[Environment]:
    """A new step, last or before the one that is at `position` (0 is the first). The same again changes nothing.

    A step between two that are in use asks more of every version that has not passed it: that is allowed.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    require(command, "environment.configure", None, remember_on=workspace.ref)
    checked_name(name, workspace.ref)
    if len(name) > 60:
        raise Unprocessable("name_invalid", subject=workspace.ref, field="name", name=name[:200])
    lock(workspace.id, workspace.ref)
    rows = _locked(workspace)
    known = next((row for row in rows if row.name == name), None)
    if known is not None:
        if known.exclusive != exclusive or position not in (None, rows.index(known)):
            raise Conflict("environment_differs", subject=workspace.ref, name=name)
        return Result(known, created=False)
    if len(rows) >= MOST:
        raise Conflict("too_many_environments", subject=workspace.ref, limit=MOST)
    place = len(rows) if position is None else position
    if not 0 <= place <= len(rows):
        raise Unprocessable("position_invalid", subject=workspace.ref, field="position", limit=len(rows))
    before = _digest(rows)
    made = Environment(workspace=workspace, name=name, exclusive=exclusive)
    rows.insert(place, made)
    _number(rows)
    record(
        command,
        verb="environment.added",
        subject=workspace.ref,
        before=before,
        after=_digest(rows),
        detail={"environment": name, "exclusive": exclusive, "order": [row.name for row in rows]},
    )
    return Result(made)


@service("environment.changed")
def change_environment(
    *, command: Command, name: str, exclusive: bool | None = None, position: int | None = None
) -> Result[Environment]:
    """Before its first use: another place, or exclusive or not. 409 once anything was asked for there."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    require(command, "environment.configure", None, remember_on=workspace.ref)
    lock(workspace.id, workspace.ref)
    rows = _locked(workspace)
    row = next((row for row in rows if row.name == name), None)
    if row is None:
        raise NotFound("not_found", kind="environment", name=name[:200])
    if position is not None and not 0 <= position < len(rows):
        raise Unprocessable("position_invalid", subject=workspace.ref, field="position", limit=len(rows) - 1)
    moved = position is not None and position != rows.index(row)
    switched = exclusive is not None and exclusive != row.exclusive
    if not moved and not switched:
        return Result(row, created=False)
    # Only the one that moves changes its place relative to others: the rest keep their order among themselves.
    if Promotion.objects.filter(environment=row).exists():
        raise Conflict("environment_in_use", subject=workspace.ref, name=name)
    before = _digest(rows)
    if position is not None and moved:
        rows.remove(row)
        rows.insert(position, row)
    if exclusive is not None:
        row.exclusive = exclusive
    _number(rows)
    record(
        command,
        verb="environment.changed",
        subject=workspace.ref,
        before=before,
        after=_digest(rows),
        detail={"environment": name, "exclusive": row.exclusive, "order": [each.name for each in rows]},
    )
    return Result(row, created=False)


def _locked(workspace: Workspace) -> list[Environment]:
    """FOR UPDATE: a request for one of them, which refers to it, waits until we are done, and we for it."""
    return list(Environment.objects.select_for_update().filter(workspace=workspace).order_by("position"))


def _number(rows: list[Environment]) -> None:
    """Save them at 0, 1, 2 …: through free numbers first, because no two may share one even for a moment."""
    free = 1 + max((row.position for row in rows if row.position is not None), default=0) + len(rows)
    for place, row in enumerate(rows):
        if not row._state.adding and row.position != place:
            row.position = free + place
            row.save(update_fields=["position"])
    for place, row in enumerate(rows):
        row.position = place
        row.save()


def _digest(rows: list[Environment]) -> str:
    return digest_of([[row.name, row.exclusive] for row in rows])
