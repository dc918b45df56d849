"""Celery tasks: an id in, a service called."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import InterfaceError, OperationalError

from registry.services import sketches


@shared_task(autoretry_for=(OperationalError, InterfaceError), retry_backoff=True, max_retries=5)
def make_sketch(sketch_id: str) -> None:
    # Imported here: only the worker's own process starts a zygote; whoever sends the task must not.
    from registry.sketching import make_sketch as make

    make(UUID(sketch_id))


@shared_task
def resend_waiting() -> None:
    sketches.resend_waiting()
