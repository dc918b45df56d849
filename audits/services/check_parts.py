"""The life of the parts of a check run: laid out by the worker that took the run, counted by any, reduced by one.

Bookkeeping of the queue, like claims and leases: no event. While parts are on their way nobody holds their run: it is
running, without a lease. What ends them (the last is done, or one failed) makes the run free to be taken again, in the
same transaction, under the lock of the run; so exactly one worker reduces, as exactly one runs a check.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audits import dispatch
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import Message
from audits.models import Blob, CheckPart, CheckRun
from audits.services import part_store
from audits.services.check_runs import LEASE, MAX_ATTEMPTS, RUN_TASK
from audits.services.leases import Lease, as_long_as_it_waited
from audits.states import CHECK_PART, CheckPartState, CheckRunState, step

PARQUET = ("parquet", "parquet-folder")
TASK = "audits.tasks.run_check_part"
_lease = Lease(CheckPart, LEASE, TASK, as_long_as_it_waited, zone="run__zone")
claim, renew = _lease.claim, _lease.renew
OPEN = (CheckPartState.QUEUED, CheckPartState.RUNNING)


def worth_laying_out(run: CheckRun) -> bool:
    """May the run have CRIVO_MAP_ROWS rows? Its file says so exactly, but only the child may open that.

    Columns packed well take a bit of a row and hardly less. How long data of a zone is nobody outside knows.
    """
    definition = CATALOGUE.get(run.check_slug)
    if not part_store.divides(run.zone):
        return False
    if definition is None or not definition.mapped or not settings.CRIVO_MAP_ROWS:
        return False
    long = {item["digest"] for item in run.input["materials"] if item["format"] in PARQUET}
    if run.zone is not None:
        return bool(long)
    stored = Blob.objects.filter(workspace_id=run.workspace_id, digest__in=long)
    return bool(sum(blob.size for blob in stored) * 8 >= settings.CRIVO_MAP_ROWS)


def divide(run: CheckRun, survey: Any, shares: list[dict[str, Any]]) -> None:
    """Write the parts down and send them. Nothing if another worker has taken the run over meanwhile.

    OSError where the folder of a zone cannot be written.
    """
    with transaction.atomic():
        held = CheckRun.objects.select_for_update().get(id=run.id)
        if held.fence != run.fence or held.finished:
            return
        rows = [
            CheckPart(
                workspace_id=run.workspace_id,
                run=run,
                index=index,
                rows=_told(share["rows"], run),
                sent_at=timezone.now(),
            )
            for index, share in enumerate(shares)
        ]
        for row, share in zip(rows, shares, strict=True):
            asked = {"survey": survey, "share": share}
            kept = part_store.put(row, run.zone, part_store.ASKED, asked)
            row.asked = kept[part_store.ASKED]
        CheckPart.objects.bulk_create(rows)
        # Another fence: the thread that still renews the lease of whoever laid it out must not give it a new one.
        CheckRun.objects.filter(id=run.id).update(lease_until=None, fence=F("fence") + 1, attempts=0)
        for row in rows:
            transaction.on_commit(partial(dispatch.send, TASK, str(row.id), zone=run.zone), robust=True)


def _told(rows: int, run: CheckRun) -> int:
    """In a zone all parts count alike: the rows of a short file's batch would tell of a few."""
    return rows if run.zone is None or not rows else settings.CRIVO_PART_ROWS


def asked_of(part: CheckPart) -> dict[str, Any] | None:
    """What its worker is to do; None once the run has ended, or where the file of a zone is gone."""
    asked: dict[str, Any] | None = part_store.get(part, part.run.zone, part_store.ASKED)
    return asked


def finish(part: CheckPart, counted: Any, environment: dict[str, object]) -> bool:
    """Keep what was counted, once. False if it was no longer this worker's. OSError as of `divide`."""
    zone = part.run.zone
    kept = part_store.put(part, zone, part_store.COUNTED, counted)
    mine = _end(part, CheckPartState.DONE, run_environment=environment, **kept)
    if zone is not None and not mine:
        part_store.drop(part, part_store.COUNTED)
    return mine


def fail(part: CheckPart, error: Message, environment: dict[str, object]) -> bool:
    """This part cannot be counted, so the others need not be. False if it was no longer this worker's."""
    told = {"code": error.code, "params": error.params}
    return _end(part, CheckPartState.FAILED, error=told, run_environment=environment)


def _end(part: CheckPart, state: CheckPartState, **outcome: Any) -> bool:
    with transaction.atomic():
        # The run first, always: of two last parts the second waits here, and then sees the first one done.
        run = CheckRun.objects.select_for_update().get(id=part.run_id)
        mine = CheckPart.objects.filter(id=part.id, fence=part.fence, state=CheckPartState.RUNNING)
        step(CHECK_PART, CheckPartState.RUNNING, state)
        if not mine.update(state=state, lease_until=None, finished_at=timezone.now(), **outcome):
            return False
        others = CheckPart.objects.filter(run=run, state__in=OPEN)
        if state == CheckPartState.FAILED:
            others.update(state=CheckPartState.DROPPED, lease_until=None)
        if not others.exists():
            _free(run, timezone.now())
    return True


def _free(run: CheckRun, now: datetime) -> None:
    """The run may be taken again. Its lease ended a while ago, by whatever clock of a worker."""
    waiting = CheckRun.objects.filter(id=run.id, state=CheckRunState.RUNNING, lease_until=None)
    if waiting.update(lease_until=now - LEASE, attempts=0, sent_at=now):
        transaction.on_commit(partial(dispatch.send, RUN_TASK, str(run.id), zone=run.zone), robust=True)


def resend_waiting() -> None:
    """Parts whose message or worker was lost, sent again."""
    _lease.resend()


def parts_of(run: CheckRun) -> list[CheckPart]:
    """In the order of their rows; none where the run was not laid out."""
    return list(CheckPart.objects.filter(run=run).select_related("run").order_by("index"))


def next_of(run: CheckRun) -> CheckPart | None:
    """A part of this run that nobody has begun, taken for this worker."""
    waiting = CheckPart.objects.filter(run=run, state=CheckPartState.QUEUED).order_by("index")
    for part_id in waiting.values_list("id", flat=True):
        if (part := claim(part_id)) is not None:
            return part
    return None


def counted_by(parts: list[CheckPart]) -> tuple[Any, list[Any]] | None:
    """(survey, what was counted of each part), or None where one of them is not done."""
    if any(part.state != CheckPartState.DONE for part in parts):
        return None
    asked = asked_of(parts[0])
    counted = [part_store.get(part, part.run.zone, part_store.COUNTED) for part in parts]
    if asked is None or None in counted:
        return None
    return asked["survey"], counted


def killed_workers(parts: list[CheckPart]) -> int:
    """How many workers died over one part; 0 where none was given up for that."""
    given_up = [part.attempts - 1 for part in parts if part.error and part.error["code"] == KILLED]
    return max(given_up, default=0)


KILLED = "check_killed_workers"


def given_up(part: CheckPart) -> bool:
    """The workers that took it before died over it: a fourth would, too."""
    return part.attempts > MAX_ATTEMPTS
