"""What time it is: the database's, so that everybody who compares a due date compares it with the same clock."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection


def now() -> datetime:
    """Of this moment, not of the transaction's start: a command that waited for a lock must not see old time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC)
