"""Work that one worker at a time holds: taken for a while, kept by renewing, sent again when its worker is lost.

Of a row it needs the columns state (queued, running, …), lease_until, fence, attempts, queued_at and sent_at. The fence
grows with every taking: whoever comes back late is behind it, and writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.conf import settings
from django.db.models import CharField, F, Model, Q, Value
from django.utils import timezone

from audits import dispatch

W = TypeVar("W", bound=Model)
log = logging.getLogger(__name__)
QUEUED, RUNNING = "queued", "running"
AT_ONCE = 500
RESEND_AFTER = timedelta(seconds=20)
RESEND_AT_LEAST = timedelta(minutes=5)


def longer_each_attempt(row: Any) -> timedelta:
    """Twice as long after every worker that took it and was lost."""
    return RESEND_AFTER * int(2 ** min(row.attempts, 6))


def as_long_as_it_waited(row: Any) -> timedelta:
    """What waits may only wait its turn: it is sent again after 20 s, then each time it has waited twice as long.

    At least every five minutes, so that a long queue does not fill the broker with copies of itself.
    """
    waited: timedelta = row.sent_at - row.queued_at if row.state == QUEUED else RESEND_AFTER
    return min(max(waited, RESEND_AFTER), RESEND_AT_LEAST)


@dataclass(frozen=True)
class Lease(Generic[W]):
    """`task`: the name of the Celery task that takes a row by its id. `patience`: how long a message is waited for.

    Work of a data zone is taken by workers of that zone only, and workers of a zone take nothing else.
    """

    model: type[W]
    length: timedelta
    task: str
    patience: Callable[[Any], timedelta] = longer_each_attempt
    zone: str = ""  # the path to the column that names the data zone; empty: work that has none

    def _free(self) -> Q:
        return Q(state=QUEUED) | Q(state=RUNNING, lease_until__lt=timezone.now())

    def claim(self, row_id: UUID) -> W | None:
        """Take it for this worker, or None: it is finished, or another worker holds an unexpired lease.

        One guarded UPDATE decides, so a message delivered twice is a no-op.
        """
        rows = self.model._base_manager
        # Asked before, not in the UPDATE: a join would turn its guard into a subquery, read before the row's lock. The
        # zone of a row never changes.
        if not self._here(row_id):
            log.warning("%s %s is not for workers of this zone", self.model._meta.verbose_name, row_id)
            return None
        taken = (
            rows.filter(id=row_id)
            .filter(self._free())
            .update(
                state=RUNNING,
                lease_until=timezone.now() + self.length,
                fence=F("fence") + 1,
                attempts=F("attempts") + 1,
            )
        )
        return rows.get(id=row_id) if taken else None

    def _here(self, row_id: UUID) -> bool:
        if not self.zone:
            return str(settings.CRIVO_ZONE) == ""
        zone = self.model._base_manager.filter(id=row_id).values_list(self.zone, flat=True).first()
        return str(zone or "") == str(settings.CRIVO_ZONE)

    def renew(self, row_id: UUID, fence: int, **progress: Any) -> bool:
        """Keep it, and say how far it is. False if it is no longer this worker's."""
        mine = self.model._base_manager.filter(id=row_id, fence=fence, state=RUNNING)
        return bool(mine.update(lease_until=timezone.now() + self.length, **progress))

    def resend(self) -> list[UUID]:
        """Those whose message or worker was lost, sent again with back-off. Returns their ids."""
        now, rows = timezone.now(), self.model._base_manager
        sent = []
        in_zone = F(self.zone) if self.zone else Value(None, output_field=CharField())
        free = rows.filter(self._free()).annotate(in_zone=in_zone)
        waiting: list[Any] = list(free.order_by("queued_at")[:AT_ONCE])
        for row in waiting:
            if row.sent_at is not None and row.sent_at > now - self.patience(row):
                continue
            rows.filter(id=row.id, sent_at=row.sent_at).update(sent_at=now)
            if dispatch.send(self.task, str(row.id), zone=row.in_zone):
                sent.append(row.id)
        return sent
