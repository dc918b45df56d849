"""What happens after a commit, from its event and nothing else: wake the notary, send the tasks that listen.

Losing any of this loses nothing: the notary also looks by itself, and sweeps find rows that were left waiting.
"""

from __future__ import annotations

import logging
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import connection

CHANNEL = "crivo_events"
log = logging.getLogger(__name__)


def after_commit(verb: str, subject_id: UUID) -> None:
    # A statement of its own after the commit: NOTIFY inside a transaction serialises every commit of the cluster.
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
    for task in settings.CRIVO_EVENT_TASKS.get(verb, ()):
        send(task, str(subject_id))


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
