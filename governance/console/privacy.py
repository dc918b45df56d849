"""Personal data on one page: what there is of a person, erasing it, and the legal holds that forbid that.

Each form calls its service under the name of who sent it; what the service refuses is shown as it words it, with its
own status. A form that is not offered spares a way in vain, nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits import privacy
from audits.errors import NotFound, Problem
from audits.ids import uuid7
from audits.services import erasure
from audits.services.reasons import REASON_LIMIT
from governance.console.findings import once
from governance.console.people import Names, Visitor, command_of, page
from governance.console.wording import sentence
from governance.models import SignoffInvitation
from governance.roles import EXTERNAL

SHOWN = 500


class EraseForm(forms.Form):
    """`confirm` repeats what the person is called, so that nobody erases the wrong one with one click."""

    reason = forms.CharField(label=_("Reason"), max_length=REASON_LIMIT)
    confirm = forms.CharField(max_length=150)
    once = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, called: str) -> None:
        super().__init__(data, auto_id="erase_%s", label_suffix="", initial={"once": uuid7()})
        self.called = called
        self.fields["confirm"].label = gettext("To confirm, type: {name}").format(name=called)
        self.fields["confirm"].widget.attrs["autocomplete"] = "off"

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed != self.called:
            raise forms.ValidationError(
                gettext("That is not what this person is called. Nothing was erased.")
            )
        return typed


class HoldForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=REASON_LIMIT)
    once = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="hold_%s", label_suffix="", initial={"once": uuid7()})


@dataclass(frozen=True)
class HoldRow:
    """A hold with the names of who placed and lifted it."""

    told: privacy.ToldHold
    placed_by: str
    lifted_by: str


@dataclass(frozen=True)
class Outsider:
    """Somebody without an account who was asked to sign off: no list of people has them."""

    id: UUID
    name: str
    role: str
    asked_at: datetime


def called(found: privacy.Preview) -> str:
    """What is typed to confirm: the user name, or the beginning of the id of who has none (any more)."""
    if found.account is not None and not found.account.erased:
        return found.account.username
    return str(found.person)[:8]


@page
def overview(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if not visitor.keeps_privacy:
        raise PermissionDenied(gettext("Personal data is looked after by those who may erase or hold."))
    text = request.GET.get("person", "").replace("\x00", "").strip()[:150]
    if not text:
        return _shown(request, visitor)
    person = privacy.person_called(visitor.actor, text)
    if person is None:
        said = gettext("Nobody who is called so is known in this workspace.")
        return _shown(request, visitor, more={"asked": text, "unknown": said, "status": 404})
    return _shown(request, visitor, person, more={"asked": text})


def _shown(
    request: HttpRequest,
    visitor: Visitor,
    person: UUID | None = None,
    refusal: Problem | None = None,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    if refusal is not None and not visitor.keeps_privacy:
        raise refusal
    found = privacy.preview(visitor.actor, person) if person is not None else None
    erases, holds = visitor.may(privacy.ERASE), visitor.may(privacy.HOLD)
    context: dict[str, Any] = {
        "visitor": visitor,
        "here": "roles",
        "found": found,
        "name": (found.name or called(found)) if found else "",
        "reasons": [sentence(reason) for reason in found.reasons] if found else [],
        "refusal": sentence(refusal.message) if refusal else "",
        "asked": called(found) if found else "",
        "may_hold": holds,
        "outside": _outside(visitor),
        **_holds(visitor),
    }
    if found is not None and erases and not found.reasons:
        context["erase_form"] = EraseForm(called=called(found))
    if found is not None and holds:
        context["hold_form"] = HoldForm()
    context |= more or {}
    status = context.pop("status", refusal.status if refusal else 200)
    return render(request, "console/privacy.html", context, status=status)


def _holds(visitor: Visitor) -> dict[str, list[HoldRow]]:
    rows = privacy.holds(visitor.actor).order_by(F("lifted_event").desc(nulls_first=True), "-id")[:SHOWN]
    told = privacy.told(rows)
    names = Names(visitor.workspace.id, [who for hold in told for who in (hold.placed_by, hold.lifted_by)])
    lines = [
        HoldRow(hold, names[hold.placed_by], names[hold.lifted_by] if hold.lifted_by else "") for hold in told
    ]
    return {
        "standing": [row for row in lines if row.told.standing],
        "lifted": [row for row in lines if not row.told.standing],
    }


def _outside(visitor: Visitor) -> list[Outsider]:
    rows = list(SignoffInvitation.objects.filter(workspace=visitor.workspace).order_by("-id")[:SHOWN])
    names = Names(visitor.workspace.id, [row.actor_id for row in rows])
    return [
        Outsider(row.actor_id, names[row.actor_id], str(EXTERNAL[row.role]), row.created_at) for row in rows
    ]


def _seen(visitor: Visitor, name: UUID) -> None:
    if not visitor.keeps_privacy:
        raise NotFound("not_found", kind="person", name=str(name))


def _page_of(person: UUID) -> str:
    return f"{reverse('admin:privacy')}?person={person}"


@page
def erase(request: HttpRequest, visitor: Visitor, person: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    _seen(visitor, person)
    found = privacy.preview(visitor.actor, person)
    form = EraseForm(request.POST, called=called(found))
    if not form.is_valid() and visitor.may(privacy.ERASE):
        if (
            found.erased_at is not None and not found.texts
        ):  # a second click: the name is gone since the first
            return redirect(_page_of(person))
        return _shown(request, visitor, person, more={"erase_form": form, "status": 422})
    reason = form.cleaned_data.get("reason", "")
    try:
        command = command_of(request, visitor, once(request, {"reason": reason}))
        event = erasure.erase_person(command=command, person=person, reason=reason).value
    except Problem as problem:
        return _shown(request, visitor, person, problem)
    said = gettext("Erased: {texts} texts. Nothing brings them back; every proof holds as before.")
    notices.success(request, said.format(texts=event.detail["texts"]))
    return redirect(_page_of(person))


@page
def place(request: HttpRequest, visitor: Visitor, person: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    _seen(visitor, person)
    form = HoldForm(request.POST)
    if not form.is_valid() and visitor.may(privacy.HOLD):
        return _shown(request, visitor, person, more={"hold_form": form, "status": 422})
    reason = form.cleaned_data.get("reason", "")
    try:
        command = command_of(request, visitor, once(request, {"reason": reason}))
        erasure.place_hold(command=command, person=person, reason=reason)
    except Problem as problem:
        return _shown(request, visitor, person, problem)
    notices.success(request, gettext("The hold stands. Nothing of this person is erased until it is lifted."))
    return redirect(_page_of(person))


@page
def lift(request: HttpRequest, visitor: Visitor, hold_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    row = privacy.hold(visitor.actor, hold_id)
    reason = request.POST.get("reason", "").replace("\x00", "")
    try:
        erasure.lift_hold(command=command_of(request, visitor), hold_id=row.id, reason=reason)
    except Problem as problem:
        return _shown(request, visitor, row.person_id, problem)
    notices.success(request, gettext("The hold is lifted."))
    return redirect(_page_of(row.person_id))


def urls(view: Any) -> list[URLPattern]:
    return [
        path("roles/privacy", view(overview), name="privacy"),
        path("roles/privacy/<uuid:person>/erase", view(erase), name="erase-person"),
        path("roles/privacy/<uuid:person>/hold", view(place), name="place-hold"),
        path("roles/privacy/holds/<uuid:hold_id>/lift", view(lift), name="lift-hold"),
    ]
