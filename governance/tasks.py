"""Celery tasks: an id in, a service called."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import InterfaceError, OperationalError

from governance.services import lapses, notices, settling, sweeps


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def settle_after_check(run_id: str) -> None:
    settling.settle_after_check(UUID(run_id))


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def cancel_unneeded(promotion_id: str) -> None:
    settling.cancel_unneeded(UUID(promotion_id))


@shared_task
def settle_waiting() -> None:
    settling.settle_waiting()


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def notify_reviewers(promotion_id: str) -> None:
    notices.notify_reviewers(UUID(promotion_id))


@shared_task
def sweep_notices() -> None:
    notices.sweep()


@shared_task
def send_digests() -> None:
    notices.send_digests()


@shared_task
def sweep() -> None:
    sweeps.sweep()


@shared_task
def note_lapsed_roles() -> None:
    lapses.note_lapses()
