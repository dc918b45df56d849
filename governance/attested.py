"""Which attested evidence a policy lets stand where a check could not be computed. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from governance.models import ExternalEvidence
from governance.policy.verdict import Attested
from registry.models import ModelVersion


def attested_for(
    version: ModelVersion, entries: Sequence[Mapping[str, Any]], not_before: datetime
) -> list[Attested | None]:
    """For each `checks` entry the newest piece that its `accept_attested` names, or None. One query for all."""
    if not any("accept_attested" in entry for entry in entries):
        return [None] * len(entries)
    rows = list(
        ExternalEvidence.objects.filter(version=version, created_at__gte=not_before).order_by(
            "-created_at", "-id"
        )
    )
    return [_first(entry, rows) for entry in entries]


def _first(entry: Mapping[str, Any], rows: Sequence[ExternalEvidence]) -> Attested | None:
    accepted = entry.get("accept_attested")
    if accepted is None:
        return None
    for row in rows:
        keys = accepted.get("signed_by")
        if (
            row.check_slug == entry["check"]
            and row.kind in accepted["kinds"]
            and (not keys or row.signed_by in keys)
        ):
            bad = row.summary.get("failures", 0) + row.summary.get("errors", 0)
            ran = row.summary.get("tests", 0) - row.summary.get("skipped", 0)
            return Attested(row.digest, row.title, row.issuer, row.kind, row.signed_by, ran, bad)
    return None
