"""Find the promotions that a finished check lets go on. The sweep finds those whose message was lost."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from audits.actors import Command, system_actor
from audits.services.check_runs import OPEN
from governance.models import Promotion, PromotionCheck
from governance.services.promotions import settle_promotion
from governance.states import PromotionState

log = logging.getLogger(__name__)


def settle_after_check(run_id: UUID) -> None:
    _settle(Promotion.objects.filter(checks__run_id=run_id))


def settle_waiting() -> None:
    _settle(Promotion.objects.all())


def _settle(promotions: QuerySet[Promotion]) -> None:
    unfinished = PromotionCheck.objects.filter(promotion=OuterRef("pk"), run__state__in=OPEN)
    ready = promotions.filter(~Exists(unfinished), state=PromotionState.CHECKING)
    failed: list[Exception] = []
    for promotion in ready.order_by("id")[:500]:
        command = Command(
            system_actor("worker", promotion.workspace_id), correlation_id=promotion.correlation_id
        )
        try:
            settle_promotion(command=command, promotion_id=promotion.id)
        except Exception as error:
            # One that cannot be settled must not keep the ones behind it waiting, sweep after sweep.
            log.exception("promotion %s could not be settled", promotion.id)
            failed.append(error)
    if failed:
        raise failed[0]
