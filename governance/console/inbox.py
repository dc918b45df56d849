"""The inbox: every promotion the visitor may see, by what it waits for. A fixed number of queries, however many."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from audits.ledger.inclusion import published_at
from audits.states import CheckRunState
from governance import selectors
from governance.console.people import Names, Visitor
from governance.console.wording import ROLE_TITLES, sentence, word
from governance.models import Decision, Exclusion, Promotion, UseCase
from governance.policy import quorum
from governance.states import DecisionVerdict, PromotionState

MOST_OPEN = 200
SETTLED_PAGE = 20


@dataclass(frozen=True)
class Entry:
    """One promotion in a list. `requirements` counts the lines met and all of them; `missing` the approvals by role."""

    promotion: Promotion
    use_case: UseCase | None
    asked_by: str
    met: int
    requirements: int
    missing: list[str]
    own: str  # why the visitor may not decide, or what they decided already; empty if neither
    effective_at: datetime | None
    checks_done: int
    checks: int
    outcome: str


@dataclass
class Inbox:
    for_you: list[Entry] = field(default_factory=list)
    for_others: list[Entry] = field(default_factory=list)
    checking: list[Entry] = field(default_factory=list)
    settled: list[Entry] = field(default_factory=list)
    hidden: int = 0  # open ones that are not shown: there are too many
    older: UUID | None = None  # where the next page of settled ones begins


def _listed(visitor: Visitor) -> QuerySet[Promotion]:
    """With what a line of the list says, and without what it does not (policies and results are large)."""
    finished = [CheckRunState.COMPLETED, CheckRunState.ERRORED]
    return (
        selectors.promotions(visitor.actor)
        .select_related(None)
        .select_related("version__model", "environment", "policy", "placement")
        .defer("policy__text")
        .annotate(
            checks_all=Count("checks"),
            checks_done=Count("checks", filter=Q(checks__run__state__in=finished)),
        )
    )


def inbox(visitor: Visitor, before: UUID | None = None) -> Inbox:
    """Open promotions, oldest first, and a page of the settled ones that follow `before`, newest first."""
    promotions = _listed(visitor)
    waiting = promotions.filter(state__in=[PromotionState.CHECKING, PromotionState.AWAITING_APPROVAL])
    open_ones = list(waiting.order_by("id")[: MOST_OPEN + 1])
    settled = promotions.filter(settled_at__isnull=False)
    if before is not None:
        last = Promotion.objects.filter(id=before, workspace=visitor.workspace).first()
        if last is not None and last.settled_at is not None:
            settled = settled.filter(
                Q(settled_at__lt=last.settled_at) | Q(settled_at=last.settled_at, id__lt=last.id)
            )
    settled_ones = list(settled.order_by("-settled_at", "-id")[: SETTLED_PAGE + 1])
    found = Inbox()
    if len(open_ones) > MOST_OPEN:
        found.hidden = waiting.count() - MOST_OPEN
        del open_ones[MOST_OPEN:]
    if len(settled_ones) > SETTLED_PAGE:
        del settled_ones[SETTLED_PAGE:]
        found.older = settled_ones[-1].id
    about = _About(visitor, [*open_ones, *settled_ones])
    for promotion in open_ones:
        entry = about.entry(promotion)
        if promotion.state == PromotionState.CHECKING:
            found.checking.append(entry)
        elif not entry.own and about.has_open_slot(promotion):
            found.for_you.append(entry)
        else:
            found.for_others.append(entry)
    found.settled = [about.entry(promotion) for promotion in settled_ones]
    return found


class _About:
    """What is said of many promotions at once, read in one go."""

    def __init__(self, visitor: Visitor, promotions: list[Promotion]) -> None:
        self.visitor = visitor
        ids = [promotion.id for promotion in promotions]
        names = {promotion.version.metadata.get("use_case") for promotion in promotions}
        self.use_cases = {row.name: row for row in selectors.use_cases(visitor.actor).filter(name__in=names)}
        self.people = Names(visitor.workspace.id, [promotion.requested_by for promotion in promotions])
        self.decisions: dict[UUID, list[Decision]] = defaultdict(list)
        for decision in Decision.objects.filter(promotion__in=ids):
            self.decisions[decision.promotion_id].append(decision)
        self.excluded = set(
            Exclusion.objects.filter(promotion__in=ids, person_id=visitor.user.id).values_list(
                "promotion_id", flat=True
            )
        )
        placements = [promotion.placement for promotion in promotions if hasattr(promotion, "placement")]
        self.effective = published_at(placement.granted_event for placement in placements)

    def given(self, promotion: Promotion) -> list[str]:
        return [
            decision.role
            for decision in self.decisions[promotion.id]
            if decision.verdict == DecisionVerdict.APPROVE
            and decision.dossier_digest == promotion.dossier_digest
        ]

    def missing(self, promotion: Promotion) -> list[str]:
        """The roles still to approve, one entry for each approval."""
        return [
            row["role"]
            for row in quorum.tally(promotion.policy.body, self.given(promotion))
            for _ in range(row["needed"] - row["given"])
        ]

    def has_open_slot(self, promotion: Promotion) -> bool:
        return not self.visitor.roles_on_model(promotion.version.model_id).isdisjoint(self.missing(promotion))

    def own(self, promotion: Promotion) -> str:
        if promotion.id in self.excluded:
            return "excluded"
        decided = any(
            decision.person_id == self.visitor.user.id and decision.dossier_digest == promotion.dossier_digest
            for decision in self.decisions[promotion.id]
        )
        return "decided" if decided else ""

    def entry(self, promotion: Promotion) -> Entry:
        lines: list[dict[str, Any]] = promotion.requirements
        counts: Any = promotion  # annotated in _listed
        placement = getattr(promotion, "placement", None)
        return Entry(
            promotion=promotion,
            use_case=self.use_cases.get(promotion.version.metadata.get("use_case", "")),
            asked_by=self.people[promotion.requested_by],
            met=sum(line["verdict"] == "passed" for line in lines),
            requirements=len(lines),
            missing=[word(ROLE_TITLES, role) for role in self.missing(promotion)],
            own=self.own(promotion),
            effective_at=self.effective.get(placement.granted_event) if placement else None,
            checks_done=counts.checks_done,
            checks=counts.checks_all,
            outcome=sentence(promotion.outcome),
        )
