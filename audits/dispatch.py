"""What happens after a commit, from its event and nothing else: wake the notary, send the tasks that listen.

Losing any of this loses nothing: the notary also looks by itself, and sweeps find rows that were left waiting.
"""

from __future__ import annotations

import logging
import time
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import connection

CHANNEL = "crivo_events"
# Seconds. Whom we woke looks once more, at the earliest FOLLOW_UP after the pass we woke it for: what is committed
# within QUIET of our last call is in that look at the latest, and needs no call of its own.
QUIET, FOLLOW_UP = 0.1, 0.2
log = logging.getLogger(__name__)
_called: dict[str, float] = {}  # database → when its notary was called last by this process


def after_commit(verb: str, subject_id: UUID) -> None:
    wake_notary()
    for task in settings.CRIVO_EVENT_TASKS.get(verb, ()):
        send(task, str(subject_id))


def wake_notary() -> None:
    """Tell the notary that there is something to do, unless this process has just done so."""
    database, now = str(connection.settings_dict["NAME"]), time.monotonic()
    if now - _called.get(database, -QUIET) < QUIET:
        return
    # A statement of its own after the commit: NOTIFY inside a transaction serialises every commit of the cluster.
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
    _called[database] = now  # of before the call: whoever hears it looks later than that


def queue_of(zone: str | None) -> str:
    """The queue that the workers of a data zone listen to; the one of everybody else."""
    return f"zone.{zone}" if zone else current_app.conf.task_default_queue


def send(task: str, *arguments: str, zone: str | None = None) -> bool:
    """Hand a task to the broker; False if it cannot be reached (a sweep sends it again)."""
    try:
        current_app.send_task(
            task, args=list(arguments), ignore_result=True, retry=False, queue=queue_of(zone)
        )
    except (
        Exception
    ) as error:  # any transport's own exception: the commit has happened, this must not undo its answer
        log.warning("broker unreachable, the sweep will send %s again: %s", task, error)
        return False
    return True
