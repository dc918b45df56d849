"""The life of the parts of a check run: laid out by the worker that took the run, counted by any, reduced by one.

Bookkeeping of the queue, like claims and leases: no event. While parts are on their way nobody holds their run: it is
running, without a lease. What ends them (the last is done, or one failed) makes the run free to be taken again, in the
same transaction, under the lock of the run; so exactly one worker reduces, as exactly one runs a check.
"""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audits import dispatch, sealing
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import Message
from audits.keys import sealing_key
from audits.models import Blob, CheckPart, CheckRun
from audits.services.check_runs import LEASE, MAX_ATTEMPTS, RUN_TASK
from audits.services.leases import Lease, as_long_as_it_waited
from audits.states import CHECK_PART, CheckPartState, CheckRunState, step

ROLE = "evaluation"
TASK = "audits.tasks.run_check_part"
_lease = Lease(CheckPart, LEASE, TASK, as_long_as_it_waited)
claim, renew = _lease.claim, _lease.renew
OPEN = (CheckPartState.QUEUED, CheckPartState.RUNNING)


def worth_laying_out(run: CheckRun) -> bool:
    """May the run have CRIVO_MAP_ROWS rows? Its file says so exactly, but only the child may open that.

    Columns packed well take a bit of a row and hardly less.
    """
    definition = CATALOGUE.get(run.check_slug)
    if run.zone is not None:  # what a part counts is not cut down to what may leave a data zone
        return False
    if definition is None or not definition.mapped or not settings.CRIVO_MAP_ROWS:
        return False
    if run.input["semantics"].get("zone"):  # counts of parts would leave the data zone, small cells and all
        return False
    material = next((item for item in run.input["materials"] if item["role"] == ROLE), None)
    if material is None or material["format"] not in ("parquet", "parquet-folder"):
        return False
    stored = Blob.objects.filter(workspace_id=run.workspace_id, digest=material["digest"]).first()
    return stored is not None and stored.size * 8 >= settings.CRIVO_MAP_ROWS


def divide(run: CheckRun, survey: Any, spans: list[dict[str, int]]) -> None:
    """Write the parts down and send them. Nothing if another worker has taken the run over meanwhile."""
    with transaction.atomic():
        held = CheckRun.objects.select_for_update().get(id=run.id)
        if held.fence != run.fence or held.finished:
            return
        rows = [
            CheckPart(
                workspace_id=run.workspace_id, run=run, index=index, rows=span["rows"], sent_at=timezone.now()
            )
            for index, span in enumerate(spans)
        ]
        for row, span in zip(rows, spans, strict=True):
            row.asked = _sealed(row, "asked", {"survey": survey, **span})
        CheckPart.objects.bulk_create(rows)
        # Another fence: the thread that still renews the lease of whoever laid it out must not give it a new one.
        CheckRun.objects.filter(id=run.id).update(lease_until=None, fence=F("fence") + 1, attempts=0)
        for row in rows:
            transaction.on_commit(partial(dispatch.send, TASK, str(row.id)), robust=True)


def asked_of(part: CheckPart) -> dict[str, Any] | None:
    """What its worker is to do; None once the run has ended."""
    asked: dict[str, Any] | None = _opened(part, "asked", part.asked)
    return asked


def finish(part: CheckPart, counted: Any, environment: dict[str, object]) -> bool:
    """Keep what was counted, once. False if it was no longer this worker's."""
    content = json.dumps(counted, allow_nan=False, separators=(",", ":")).encode()
    return _end(
        part,
        CheckPartState.DONE,
        counted=_sealed(part, "counted", counted),
        counted_digest=f"sha256:{sha256(content).hexdigest()}",
        run_environment=environment,
    )


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
        transaction.on_commit(partial(dispatch.send, RUN_TASK, str(run.id)), robust=True)


def resend_waiting() -> None:
    """Parts whose message or worker was lost, sent again."""
    _lease.resend()


def parts_of(run: CheckRun) -> list[CheckPart]:
    """In the order of their rows; none where the run was not laid out."""
    return list(CheckPart.objects.filter(run=run).order_by("index"))


def counted_by(parts: list[CheckPart]) -> tuple[Any, list[Any]] | None:
    """(survey, what was counted of each part), or None where one of them is not done."""
    if any(part.state != CheckPartState.DONE for part in parts):
        return None
    asked = asked_of(parts[0])
    counted = [_opened(part, "counted", part.counted) for part in parts]
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


def _about(part: CheckPart, what: str) -> bytes:
    return f"check part {part.id} {what}".encode()


def _sealed(part: CheckPart, what: str, content: Any) -> bytes:
    """Group names and values to try are a stranger's data: the table has them sealed, and only while needed."""
    packed = zlib.compress(json.dumps(content, allow_nan=False, separators=(",", ":")).encode(), 1)
    return sealing.encrypt(sealing_key(), packed, _about(part, what))


def _opened(part: CheckPart, what: str, sealed: Any) -> Any:
    if sealed is None:
        return None
    return json.loads(zlib.decompress(sealing.decrypt(sealing_key(), bytes(sealed), _about(part, what))))
