"""Records of what runs where, and how: a log of facts beside the placements, never a permission.

Something that runs without being allowed is recorded like everything else, and flagged: a register that refuses the
truth would hide just what has to be found.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from audits.actors import Command, authoriser
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ledger.record import lock, record
from governance.deployments import standing_of
from governance.models import Deployment
from governance.services.standing import environment_named, version_for
from governance.states import DeploymentMode

CLOCK_SKEW = timedelta(minutes=5)


@service("deployment.recorded")
def record_deployment(
    *,
    command: Command,
    model: str,
    n: int,
    environment: str,
    mode: str,
    share: float | None = None,
    location: str = "",
    since: datetime | None = None,
) -> Result[Deployment]:
    """A version runs in an environment since `since` (default now). The same, still running, is not recorded twice.

    `share` is its part of the traffic, 0 to 1. `allowed` and `basis` of the record say what the gate said of it then.
    """
    version = version_for(command.actor, model, n, "deployment.record")
    require(command, "deployment.record", version.ref)
    place = environment_named(version.workspace_id, environment, version.ref)
    if mode not in DeploymentMode.values:
        raise Unprocessable(
            "deployment_mode_unknown",
            subject=version.ref,
            field="mode",
            mode=mode[:50],
            known=DeploymentMode.values,
        )
    if share is not None and not (math.isfinite(share) and 0 <= share <= 1):
        raise Unprocessable("share_invalid", subject=version.ref, field="share")
    now = timezone.now()
    began = since or now
    if began > now + CLOCK_SKEW:
        raise Unprocessable("time_in_the_future", subject=version.ref, field="since")
    lock(version.workspace_id, version.model.ref, version.ref)
    version.refresh_from_db()
    same = Deployment.objects.filter(
        version=version, environment=place, mode=mode, location=location, share=share, until=None
    ).first()
    if same is not None:
        return Result(same, created=False)
    allowed, basis = standing_of(version, place, mode)
    deployment = Deployment.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        environment=place,
        mode=mode,
        share=share,
        location=location,
        since=began,
        recorded_by=command.actor.id,
        allowed=allowed,
        basis={"code": basis.code, "params": basis.params},
    )
    record(
        command,
        verb="deployment.recorded",
        subject=deployment.ref,
        after=_digest(deployment),
        detail={
            "version": version.label,
            "environment": place.name,
            "mode": mode,
            "allowed": allowed,
            "basis": basis.code,
        },
    )
    return Result(deployment)


@service("deployment.ended")
def end_deployment(
    *, command: Command, deployment_id: UUID, until: datetime | None = None
) -> Result[Deployment]:
    """It runs no longer, since `until` (default now)."""
    seen = (
        Deployment.objects.filter(workspace_id=command.actor.workspace, id=deployment_id)
        .select_related("version__model", "environment")
        .first()
    )
    may = authoriser().may
    if seen is None or not any(
        may(command.actor, action, seen.ref) for action in ("deployment.record", "registry.read")
    ):
        raise NotFound("not_found", kind="deployment", name=str(deployment_id))
    require(command, "deployment.record", seen.ref)
    now = timezone.now()
    ended = until or now
    if ended > now + CLOCK_SKEW:
        raise Unprocessable("time_in_the_future", subject=seen.ref, field="until")
    if ended < seen.since:
        raise Unprocessable("until_before_since", subject=seen.ref, field="until")
    lock(seen.workspace_id, seen.ref)
    deployment = (
        Deployment.objects.select_for_update(of=("self",))
        .select_related("version__model", "environment")
        .get(id=seen.id)
    )
    if deployment.until is not None:
        raise Conflict("deployment_over", subject=deployment.ref)
    before = _digest(deployment)
    deployment.until = ended
    deployment.save(update_fields=["until"])
    record(command, verb="deployment.ended", subject=deployment.ref, before=before, after=_digest(deployment))
    return Result(deployment, created=False)


def _digest(deployment: Deployment) -> str:
    return digest_of(
        {
            "mode": deployment.mode,
            "share": deployment.share,
            "location": deployment.location,
            "since": deployment.since.isoformat(),
            "until": deployment.until.isoformat() if deployment.until else None,
        }
    )
