"""What shuts the gate for something that was granted: derived from rows and the clock, never from a sweep.

A finding grave enough is open; a waiver the grant rests on has expired or was revoked; a condition of an approval is
overdue; a re-review is. `lapses_at` is when the gate will shut by itself if nobody does anything: what proves a grant
offline may not say yes beyond it. Asked about an earlier moment, the events of each subject tell what it was then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import F, Q, QuerySet

from audits.checks.contract import Message
from audits.ledger.body import timestamp
from audits.ledger.inclusion import published_at
from governance import exceptions
from governance.models import (
    Condition,
    Finding,
    Placement,
    PlacementReview,
    PolicyVersion,
    UseCase,
    Waiver,
)
from governance.policy import durations, terms
from governance.policy.verdict import Requirement
from governance.prepared import prepared
from governance.standings import TOUCHING, Moment, state_after
from governance.states import ConditionState, FindingState, ReviewState, WaiverState, at_least

FINDING_STATE_AFTER = {
    "finding.opened": FindingState.OPEN,
    "finding.answered": FindingState.ANSWERED,
    "finding.returned": FindingState.OPEN,
    "finding.verified": FindingState.VERIFIED,
    "finding.closed": FindingState.CLOSED,
}
WAIVER_STATE_AFTER = {
    "waiver.requested": WaiverState.REQUESTED,
    "waiver.approved": WaiverState.APPROVED,
    "waiver.refused": WaiverState.REFUSED,
    "waiver.revoked": WaiverState.REVOKED,
}
CONDITION_STATE_AFTER = {
    "condition.set": ConditionState.OPEN,
    "condition.reported": ConditionState.REPORTED,
    "condition.returned": ConditionState.OPEN,
    "condition.verified": ConditionState.FULFILLED,
}


@dataclass(frozen=True)
class Hindrances:
    shut: tuple[Message, ...] = ()
    warnings: tuple[Message, ...] = ()
    lapses_at: datetime | None = None


def hindrances(
    placements: Iterable[Placement], when: Moment, touched: frozenset[str] = frozenset(TOUCHING)
) -> dict[UUID, Hindrances]:
    """For each placement what stands, or stood, against it. At most nine queries, however many placements.

    `touched`: the kinds of `standings.TOUCHING` there can be any of; the usual placement has none, and costs nothing.
    """
    rows = list(placements)
    if not rows:
        return {}
    findings = _findings(rows, when) if "finding" in touched else {}
    waivers = _Waivers(rows, when)
    conditions = _conditions(rows, when) if "condition" in touched else {}
    dues = review_dues(rows, when, renewed="review" in touched)
    return {
        row.id: _of(
            row,
            when.at,
            findings.get(row.version_id, []),
            waivers,
            conditions.get(row.promotion_id, []),
            dues[row.id],
        )
        for row in rows
    }


def _findings(rows: list[Placement], when: Moment) -> dict[UUID, list[Finding]]:
    """By version, those that are not closed, or whose closing is not effective yet: it opens the gate, like a grant."""
    found = list(Finding.objects.filter(version__in={row.version_id for row in rows}).order_by("id"))
    if when.past:
        found = _as_of("finding", found, FINDING_STATE_AFTER, when.at)
    effective = _published((row.closed_event for row in found), when)
    grouped: dict[UUID, list[Finding]] = defaultdict(list)
    for finding in found:
        if finding.state != FindingState.CLOSED or finding.closed_event not in effective:
            grouped[finding.version_id].append(finding)
    return grouped


def _conditions(rows: list[Placement], when: Moment) -> dict[UUID, list[Condition]]:
    """By promotion, those that are not fulfilled, or not effectively yet; the first due first."""
    # Those of a decision that was void are left out: the grant does not rest on it.
    wanted = Condition.objects.filter(
        promotion__in=[row.promotion_id for row in rows],
        decision__dossier_digest=F("promotion__dossier_digest"),
    )
    found = list(wanted.order_by("due", "id"))
    if when.past:
        found = _as_of("condition", found, CONDITION_STATE_AFTER, when.at)
    effective = _published((row.verified_event for row in found), when)
    grouped: dict[UUID, list[Condition]] = defaultdict(list)
    for condition in found:
        if condition.state != ConditionState.FULFILLED or condition.verified_event not in effective:
            grouped[condition.promotion_id].append(condition)
    return grouped


R = TypeVar("R", Finding, Condition, Waiver)


def _as_of(kind: str, rows: list[R], table: Mapping[str, str], at: datetime) -> list[R]:
    """Copies of the rows there were then, with the state they had then. Nothing of it is saved."""
    states = state_after(kind, [row.id for row in rows], table, at) if rows else {}
    copies: list[R] = []
    for row in rows:
        if row.id in states:
            columns = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
            copies.append(type(row)(**{**columns, "state": states[row.id]}))
    return copies


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
    shut += [
        Message("closing_not_effective_yet", {"finding": str(finding.id), "severity": finding.severity})
        for finding in findings
        if finding.state == FindingState.CLOSED and at_least(finding.severity, terms.block_at(policy))
    ]
    warnings: list[Message] = []
    lapses: list[datetime] = []
    for requirement in waived_by(row):
        message, until = waivers.answer(row, requirement, now)
        shut += [message] if message else []
        lapses += [until] if until else []
    for condition in conditions:
        met = condition.state == ConditionState.FULFILLED
        if condition.due <= now:
            code = "fulfilment_not_effective_yet" if met else "condition_overdue"
            shut.append(Message(code, {"n": condition.n, "due": timestamp(condition.due)}))
        elif not met:
            lapses.append(condition.due)
    if due is not None:
        blocks = terms.review(policy).overdue == "block"
        if due <= now:
            (shut if blocks else warnings).append(Message("review_overdue", {"due": timestamp(due)}))
        elif blocks:
            lapses.append(due)
    return Hindrances(tuple(shut), tuple(warnings), min(lapses, default=None))


def suspects(when: Moment) -> QuerySet[Placement]:
    """Placements that something may stand against now: `hindrances` decides. It leaves out none it would shut."""
    waived: list[dict[str, str]] = [{"verdict": "waived"}]
    overdue = Q()
    pinned = PolicyVersion.objects.filter(id__in=Placement.objects.values("promotion__policy"))
    for policy in pinned:
        stated = terms.review(policy.body).valid_for
        shortest = stated or min(durations.duration(text) for text in terms.VALID_BY_TIER.values())
        overdue |= Q(promotion__policy=policy, created_at__lte=when.at - shortest)
    found = (
        Q(version__in=Finding.objects.values("version"))
        | Q(promotion__in=Condition.objects.filter(due__lte=when.at).values("promotion"))
        | Q(version__in=Waiver.objects.values("version"), promotion__requirements__contains=waived)
    )
    return Placement.objects.filter(found | overdue if overdue else found)


def waived_by(row: Placement) -> list[Requirement]:
    """The requirements the grant did without."""
    return [
        (line["check"], line["metric"], line["attribute"] or "")
        for line in row.promotion.requirements
        if line["verdict"] == "waived"
    ]


class _Waivers:
    """The waivers that count for some placements; asks nothing where nothing was waived."""

    def __init__(self, rows: list[Placement], when: Moment) -> None:
        wanted = {row.version_id for row in rows if waived_by(row)}
        found = list(Waiver.objects.filter(version__in=wanted).order_by("expires_at", "id")) if wanted else []
        if when.past:
            found = _as_of("waiver", found, WAIVER_STATE_AFTER, when.at)
        self._published = _published((row.granted_event for row in found), when)
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


def _published(events: Iterable[UUID | None], when: Moment) -> set[UUID]:
    known = published_at(event for event in events if event is not None)
    return {event for event, since in known.items() if not when.past or since <= when.at}


def standing_since(rows: Iterable[Placement], when: Moment, *, renewed: bool = True) -> dict[UUID, datetime]:
    """When each placement was made or last reviewed again. A renewal counts once its event is published."""
    placements = list(rows)
    renewals: list[PlacementReview] = []
    if renewed:
        completed = PlacementReview.objects.filter(state=ReviewState.COMPLETED)
        renewals = list(completed.filter(placement__in=[row.id for row in placements]))
    published = _published((row.completed_event for row in renewals), when)
    since = {row.id: row.created_at for row in placements}
    for renewal in renewals:
        if renewal.completed_event in published and renewal.completed_at is not None:
            since[renewal.placement_id] = max(since[renewal.placement_id], renewal.completed_at)
    return since


def review_dues(
    rows: Iterable[Placement], when: Moment, *, renewed: bool = True
) -> dict[UUID, datetime | None]:
    """When each placement has to have been reviewed again."""
    placements = list(rows)
    since = standing_since(placements, when, renewed=renewed)
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
    found = _use_cases(workspaces={workspace for workspace, _ in wanted}, names={name for _, name in wanted})
    return {(workspace, name): tier for workspace, name, tier in found}


@prepared
def _use_cases(*, workspaces: Collection[UUID], names: Collection[str]) -> QuerySet[UseCase, Any]:
    found = UseCase.objects.filter(workspace_id__in=workspaces, name__in=names)
    return found.values_list("workspace_id", "name", "risk_tier")
