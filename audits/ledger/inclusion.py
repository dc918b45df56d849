"""Effectiveness, derived: an event counts once its leaf is in a checkpoint that was published outside the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import connection


def published_at(event_ids: Iterable[UUID]) -> dict[UUID, datetime]:
    """For each event that is in a published checkpoint: when the first such checkpoint was published."""
    ids = list(event_ids)
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.event_id, (SELECT c.published_at FROM audits_checkpoint c WHERE c.size > l.index "
            "ORDER BY c.size LIMIT 1) FROM audits_leaf l WHERE l.event_id = ANY(%s::uuid[])",
            [[str(event_id) for event_id in ids]],
        )
        return {event_id: moment for event_id, moment in cursor.fetchall() if moment is not None}
