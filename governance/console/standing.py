"""Beside a dossier: where the version stands, and the steps that take more than a reason (waivers, glass, invitations).

As elsewhere a form is offered to whoever holds the permission; the service decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.ids import uuid7
from audits.sealing import texts_of
from governance import clock, gate, selectors
from governance.console.acts import ACTS
from governance.console.findings import Item, errors_of, once
from governance.console.people import Visitor, command_of, page
from governance.console.wording import CHECKS, METRICS, reader, sentence, word
from governance.dossier import assess
from governance.models import BrokenGlass, Placement, Promotion
from governance.policy import quorum, terms
from governance.policy.verdict import SATISFYING, requirement_of
from governance.roles import EXTERNAL, actions_of
from governance.services import glass, signoffs, waivers
from governance.services.words import WORDS_LIMIT
from governance.states import OPEN_PROMOTION, GlassState

TONES = {"live": "good", "registered": "good", "superseded": "waiting", "checking": "waiting",
         "awaiting_approval": "waiting"}  # fmt: skip
SEPARATOR = "|"


class WaiverForm(forms.Form):
    requirement = forms.ChoiceField(label=_("Requirement"))
    reason = forms.CharField(
        label=_("Reason"), max_length=WORDS_LIMIT, widget=forms.Textarea(attrs={"rows": 3})
    )
    compensating_control = forms.CharField(
        label=_("What is done instead"), max_length=WORDS_LIMIT, widget=forms.Textarea(attrs={"rows": 3})
    )
    expires = forms.DateField(label=_("Expires"), widget=forms.DateInput(attrs={"type": "date"}))
    once = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *given: Any, promotion: Promotion, **options: Any) -> None:
        super().__init__(*given, **{"auto_id": "waiver_%s", **options})
        self.fields["requirement"].choices = _unmet(promotion)  # type: ignore[attr-defined]


class GlassForm(forms.Form):
    hours = forms.IntegerField(label=_("For how many hours"), min_value=1, max_value=168, initial=4)
    reason = forms.CharField(
        label=_("Reason"), max_length=WORDS_LIMIT, widget=forms.Textarea(attrs={"rows": 3})
    )
    once = forms.UUIDField(widget=forms.HiddenInput)


class InviteForm(forms.Form):
    role = forms.ChoiceField(label=_("As"))
    name = forms.CharField(label=_("Name"), max_length=signoffs.NAME_LIMIT)
    email = forms.EmailField(label=_("E-mail"))
    days = forms.IntegerField(
        label=_("Valid for days"), min_value=1, max_value=signoffs.MAX_LIFETIME.days, initial=7
    )
    once = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *given: Any, promotion: Promotion, **options: Any) -> None:
        super().__init__(*given, **{"auto_id": "invite_%s", **options})
        self.fields["role"].choices = _outside(promotion)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Invitation:
    name: str
    role: str
    state: str
    expires_at: datetime


@dataclass(frozen=True)
class Place:
    """What is said and can be done about the version where the request is about."""

    refused: str  # why the gate does not let through what was granted here; "" if it does, or nothing was
    items: list[Item]
    waiver: WaiverForm | None
    glass: GlassForm | None
    invite: InviteForm | None
    invitations: list[Invitation]


def place(visitor: Visitor, promotion: Promotion) -> Place:
    may = actions_of(visitor.roles)
    open_request = promotion.state in OPEN_PROMOTION
    initial = {"once": uuid7()}
    waivable = terms.waivers(promotion.policy.body) is not None and bool(_unmet(promotion))
    outside = _outside(promotion)
    return Place(
        refused=_refused(promotion),
        items=_items(visitor, promotion, may),
        waiver=WaiverForm(promotion=promotion, initial=initial)
        if "waiver.request" in may and waivable
        else None,
        glass=GlassForm(auto_id="glass_%s", initial=initial) if "placement.break_glass" in may else None,
        invite=InviteForm(promotion=promotion, initial=initial)
        if "signoff.invite" in may and open_request and outside
        else None,
        invitations=_invitations(promotion) if "signoff.invite" in may else [],
    )


def _refused(promotion: Promotion) -> str:
    granted = Placement.objects.filter(promotion=promotion).select_related(
        "version__model", "environment", "promotion__policy"
    )
    placement = granted.first()
    if placement is None:
        return ""
    standing = gate.of_placement(placement)
    if standing.allowed or standing.reason.code == "not_effective_yet":
        return ""
    return " ".join(sentence(reason) for reason in standing.hindrances.shut or (standing.reason,))


def _items(visitor: Visitor, promotion: Promotion, may: frozenset[str]) -> list[Item]:
    version, environment = promotion.version, promotion.environment
    items: list[Item] = []
    placements = Placement.objects.filter(version=version, environment=environment)
    related = placements.select_related("version__model", "environment", "promotion__policy")
    latest = related.order_by("-id").first()
    if latest is not None:
        standing = gate.of_placement(latest)
        about = gettext("The gate lets it through.") if standing.allowed else sentence(standing.reason)
        no_way_back = frozenset() if latest.exclusive else frozenset({"rollback"})
        title = f"{version.label} · {environment.name}"
        tone = "" if standing.allowed else "bad"
        items.append(_item("placement", latest, title, about, may, without=no_way_back, tone=tone))
    items.append(_item("version", version, version.label, gettext("The version, wherever it stands."), may))
    broken = BrokenGlass.objects.filter(
        version=version, environment=environment, state=GlassState.BROKEN, expires_at__gt=clock.now()
    )
    items += [
        _item(
            "glass",
            row,
            gettext("Broken glass"),
            gettext("Let through although refused."),
            may,
            due=row.expires_at,
        )
        for row in broken
    ]
    mine = visitor.user.id in (promotion.requested_by, promotion.requester_id)
    if mine and promotion.state in OPEN_PROMOTION:
        items.append(_item("request", promotion, gettext("Your request"), "", may))
    return items


def _item(
    kind: str,
    row: Any,
    title: str,
    about: str,
    may: frozenset[str],
    *,
    due: datetime | None = None,
    without: frozenset[str] = frozenset(),
    tone: str = "",
) -> Item:
    acts = [
        act
        for act in ACTS[kind]
        if row.state in act.states and act.permission in may and act.slug not in without
    ]
    return Item(
        kind=kind,
        id=row.id,
        title=title,
        state=row.state,
        state_word=row.get_state_display(),
        tone=tone or TONES.get(row.state, "bad"),
        about=about,
        due=due,
        due_word=gettext("open until") if due else "",
        said=[],
        acts=acts,
        key=uuid7(),
    )


def _unmet(promotion: Promotion) -> list[tuple[str, str]]:
    """The requirements that are not met, as the lines of the dossier name them."""
    choices: dict[str, str] = {}
    for line in assess(promotion, clock.now()).lines:
        if line.verdict in SATISFYING or line.verdict == "pending":
            continue
        check, metric, attribute = requirement_of(line)
        parts = [word(CHECKS, check), word(METRICS, metric) if metric else ""]
        parts.append(reader().name(attribute) if attribute else "")
        choices[SEPARATOR.join((check, metric, attribute))] = " · ".join(part for part in parts if part)
    return list(choices.items())


def _outside(promotion: Promotion) -> list[tuple[str, Any]]:
    asked = quorum.needed(promotion.policy.body)
    return [(slug, title) for slug, title in EXTERNAL.items() if slug in asked]


def _invitations(promotion: Promotion) -> list[Invitation]:
    rows = list(promotion.signoffs.order_by("id"))
    said = texts_of([row.event_id for row in rows], "name")
    names = {event: text for (event, _), text in said.items()}
    states = {
        "": gettext("not used yet"),
        "signoff_used": gettext("used"),
        "signoff_revoked": gettext("revoked"),
        "signoff_expired": gettext("expired"),
    }
    return [
        Invitation(
            names.get(row.event_id, ""),
            str(EXTERNAL.get(row.role, row.role)),
            states[signoffs.why_closed(row)],
            row.expires_at,
        )
        for row in rows
    ]


@page
def ask_waiver(request: HttpRequest, visitor: Visitor, promotion_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    promotion = selectors.promotion(visitor.actor, promotion_id)
    form = WaiverForm(request.POST, promotion=promotion)
    if not form.is_valid():
        notices.error(request, errors_of(form))
        return redirect("admin:promotion", promotion_id)
    given = form.cleaned_data
    check, metric, attribute = given["requirement"].split(SEPARATOR)
    waivers.request_waiver(
        command=command_of(request, visitor, once(request, _plain(given))),
        version_id=promotion.version_id,
        environment=promotion.environment.name,
        check=check,
        metric=metric,
        attribute=attribute,
        reason=given["reason"],
        compensating_control=given["compensating_control"],
        expires_at=datetime.combine(given["expires"], time(23, 59, 59), UTC),
    )
    notices.success(request, gettext("The waiver is asked for; somebody else decides on it."))
    return redirect("admin:promotion", promotion_id)


@page
def break_glass(request: HttpRequest, visitor: Visitor, promotion_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    promotion = selectors.promotion(visitor.actor, promotion_id)
    form = GlassForm(request.POST)
    if not form.is_valid():
        notices.error(request, errors_of(form))
        return redirect("admin:promotion", promotion_id)
    given = form.cleaned_data
    glass.break_glass(
        command=command_of(request, visitor, once(request, _plain(given))),
        version_id=promotion.version_id,
        environment=promotion.environment.name,
        reason=given["reason"],
        hours=given["hours"],
    )
    notices.success(
        request, gettext("The glass is broken, and an alarm is open until somebody signs it off.")
    )
    return redirect("admin:promotion", promotion_id)


@page
def invite(request: HttpRequest, visitor: Visitor, promotion_id: UUID) -> HttpResponse:
    """The link stands on this one page and nowhere else: it is not kept, so it cannot be shown again."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    promotion = selectors.promotion(visitor.actor, promotion_id)
    form = InviteForm(request.POST, promotion=promotion)
    if not form.is_valid():
        notices.error(request, errors_of(form))
        return redirect("admin:promotion", promotion_id)
    given, link = form.cleaned_data, signoffs.Link()
    signoffs.invite_signoff(
        command=command_of(request, visitor, once(request, _plain(given))),
        promotion_id=promotion_id,
        role=given["role"],
        name=given["name"],
        email=given["email"],
        lifetime=timedelta(days=given["days"]),
        link=link,
    )
    if not link.text:
        notices.success(request, gettext("That invitation was made already; its link was shown then."))
        return redirect("admin:promotion", promotion_id)
    context = {
        "visitor": visitor,
        "here": "inbox",
        "promotion": promotion,
        "name": given["name"],
        "link": request.build_absolute_uri(reverse("signoff", args=[link.text])),
    }
    response = render(request, "console/invited.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _plain(given: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in given.items()}


def urls(view: Any) -> list[URLPattern]:
    at = "promotions/<uuid:promotion_id>"
    return [
        path(f"{at}/waivers", view(ask_waiver), name="ask_waiver"),
        path(f"{at}/break-glass", view(break_glass), name="break_glass"),
        path(f"{at}/invitations", view(invite), name="invite"),
    ]
