"""Times as people and programs write them."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime


def moment_of(text: str) -> datetime | None:
    """A time with its zone (RFC 3339, ISO 8601), in UTC; None for anything else.

    In UTC, because PostgreSQL refuses offsets of sixteen hours and more, which RFC 3339 allows, and because a time that
    has none there (within a zone's width of year 1 or 9999) could be stored and never be read again.
    """
    try:
        found = parse_datetime(text)
        return None if found is None or found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
