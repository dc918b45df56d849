"""Find the promotions that a finished check lets go on, and the checks that no promotion waits for any more.

The sweep finds those whose message was lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from audits.actors import Command, system_actor
from audits.door import Result, service
from audits.models import CheckRun
from audits.services.check_runs import OPEN, end_unneeded
from governance.models import Promotion, PromotionCheck
from governance.services.claims import CHECK
from governance.services.findings import hold_claims
from governance.services.promotions import settle_promotion
from governance.services.reopening import outdated
from governance.states import OPEN_PROMOTION, PromotionState
from registry.models import ModelVersion

log = logging.getLogger(__name__)


def settle_after_check(run_id: UUID) -> None:
    run = CheckRun.objects.filter(id=run_id, check_slug=CHECK, subject_kind="model_version").first()
    if run is not None:
        # Also where no request waits for it any more: what was claimed stays claimed.
        hold_claims(command=Command(system_actor("worker", run.workspace_id)), run_id=run.id)
    _settle(Promotion.objects.filter(checks__run_id=run_id))


def settle_waiting() -> None:
    _settle(Promotion.objects.all())
    reopen_outdated()
    _end_each(PromotionCheck.every.all())


def cancel_unneeded(promotion_id: UUID) -> None:
    """The checks of a request that has ended, unless another one waits for them too."""
    _end_each(PromotionCheck.every.filter(promotion_id=promotion_id))


def _end_each(asked: QuerySet[PromotionCheck]) -> None:
    unfinished = asked.filter(run__state__in=OPEN).exclude(run__in=_waited_for().values("run"))
    found = unfinished.order_by("run_id").values_list("run_id", "promotion__workspace_id").distinct()
    for run_id, workspace in found[:500]:
        cancel_unneeded_check(command=Command(system_actor("worker", workspace)), run_id=run_id)


def _waited_for() -> QuerySet[PromotionCheck]:
    return PromotionCheck.objects.filter(promotion__state__in=OPEN_PROMOTION)


@service("check_run.cancelled")
def cancel_unneeded_check(*, command: Command, run_id: UUID) -> Result[CheckRun]:
    """End a check that no open request waits for. Called by Crivo itself; doing it again changes nothing."""
    version = ModelVersion.objects.select_related("model").get(
        id=CheckRun.objects.values_list("subject_id", flat=True).get(id=run_id)
    )
    # Whoever asks for a version, and so may find this very run, holds the lock of its model.
    run = end_unneeded(
        command, run_id, lambda: _waited_for().filter(run_id=run_id).exists(), version.model.ref
    )
    return Result(run, created=False)


def reopen_outdated() -> None:
    """Open requests pinned to a policy version that is no longer the one in force are held against that one."""
    found = Promotion.objects.filter(state__in=OPEN_PROMOTION)
    rows = found.select_related("version", "environment").order_by("id")[:500]
    _settle_each(promotion for promotion in rows if outdated(promotion) is not None)


def _settle(promotions: QuerySet[Promotion]) -> None:
    unfinished = PromotionCheck.objects.filter(promotion=OuterRef("pk"), run__state__in=OPEN)
    _settle_each(promotions.filter(~Exists(unfinished), state=PromotionState.CHECKING).order_by("id")[:500])


def _settle_each(promotions: Iterable[Promotion]) -> None:
    """One that cannot be settled must not keep the ones behind it waiting, sweep after sweep."""
    failed: list[Exception] = []
    for promotion in promotions:
        command = Command(
            system_actor("worker", promotion.workspace_id), correlation_id=promotion.correlation_id
        )
        try:
            settle_promotion(command=command, promotion_id=promotion.id)
        except Exception as error:
            log.exception("promotion %s could not be settled", promotion.id)
            failed.append(error)
    if failed:
        raise failed[0]
