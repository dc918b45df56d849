"""Policies on a page: what is in force, what differs between versions, and proposals to decide on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.actors import Idempotency, authoriser
from audits.canonical import digest_of
from audits.errors import Problem
from audits.ids import uuid7
from audits.ledger.inclusion import published_at
from audits.sealing import text_of
from audits.services.reasons import REASON_LIMIT
from governance import selectors
from governance.acknowledgements import missing
from governance.console.people import Names, Visitor, command_of, page
from governance.console.wording import ROLE_TITLES, sentence, word
from governance.in_force import versions_in_force
from governance.models import Placement, PolicyChange, PolicyChangeDecision, PolicyVersion
from governance.outdated import OutdatedPlacement, outdated_placements
from governance.policy.diff import compare, text_diff
from governance.services import acknowledging, policy_changes
from governance.states import PolicyChangeState

SETTLED_SHOWN = 20


class ChangeForm(forms.Form):
    """What a person decides on a proposal, bound to the text they saw. `key` makes a double click one decision."""

    verdict = forms.ChoiceField(
        label=_("Your decision"),
        choices=[
            (PolicyChangeDecision.Verdict.APPROVE, _("Approve")),
            (PolicyChangeDecision.Verdict.REJECT, _("Reject")),
        ],
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LIMIT,
        widget=forms.Textarea(attrs={"rows": 4, "maxlength": REASON_LIMIT}),
    )
    digest = forms.CharField(max_length=80, widget=forms.HiddenInput)
    key = forms.UUIDField(widget=forms.HiddenInput)


@dataclass(frozen=True)
class Row:
    """One policy: its newest version and the one in force, which may be the one before."""

    newest: PolicyVersion
    in_force: PolicyVersion | None
    tiers: str


@dataclass(frozen=True)
class DiffLine:
    direction: str
    text: str


def _reader(visitor: Visitor) -> None:
    if not visitor.may_somewhere("registry.read"):
        raise PermissionDenied(gettext("None of your roles here permits reading the registry."))


def diff_lines(changes: list[dict[str, Any]]) -> list[DiffLine]:
    return [DiffLine(line["direction"], sentence(line)) for line in changes]


@page
def policies(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    _reader(visitor)
    now_in_force = {row.name: row for row in versions_in_force(visitor.workspace.id)}
    newest = selectors.policies(visitor.actor).filter(current=True).order_by("environment", "name")
    changes = selectors.policy_changes(visitor.actor).order_by("-id")
    outdated: list[OutdatedPlacement] = outdated_placements(
        authoriser().visible(visitor.actor, Placement.objects.all()), timezone.now()
    )
    context = {
        "visitor": visitor,
        "here": "policies",
        "rows": [Row(row, now_in_force.get(row.name), ", ".join(row.risk_tiers)) for row in newest],
        "proposed": changes.filter(state=PolicyChangeState.PROPOSED),
        "settled": changes.exclude(state=PolicyChangeState.PROPOSED)[:SETTLED_SHOWN],
        "outdated": outdated,
    }
    return render(request, "console/policies.html", context)


@page
def policy_version(request: HttpRequest, visitor: Visitor, name: str, n: int) -> HttpResponse:
    """One version, with what it changed, and who still has to acknowledge it."""
    return _version(request, visitor, selectors.policy_version(visitor.actor, name, n))


def _version(
    request: HttpRequest, visitor: Visitor, row: PolicyVersion, refusal: Problem | None = None
) -> HttpResponse:
    versions = list(selectors.policies(visitor.actor).filter(name=row.name).order_by("-n"))
    against = _against(request, versions, row)
    effective: datetime | None = published_at([row.granted_event]).get(row.granted_event)
    waiting = missing(row)
    context = {
        "visitor": visitor,
        "here": "policies",
        "row": row,
        "versions": versions,
        "against": against,
        "lines": diff_lines([change.to_json() for change in compare(against.body, row.body)])
        if against
        else [],
        "diff": text_diff(against.text, row.text, (against.label, row.label)) if against else "",
        "effective": effective,
        "in_force": row.id in {found.id for found in versions_in_force(visitor.workspace.id)},
        "asked": [word(ROLE_TITLES, role) for role in row.body.get("acknowledge") or []],
        "missing": [
            (person.label, ", ".join(word(ROLE_TITLES, role) for role in roles)) for person, roles in waiting
        ],
        "is_asked": visitor.user.id in {person.id for person, _roles in waiting},
        "refusal": sentence(refusal.message) if refusal else "",
    }
    return render(request, "console/policy_version.html", context, status=refusal.status if refusal else 200)


def _against(request: HttpRequest, versions: list[PolicyVersion], row: PolicyVersion) -> PolicyVersion | None:
    """The version asked for (?against=n), else the one before."""
    text = request.GET.get("against", "")
    wanted = int(text) if text.isdecimal() and len(text) < 10 else row.n - 1
    return next((version for version in versions if version.n == wanted), None)


@page
def acknowledge(request: HttpRequest, visitor: Visitor, name: str, n: int) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        acknowledging.acknowledge_policy(command=command_of(request, visitor), name=name, n=n)
    except Problem as problem:
        return _version(request, visitor, selectors.policy_version(visitor.actor, name, n), problem)
    notices.success(request, gettext("You have acknowledged this version."))
    return redirect("admin:policy_version", name, n)


@page
def change(request: HttpRequest, visitor: Visitor, change_id: UUID) -> HttpResponse:
    return _change(request, visitor, selectors.policy_change(visitor.actor, change_id))


@page
def decide(request: HttpRequest, visitor: Visitor, change_id: UUID) -> HttpResponse:
    """The service decides whether this may be; its refusal is shown at the form with its own status."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    given = {name: request.POST.get(name, "") for name in ("verdict", "reason", "digest")}
    key = request.POST.get("key", "")[:40]
    idempotency = Idempotency("POST", request.path, key, digest_of(given)) if key else None
    try:
        policy_changes.decide_policy_change(
            command=command_of(request, visitor, idempotency), change_id=change_id, **given
        )
    except Problem as problem:
        row = selectors.policy_change(visitor.actor, change_id)
        return _change(request, visitor, row, problem, given)
    notices.success(request, gettext("Your decision on the change is recorded."))
    return redirect("admin:policy_change", change_id)


