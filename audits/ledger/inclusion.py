"""Effectiveness, derived: an event counts once its leaf is in a checkpoint that was published outside the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import connection

# When the first checkpoint that holds the leaf of this event was published. What an earlier log had published before
# an incident (audits.services.reopening) was effective from then on, and is so again once the new log holds it, too.
EFFECTIVE_AT = (
    "(SELECT least((SELECT c.published_at FROM audits_checkpoint c WHERE c.size > l0.index ORDER BY c.size LIMIT 1), "
    "(SELECT CASE WHEN EXISTS (SELECT 1 FROM audits_checkpoint c WHERE c.size > l0.index) "
    "THEN min(e0.published_at) END "
    "FROM audits_earlier_leaf e0 WHERE e0.event_id = l0.event_id)) "
    "FROM audits_leaf l0 WHERE l0.event_id = {event})"
)


def published_at(event_ids: Iterable[UUID]) -> dict[UUID, datetime]:
    """For each event that is in a published checkpoint: when the first such checkpoint was published."""
    ids = list(event_ids)
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT l.event_id, {EFFECTIVE_AT.format(event='l.event_id')} "  # noqa: S608 - our own text
            "FROM audits_leaf l WHERE l.event_id = ANY(%s::uuid[])",
            [[str(event_id) for event_id in ids]],
        )
        return {event_id: moment for event_id, moment in cursor.fetchall() if moment is not None}
