"""Find the promotions that a finished check lets go on. The sweep finds those whose message was lost."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from audits.actors import Command, system_actor
from audits.models import CheckRun
from audits.services.check_runs import OPEN
from governance.models import Promotion, PromotionCheck
from governance.services.claims import CHECK
from governance.services.findings import hold_claims
from governance.services.promotions import settle_promotion
from governance.services.reopening import outdated
from governance.states import OPEN_PROMOTION, PromotionState

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
