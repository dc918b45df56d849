"""What shuts the gate for something that was granted: derived from rows and the clock, never from a sweep.

A finding grave enough is open; a waiver the grant rests on has expired or was revoked; a condition of an approval is
overdue; a re-review is. `lapses_at` is when the gate will shut by itself if nobody does anything: what proves a grant
offline may not say yes beyond it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from audits.checks.contract import Message
from audits.ledger.body import timestamp
from audits.ledger.inclusion import published_at
from governance import exceptions
from governance.models import Condition, Finding, Placement, PlacementReview, UseCase, Waiver
from governance.policy import terms
from governance.policy.verdict import Requirement
from governance.states import ConditionState, FindingState, ReviewState, WaiverState


@dataclass(frozen=True)
class Hindrances:
    shut: tuple[Message, ...] = ()
    warnings: tuple[Message, ...] = ()
    lapses_at: datetime | None = None


def hindrances(placements: Iterable[Placement], now: datetime) -> dict[UUID, Hindrances]:
    """For each placement what stands against it at `now`. At most six queries, however many placements."""
    rows = list(placements)
    if not rows:
        return {}
    findings: dict[UUID, list[Finding]] = defaultdict(list)
    for finding in Finding.objects.filter(version__in={row.version_id for row in rows}).exclude(
        state=FindingState.CLOSED
    ):
        findings[finding.version_id].append(finding)
    waivers = _Waivers(rows)
    conditions: dict[UUID, list[Condition]] = defaultdict(list)
    unfulfilled = Condition.objects.filter(promotion__in=[row.promotion_id for row in rows]).exclude(
        state=ConditionState.FULFILLED
    )
    for condition in unfulfilled.select_related("decision").order_by("due"):
        conditions[condition.promotion_id].append(condition)
    dues = review_dues(rows)
    return {
        row.id: _of(row, now, findings[row.version_id], waivers, conditions[row.promotion_id], dues[row.id])
        for row in rows
    }


def _of(
    row: Placement,
    now: datetime,
    findings: list[Finding],
    waivers: _Waivers,
    conditions: list[Condition],
    due: datetime | None,
) -> Hindrances:
    policy = row.promotion.policy.body
    shut = list(exceptions.blocking(findings, policy))
    warnings: list[Message] = []
    lapses: list[datetime] = []
    for requirement in waived_by(row):
        message, until = waivers.answer(row, requirement, now)
        shut += [message] if message else []
        lapses += [until] if until else []
    for condition in conditions:
        if condition.decision.dossier_digest != row.promotion.dossier_digest:
            continue  # of a decision that was void: the grant does not rest on it
        if condition.due <= now:
            shut.append(Message("condition_overdue", {"n": condition.n, "due": timestamp(condition.due)}))
        else:
            lapses.append(condition.due)
    if due is not None:
        blocks = terms.review(policy).overdue == "block"
        if due <= now:
            (shut if blocks else warnings).append(Message("review_overdue", {"due": timestamp(due)}))
        elif blocks:
            lapses.append(due)
    return Hindrances(tuple(shut), tuple(warnings), min(lapses, default=None))


def waived_by(row: Placement) -> list[Requirement]:
    """The requirements the grant did without."""
    return [
        (line["check"], line["metric"], line["attribute"] or "")
        for line in row.promotion.requirements
        if line["verdict"] == "waived"
    ]


class _Waivers:
    """The waivers that count for some placements; asks nothing where nothing was waived."""

    def __init__(self, rows: list[Placement]) -> None:
        wanted = {row.version_id for row in rows if waived_by(row)}
        found = list(Waiver.objects.filter(version__in=wanted).order_by("expires_at", "id")) if wanted else []
        self._published = published_at(row.granted_event for row in found if row.granted_event)
        self._of: dict[tuple[UUID, UUID, Requirement], list[Waiver]] = defaultdict(list)
        for waiver in found:
            self._of[waiver.version_id, waiver.environment_id, waiver.requirement].append(waiver)

    def answer(
        self, row: Placement, requirement: Requirement, now: datetime
    ) -> tuple[Message | None, datetime | None]:
        """Why this requirement shuts the gate, or until when it does not."""
        granted = [
            waiver
            for waiver in self._of[row.version_id, row.environment_id, requirement]
            if waiver.granted_event in self._published
        ]
        standing = [waiver for waiver in granted if waiver.state == WaiverState.APPROVED]
        until = max((waiver.expires_at for waiver in standing), default=None)
        if until is not None and until > now:
            return None, until
        params = dict(zip(("check", "metric", "attribute"), requirement, strict=True))
        if until is None:
            return Message("waiver_revoked", params), None
        return Message("waiver_expired", {**params, "since": timestamp(until)}), None


def review_dues(rows: Iterable[Placement]) -> dict[UUID, datetime | None]:
    """When each placement has to have been reviewed again. A renewal counts once its event is published."""
    placements = list(rows)
    renewals = list(
        PlacementReview.objects.filter(
            placement__in=[row.id for row in placements], state=ReviewState.COMPLETED
        )
    )
    published = published_at(row.completed_event for row in renewals if row.completed_event)
    since = {row.id: row.created_at for row in placements}
    for renewal in renewals:
        if renewal.completed_event in published and renewal.completed_at is not None:
            since[renewal.placement_id] = max(since[renewal.placement_id], renewal.completed_at)
    tiers = _tiers(placements)
    dues: dict[UUID, datetime | None] = {}
    for row in placements:
        valid_for = terms.review(
            row.promotion.policy.body, tier=tiers.get(_use_case(row), ""), exclusive=row.exclusive
        ).valid_for
        dues[row.id] = since[row.id] + valid_for if valid_for else None
    return dues


def _use_case(row: Placement) -> tuple[UUID, str]:
    return row.workspace_id, row.version.metadata.get("use_case", "")


def _tiers(rows: list[Placement]) -> dict[tuple[UUID, str], str]:
    """Risk tiers, only where the policy leaves the time to them."""
    wanted = {
        _use_case(row) for row in rows if row.exclusive and "valid_for" not in row.promotion.policy.body
    }
    if not wanted:
        return {}
    found = UseCase.objects.filter(
        workspace__in={workspace for workspace, _ in wanted}, name__in={name for _, name in wanted}
    )
    return {(row.workspace_id, row.name): row.risk_tier for row in found}
