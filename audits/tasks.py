"""Celery tasks: an id in, a service called."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import InterfaceError, OperationalError

from audits.services import (
    check_parts,
    check_runs,
    comparison,
    explanations,
    exports,
    housekeeping,
    reproductions,
)


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def run_check(run_id: str) -> None:
    # Imported here: only the worker's own process starts a zygote; whoever sends the task must not.
    from audits.services.execution import run_check as execute

    execute(UUID(run_id))


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def run_check_part(part_id: str) -> None:
    from audits.services.mapping import run_part as execute

    execute(UUID(part_id))


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def run_export(export_id: str) -> None:
    from audits.services.exporting import run_export as execute

    execute(UUID(export_id))


@shared_task
def resend_waiting() -> None:
    check_runs.resend_waiting()
    check_parts.resend_waiting()
    exports.resend_waiting()
    explanations.resend_waiting()
    reproductions.resend_waiting()


@shared_task
def tidy() -> None:
    housekeeping.tidy()


@shared_task
def compare_rows() -> None:
    comparison.compare_and_tell()


@shared_task
def sweep_webhooks() -> None:
    from audits.services import webhook_delivery

    webhook_delivery.sweep()


@shared_task
def deliver_webhook(webhook_id: str) -> None:
    from audits.services import webhook_delivery

    webhook_delivery.deliver_due(UUID(webhook_id))


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def run_explanation(explanation_id: str) -> None:
    from audits.services.explaining import run_explanation as execute

    execute(UUID(explanation_id))


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def run_reproduction(reproduction_id: str) -> None:
    from audits.services.reproducing import run_reproduction as execute

    execute(UUID(reproduction_id))
