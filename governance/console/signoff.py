"""The page behind a link for sign-off: for somebody outside, without a login. It shows what they sign, and no more."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from audits.actors import Command, Idempotency
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.errors import NotFound, Problem
from audits.ids import uuid7
from audits.services.reasons import REASON_LIMIT
from governance.console.people import trouble
from governance.console.review import requirement_lines
from governance.console.wording import sentence
from governance.dossier import assess
from governance.models import SignoffInvitation, UseCase
from governance.roles import EXTERNAL
from governance.services import signoffs
from governance.states import DecisionVerdict, PromotionState

STATUS = {"signoff_expired": 410, "signoff_revoked": 410, "signoff_used": 410}


class SignoffForm(forms.Form):
    verdict = forms.ChoiceField(
        label=_("Your decision"),
        choices=[
            (DecisionVerdict.APPROVE, _("Approve")),
            (DecisionVerdict.REQUEST_CHANGES, _("Request changes")),
            (DecisionVerdict.REJECT, _("Reject")),
        ],
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LIMIT,
        widget=forms.Textarea(attrs={"rows": 5, "maxlength": REASON_LIMIT}),
    )
    dossier_digest = forms.CharField(max_length=80, widget=forms.HiddenInput)
    key = forms.UUIDField(widget=forms.HiddenInput)


@sensitive_variables("link")
@never_cache
@require_http_methods(["GET", "POST"])
def signoff(request: HttpRequest, link: str) -> HttpResponse:
    """Looking at the page uses nothing up: scanners of mail follow links, too."""
    answer = _answer(request, link)
    answer["Referrer-Policy"] = "no-referrer"  # the address is the secret
    answer["X-Robots-Tag"] = "noindex"
    return answer


def _answer(request: HttpRequest, link: str) -> HttpResponse:
    try:
        invitation = signoffs.invitation_of(link)
    except NotFound:
        return trouble(request, None, 404, str(_("There is no such link. Was it copied whole?")))
    given = {name: request.POST.get(name, "") for name in ("verdict", "reason", "dossier_digest")}
    refusal: Problem | None = None
    if request.method == "POST":
        try:
            signoffs.decide_by_link(command=_command(request, invitation, given), link=link, **given)
            return render(request, "console/signoff.html", {"done": True})
        except Problem as problem:
            refusal = problem
            invitation.refresh_from_db()
    if code := signoffs.why_closed(invitation):
        return trouble(request, None, STATUS[code], sentence(Message(code)))
    return _page(request, invitation, given, refusal)


def _command(request: HttpRequest, invitation: SignoffInvitation, given: dict[str, str]) -> Command:
    key = request.POST.get("key", "")[:40]
    idempotency = None
    if key:
        # Not the path: the link would stand in the database.
        idempotency = Idempotency("POST", f"/signoff/{invitation.id}", key, digest_of(given))
    return Command(
        actor=signoffs.guest(invitation),
        request_id=getattr(request, "crivo_request_id", None) or uuid7(),
        idempotency=idempotency,
    )


def _page(
    request: HttpRequest, invitation: SignoffInvitation, given: dict[str, str], refusal: Problem | None
) -> HttpResponse:
    promotion = invitation.promotion
    version = promotion.version
    dossier = assess(promotion, timezone.now())
    ready = promotion.state == PromotionState.AWAITING_APPROVAL and dossier.complete
    form = None
    if ready:
        kept = {name: given[name] for name in ("verdict", "reason")}
        form = SignoffForm(initial={**kept, "dossier_digest": dossier.digest, "key": uuid7()})
    use_case = UseCase.objects.filter(
        workspace_id=promotion.workspace_id, name=version.metadata.get("use_case", "")
    ).first()
    context: dict[str, Any] = {
        "invitation": invitation,
        "role": EXTERNAL[invitation.role],
        "promotion": promotion,
        "use_case": use_case,
        "lines": requirement_lines(dossier),
        "digest": dossier.digest,
        "form": form,
        "refusal": sentence(refusal.message) if refusal else "",
    }
    return render(request, "console/signoff.html", context, status=refusal.status if refusal else 200)
