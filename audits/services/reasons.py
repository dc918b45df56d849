"""A change that people answer for says why."""

from __future__ import annotations

from audits.actors import SubjectRef
from audits.errors import Unprocessable

REASON_LIMIT = 4000  # characters


def require_reason(reason: str, subject: SubjectRef | None, field: str = "reason") -> None:
    """422 with `field` unless `reason` says something, in at most 4000 characters."""
    if not reason.strip() or len(reason) > REASON_LIMIT:
        raise Unprocessable("reason_missing", subject=subject, field=field, limit=REASON_LIMIT)
