"""One page that answers "may this go to production, and on what proof?": the version dossier, and who may decide on it.

Reads only. An open promotion is judged as of now, a settled one shows what it was settled on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext

from audits.models import Event
from governance import selectors
from governance.console.history import Line, lines_of
from governance.console.people import Names, Visitor
from governance.console.results import CheckView, check_view
from governance.console.running import running
from governance.console.wording import (
    CHECKS,
    DATA_ROLES,
    DECIDED,
    DUTIES,
    METRICS,
    ROLE_TITLES,
    USES,
    VERDICTS,
    limit,
    quantity,
    reader,
    sentence,
    word,
)
from governance.dossier import Dossier, assess, datasets_of
from governance.models import Decision, Exclusion, Promotion, UseCase
from governance.policy import quorum
from governance.states import OPEN_PROMOTION, DecisionVerdict, PromotionState
from registry.models import DatasetVersion

log = logging.getLogger(__name__)

ORDER = {
    slug: place
    for place, slug in enumerate(
        ("bias.group_disparity", "explainability.shap", "evaluation.performance", "data.quality")
    )
}


@dataclass(frozen=True)
class VerdictLine:
    """One requirement of the policy: what was asked, what was found, and why that is enough or not."""

    check: str
    metric: str
    attribute: str
    asked: str
    value: str
    interval: str
    n: str
    bound: str
    verdict: str  # the slug, for the icon
    verdict_word: str
    reason: str


@dataclass(frozen=True)
class Approval:
    """A slot of the quorum or a decision that fills it; `void` if another dossier was decided on."""

    role: str
    person: str = ""
    verdict: str = ""
    verdict_word: str = ""
    at: datetime | None = None
    reason: str = ""
    void: bool = False


@dataclass(frozen=True)
class ExcludedPerson:
    person: str
    duties: str
    is_visitor: bool


@dataclass(frozen=True)
class Review:
    promotion: Promotion
    use_case: UseCase | None
    asked_by: str
    on_behalf_of: str
    request_reason: str
    lines: list[VerdictLine]
    digest: str
    readable: bool
    effect: selectors.Effect
    approvals: list[Approval]
    excluded: list[ExcludedPerson]
    checks: list[CheckView]
    datasets: list[tuple[DatasetVersion, str]]
    sensitive: list[tuple[str, str, str]]  # column, use, reason
    history: list[Line]
    outcome: str
    author: str
    may_decide: bool
    why_not: str

    @property
    def met(self) -> int:
        return sum(line.verdict in ("passed", "attested") for line in self.lines)

    @property
    def unmet(self) -> int:
        return len(self.lines) - self.met - self.waived

    @property
    def waived(self) -> int:
        return sum(line.verdict == "waived" for line in self.lines)

    @property
    def checks_in_order(self) -> list[CheckView]:
        """What people look at first comes first."""
        return sorted(self.checks, key=lambda check: ORDER.get(check.run.check_slug, len(ORDER)))

    @property
    def tone(self) -> str:
        """good, waiting or bad: the colour of the answer."""
        if self.promotion.state == PromotionState.GRANTED:
            return "good" if self.effect.effective else "waiting"
        if self.promotion.state == PromotionState.AWAITING_APPROVAL:
            return "bad" if self.unmet else "good"
        return "waiting" if self.promotion.state == PromotionState.CHECKING else "bad"

    @property
    def missing(self) -> list[str]:
        return [approval.role for approval in self.approvals if not approval.person]


def review(visitor: Visitor, promotion_id: UUID) -> Review:
    """Everything the page says; NotFound where the visitor may not see it. The number of queries is fixed."""
    promotion = selectors.promotion(visitor.actor, promotion_id)
    lines, digest, readable = _verdict(promotion)
    events = list(
        Event.objects.filter(
            workspace_id=promotion.workspace_id, subject_kind="promotion", subject_id=promotion.id
        ).order_by("subject_seq")
    )
    decisions = list(Decision.objects.filter(promotion=promotion).order_by("id"))
    exclusions = list(Exclusion.objects.filter(promotion=promotion))
    people = Names(
        promotion.workspace_id,
        {
            promotion.requested_by,
            promotion.requester_id,
            promotion.version.author_id,
            *(decision.person_id for decision in decisions),
            *(exclusion.person_id for exclusion in exclusions),
        },
    )
    history = lines_of(events, promotion.workspace_id)
    said = {line.event.id: " ".join(line.said) for line in history}
    request = next((line for line in history if line.event.verb == "promotion.requested"), None)
    approvals = _approvals(promotion, decisions, digest, people, said)
    excluded = _excluded(exclusions, people, visitor)
    why_not = _why_not(promotion, visitor, decisions, excluded, digest, readable)
    behind = promotion.requester_id if promotion.requester_id != promotion.requested_by else None
    return Review(
        promotion=promotion,
        use_case=selectors.use_cases(visitor.actor)
        .filter(name=promotion.version.metadata.get("use_case", ""))
        .first(),
        asked_by=people[promotion.requested_by],
        on_behalf_of=people[behind] if behind else "",
        request_reason=" ".join(request.said) if request else "",
        lines=[_line(line) for line in lines],
        digest=digest,
        readable=readable,
        effect=selectors.effect_of(getattr(promotion, "placement", None)),
        approvals=approvals,
        excluded=excluded,
        checks=_checks(promotion, lines, visitor),
        datasets=_datasets(promotion),
        sensitive=_sensitive(promotion),
        history=history,
        outcome=sentence(promotion.outcome),
        author=people[promotion.version.author_id],
        may_decide=not why_not,
        why_not=why_not,
    )


def _verdict(promotion: Promotion) -> tuple[list[dict[str, Any]], str, bool]:
    """(lines as JSON, dossier digest, whether they could be read at all)."""
    if promotion.state not in OPEN_PROMOTION:
        return promotion.requirements, promotion.dossier_digest, True
    try:
        dossier = assess(promotion, timezone.now())
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError):
        # A result no parser of ours would have let through. Nobody decides on what cannot be read.
        log.exception("the dossier of promotion %s cannot be read", promotion.id)
        return [], "", False
    return [line.to_json() for line in dossier.lines], dossier.digest, True


def about(line: Mapping[str, Any]) -> str:
    """The column a requirement is about; of the checks of data, which of the two data sets."""
    attribute = line.get("attribute")
    if not attribute:
        return ""
    of_data = line.get("check") in ("data.quality", "privacy.columns")
    return word(DATA_ROLES, attribute) if of_data else reader().name(attribute)


def _line(line: Mapping[str, Any]) -> VerdictLine:
    at_least, value = line["op"] == "min", line["value"]
    interval = line.get("interval")
    # A check that only has to finish has no metric: "at least 0" of nothing would say nothing.
    pattern = (
        (gettext("at least {limit}") if at_least else gettext("at most {limit}")) if line["metric"] else ""
    )
    return VerdictLine(
        check=word(CHECKS, line["check"]),
        metric=word(METRICS, line["metric"]) if line["metric"] else gettext("has to finish"),
        attribute=about(line),
        asked=pattern.format(limit=limit(line["limit"])),
        value=quantity(value, beside=line["limit"]),
        interval=" – ".join(quantity(end) for end in interval) if interval else "",
        n=reader().count(line["n"]) if line.get("n") else "",
        bound=gettext("point value")
        if line.get("bound") == "point"
        else gettext("worse end of the interval"),
        verdict=line["verdict"],
        verdict_word=word(VERDICTS, line["verdict"]),
        reason=sentence(line["reason"]),
    )


def requirement_lines(dossier: Dossier) -> list[VerdictLine]:
    return [_line(line.to_json()) for line in dossier.lines]


def _approvals(
    promotion: Promotion, decisions: list[Decision], digest: str, people: Names, said: dict[UUID, str]
) -> list[Approval]:
    rows = [
        Approval(
            role=word(ROLE_TITLES, decision.role),
            person=people[decision.person_id],
            verdict=decision.verdict,
            verdict_word=word(DECIDED, decision.verdict),
            at=decision.created_at,
            reason=said.get(decision.event_id, ""),
            void=decision.dossier_digest != digest,
        )
        for decision in decisions
    ]
    if promotion.state not in OPEN_PROMOTION:
        return rows
    given = [
        decision.role
        for decision in decisions
        if decision.verdict == DecisionVerdict.APPROVE and decision.dossier_digest == digest
    ]
    for row in quorum.tally(promotion.policy.body, given):
        rows += [Approval(word(ROLE_TITLES, row["role"]))] * max(0, row["needed"] - row["given"])
    return rows


def _excluded(exclusions: list[Exclusion], people: Names, visitor: Visitor) -> list[ExcludedPerson]:
    duties: dict[UUID, list[str]] = {}
    for exclusion in exclusions:
        duties.setdefault(exclusion.person_id, []).append(word(DUTIES, exclusion.duty))
    return [
        ExcludedPerson(people[person], ", ".join(sorted(hands)), person == visitor.user.id)
        for person, hands in duties.items()
    ]


def _why_not(
    promotion: Promotion,
    visitor: Visitor,
    decisions: list[Decision],
    excluded: list[ExcludedPerson],
    digest: str,
    readable: bool,
) -> str:
    """Why the visitor gets no form; "" if they get one. The service asks again: this only spares a way in vain."""
    if promotion.state not in OPEN_PROMOTION:
        return gettext("The request is settled; there is nothing left to decide.")
    mine = next((row for row in excluded if row.is_visitor), None)
    if mine is not None:
        return gettext(
            "You may not decide on this request: separation of duties bars whoever had a hand in it "
            "({duties}). Somebody else has to."
        ).format(duties=mine.duties)
    if not readable:
        return gettext("The results of the checks cannot be read, so nobody can decide on them.")
    if not visitor.may("promotion.decide", promotion.ref):
        return gettext("None of your roles here decides on promotions; you may read everything.")
    if promotion.state == PromotionState.CHECKING or not digest:
        return gettext("The checks are not finished; there is nothing to decide on yet.")
    if any(row.person_id == visitor.user.id and row.dossier_digest == digest for row in decisions):
        return gettext("You have already decided on this dossier.")
    if quorum.slot_for(promotion.policy.body, [], visitor.roles_on_model(promotion.version.model_id)) is None:
        wanted = ", ".join(word(ROLE_TITLES, role) for role in quorum.needed(promotion.policy.body))
        return gettext("The policy asks for approvals by {roles}; you hold none of these roles.").format(
            roles=wanted or gettext("nobody")
        )
    return ""


def _checks(promotion: Promotion, lines: list[dict[str, Any]], visitor: Visitor) -> list[CheckView]:
    ratios: dict[str, float] = {}
    for line in lines:
        if line["metric"] == "demographic_parity_ratio" and line["op"] == "min" and line.get("attribute"):
            ratios[line["attribute"]] = max(line["limit"], ratios.get(line["attribute"], 0.0))
    declared = promotion.version.metadata.get("sensitive")
    sensitive = frozenset(declared) if isinstance(declared, Mapping) else frozenset()
    checks = list(promotion.checks.select_related("run"))
    unfinished = running(visitor, [check.run for check in checks])
    return [
        replace(
            check_view(check.run, f"check{check.position}", ratio_limits=ratios, sensitive=sensitive),
            running=unfinished.get(check.run_id),
        )
        for check in checks
    ]


def _datasets(promotion: Promotion) -> list[tuple[DatasetVersion, str]]:
    """Every dataset version the verdict rests on, with what it was used for."""
    version = promotion.version
    training = {row.id for row in version.training.all()}
    found = []
    rows = datasets_of(promotion)
    prefetch_related_objects(rows, "sketches")
    for row in rows:
        uses = [gettext("training")] if row.id in training else []
        uses += [gettext("evaluation")] if row.id == version.evaluation_id else []
        found.append((row, ", ".join(uses)))
    return found


def _sensitive(promotion: Promotion) -> list[tuple[str, str, str]]:
    declared = promotion.version.metadata.get("sensitive") or {}
    return [
        (reader().name(column), word(USES, about.get("use")), about.get("reason", ""))
        for column, about in sorted(declared.items())
    ]
