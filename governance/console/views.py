"""The pages people live in. Reading goes through selectors, deciding through the service: nothing is decided here."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.actors import Idempotency
from audits.canonical import digest_of
from audits.errors import BadRequest, Problem
from audits.ids import uuid7
from audits.services.reasons import REASON_LIMIT
from governance.console.comparison import comparison_view
from governance.console.findings import box
from governance.console.inbox import inbox as find_inbox
from governance.console.people import SESSION_KEY, Visitor, command_of, page
from governance.console.review import Review
from governance.console.review import review as find_review
from governance.console.standing import place
from governance.console.trail import Search
from governance.console.trail import trail as find_trail
from governance.console.who_could import roles_page
from governance.console.wording import sentence
from governance.services import decisions
from governance.services.conditions import ConditionTerms
from governance.states import DecisionVerdict

VERDICT_LABELS = {
    DecisionVerdict.APPROVE: _("Approve"),
    DecisionVerdict.REQUEST_CHANGES: _("Request changes"),
    DecisionVerdict.REJECT: _("Reject"),
}


class DecisionForm(forms.Form):
    """What a person decides, bound to the dossier they saw. `key` makes a double click one decision."""

    verdict = forms.ChoiceField(
        label=_("Your decision"), choices=list(VERDICT_LABELS.items()), widget=forms.RadioSelect
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LIMIT,
        widget=forms.Textarea(attrs={"rows": 5, "maxlength": REASON_LIMIT}),
    )
    condition = forms.CharField(label=_("Condition of an approval"), max_length=REASON_LIMIT, required=False)
    condition_due = forms.DateField(
        label=_("Due"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    dossier_digest = forms.CharField(max_length=80, widget=forms.HiddenInput)
    key = forms.UUIDField(widget=forms.HiddenInput)


@page
def inbox(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    context = {
        "visitor": visitor,
        "here": "inbox",
        "inbox": find_inbox(visitor, _uuid(request.GET.get("before"))),
        "paged": "before" in request.GET,
    }
    return render(request, "console/inbox.html", context)


@page
def promotion(request: HttpRequest, visitor: Visitor, promotion_id: UUID) -> HttpResponse:
    return _dossier(request, visitor, find_review(visitor, promotion_id))


@page
def decide(request: HttpRequest, visitor: Visitor, promotion_id: UUID) -> HttpResponse:
    """The service decides whether this may be; its refusal is shown at the form with its own status."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    # NUL, which no database stores, is not something a person types.
    fields = ("verdict", "reason", "dossier_digest", "condition", "condition_due")
    given = {name: request.POST.get(name, "").replace("\x00", "") for name in fields}
    key = _uuid(request.POST.get("key"))
    idempotency = Idempotency("POST", request.path, str(key), digest_of(given)) if key else None
    try:
        decisions.decide(
            command=command_of(request, visitor, idempotency),
            promotion_id=promotion_id,
            verdict=given["verdict"],
            reason=given["reason"],
            dossier_digest=given["dossier_digest"],
            conditions=_conditions(given["condition"], given["condition_due"]),
        )
    except Problem as problem:
        found = find_review(visitor, promotion_id)
        return _dossier(request, visitor, found, refusal=problem, given=given)
    label = VERDICT_LABELS[DecisionVerdict(given["verdict"])]
    notices.success(request, gettext("Your decision is recorded: {verdict}.").format(verdict=label))
    return redirect("admin:promotion", promotion_id)


def _conditions(text: str, due: str) -> list[ConditionTerms]:
    """The condition of the form, due at the end of its day in UTC; none if both fields are empty."""
    if not text.strip() and not due:
        return []
    try:
        day = date.fromisoformat(due)
    except ValueError as error:
        raise BadRequest("invalid", field="condition_due", reason=due[:50]) from error
    return [{"text": text, "due": datetime.combine(day, time(23, 59, 59), UTC)}]


def _dossier(
    request: HttpRequest,
    visitor: Visitor,
    review: Review,
    *,
    refusal: Problem | None = None,
    given: dict[str, str] | None = None,
) -> HttpResponse:
    form = None
    if review.may_decide:
        kept = {
            name: (given or {}).get(name, "") for name in ("verdict", "reason", "condition", "condition_due")
        }
        form = DecisionForm(initial={**kept, "dossier_digest": review.digest, "key": uuid7()})
    context = {
        "visitor": visitor,
        "here": "inbox",
        "review": review,
        "comparison": comparison_view(review.promotion),
        "box": box(visitor, review.promotion),
        "place": place(visitor, review.promotion),
        "form": form,
        "refusal": sentence(refusal.message) if refusal else "",
    }
    status = refusal.status if refusal else 200
    return render(request, "console/promotion.html", context, status=status)


@page
def roles(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    return roles_page(request, visitor)


@page
def trail(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if not visitor.may_somewhere("audit.read"):
        raise PermissionDenied(gettext("The trail is read by auditors; none of your roles here permits it."))
    search = Search(request.GET, label_suffix="")
    found = find_trail(visitor, search)
    kept = request.GET.copy()
    kept.pop("before", None)
    context = {
        "visitor": visitor,
        "here": "trail",
        "search": search,
        "trail": found,
        "query": kept.urlencode(),
        "asked": any(kept.values()),
        "may_export": visitor.may("audit.export"),
    }
    return render(request, "console/trail.html", context, status=200 if search.is_valid() else 400)


@page
def workspace(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Look at another workspace from now on: one of those where this person holds a role, or nothing changes."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    wanted = request.POST.get("workspace", "")
    if wanted in {str(known.id) for known in visitor.workspaces}:
        request.session[SESSION_KEY] = wanted
    return redirect("admin:inbox")


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None
