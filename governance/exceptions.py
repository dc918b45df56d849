"""Findings and waivers of a version as of a moment: which count, which block, which are effective."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from audits.checks.contract import Message
from audits.ledger.body import timestamp
from audits.ledger.inclusion import published_at
from governance.models import Environment, Finding, Waiver
from governance.policy import terms
from governance.policy.verdict import Requirement
from governance.states import FindingState, WaiverState, at_least
from registry.models import ModelVersion


def findings_of(version: ModelVersion) -> list[Finding]:
    return list(Finding.objects.filter(version=version).order_by("id"))


def blocking(findings: Iterable[Finding], policy: Mapping[str, Any]) -> tuple[Message, ...]:
    """One message for every finding that is open and grave enough for this policy."""
    threshold = terms.block_at(policy)
    return tuple(
        Message("finding_open", {"finding": str(row.id), "severity": row.severity, "state": row.state})
        for row in findings
        if row.state != FindingState.CLOSED and at_least(row.severity, threshold)
    )


def approved_waivers(version: ModelVersion, environment: Environment, now: datetime) -> list[Waiver]:
    """Neither revoked nor expired; effective or about to be."""
    rows = Waiver.objects.filter(
        version=version, environment=environment, state=WaiverState.APPROVED, expires_at__gt=now
    )
    return list(rows.order_by("expires_at", "id"))


def effective(waivers: Iterable[Waiver]) -> dict[Requirement, Waiver]:
    """Those whose approval is in a published checkpoint; of several for one requirement the one that lasts longest."""
    rows = list(waivers)
    published = published_at(row.granted_event for row in rows if row.granted_event)
    return {row.requirement: row for row in rows if row.granted_event in published}


def about(waivers: Mapping[Requirement, Waiver]) -> dict[Requirement, dict[str, Any]]:
    """The parameters of the message on a waived line."""
    return {
        requirement: {"waiver": str(row.id), "until": timestamp(row.expires_at)}
        for requirement, row in waivers.items()
    }


def is_effective(waiver: Waiver, now: datetime) -> bool:
    if waiver.state != WaiverState.APPROVED or waiver.granted_event is None or waiver.expires_at <= now:
        return False
    event: UUID = waiver.granted_event
    return event in published_at([event])
