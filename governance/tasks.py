"""Celery tasks: an id in, a service called."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import InterfaceError, OperationalError

from governance.services import lapses, settling


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def settle_after_check(run_id: str) -> None:
    settling.settle_after_check(UUID(run_id))


@shared_task
def settle_waiting() -> None:
    settling.settle_waiting()


@shared_task
def note_lapsed_roles() -> None:
    lapses.note_lapses()
