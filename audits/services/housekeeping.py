"""What may go: files nobody refers to, and idempotency keys past their day. No event: nothing governed changes."""

from __future__ import annotations

from django.utils import timezone

from audits import blobs
from audits.door import KEY_LIFETIME
from audits.models import IdempotencyRecord
from audits.services import export_work


def tidy() -> tuple[int, int]:
    """(files collected, keys forgotten)."""
    forgotten, _ = IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - KEY_LIFETIME).delete()
    export_work.forget_finished()
    return blobs.collect_orphans(), forgotten