def _change(
    request: HttpRequest,
    visitor: Visitor,
    row: PolicyChange,
    refusal: Problem | None = None,
    given: dict[str, str] | None = None,
) -> HttpResponse:
    excluded = set(row.exclusions.values_list("person_id", flat=True))
    decision = PolicyChangeDecision.objects.filter(change=row).first()
    people = Names(row.workspace_id, {row.proposed_by, *excluded, decision.person_id if decision else None})
    why_not = ""
    if row.state != PolicyChangeState.PROPOSED:
        why_not = gettext("The change is settled; there is nothing left to decide.")
    elif visitor.user.id in excluded:
        why_not = gettext("You proposed this change or gain by it: somebody else has to decide.")
    elif not visitor.may("policy.decide"):
        why_not = gettext("None of your roles here decides on policies.")
    form = None
    if not why_not:
        kept = {name: (given or {}).get(name, "") for name in ("verdict", "reason")}
        form = ChangeForm(initial={**kept, "digest": row.digest, "key": uuid7()})
    base = row.base
    context = {
        "visitor": visitor,
        "here": "policies",
        "row": row,
        "lines": diff_lines(row.diff),
        "diff": text_diff(base.text if base else "", row.text, (base.label if base else "–", row.name)),
        "proposer": people[row.proposed_by],
        "excluded": sorted(people[person] for person in excluded),
        "decision": decision,
        "decider": people[decision.person_id] if decision else "",
        "said": text_of(decision.event_id, "reason") if decision else "",
        "form": form,
        "why_not": why_not,
        "refusal": sentence(refusal.message) if refusal else "",
    }
    return render(request, "console/policy_change.html", context, status=refusal.status if refusal else 200)


def urls(view: Any) -> list[URLPattern]:
    """Our addresses below /admin/; `view` is what guards a page of the site."""
    return [
        path("policies", view(policies), name="policies"),
        path("policies/changes/<uuid:change_id>", view(change), name="policy_change"),
        path("policies/changes/<uuid:change_id>/decide", view(decide), name="policy_change_decide"),
        path("policies/<str:name>/<int:n>", view(policy_version), name="policy_version"),
        path("policies/<str:name>/<int:n>/acknowledge", view(acknowledge), name="policy_acknowledge"),
    ]
