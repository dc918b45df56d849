"""The page «who could have»: asked of governance.who_could, for whoever may read about access."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.actors import authoriser
from audits.errors import Problem
from governance.console.people import Visitor, command_of, page
from governance.console.permissions import given_roles, permissions
from governance.console.wording import sentence
from governance.models import RoleBinding
from governance.roles import ACTIONS
from governance.services.access import recertify_role
from governance.who_could import who_could
from registry import selectors
from registry.selectors import found


class Question(forms.Form):
    action = forms.ChoiceField(label=_("Action"), choices=[(name, name) for name in sorted(ACTIONS)])
    at = forms.DateTimeField(
        label=_("At (UTC)"), required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    model = forms.CharField(label=_("Model"), required=False, max_length=200)

    def clean_at(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["at"]
        if at is not None and at > timezone.now():
            raise forms.ValidationError(gettext("That time has not come yet."))
        return at


@page
def who(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if not visitor.may("access.read"):
        raise PermissionDenied(gettext("Who could have done what is read by auditors and administrators."))
    question = Question(request.GET or None, label_suffix="", initial={"action": "promotion.decide"})
    answer, limits, status = None, [], 200
    if question.is_bound and not question.is_valid():
        status = 400
    elif question.is_bound:
        asked = question.cleaned_data
        on = selectors.model(visitor.actor, asked["model"]).ref if asked["model"] else None
        answer = who_could(visitor.workspace.id, asked["action"], asked["at"] or timezone.now(), on)
        limits = [sentence(limit) for limit in answer.limits]
    context = {"visitor": visitor, "here": "roles", "question": question, "answer": answer, "limits": limits}
    return render(request, "console/who_could.html", context, status=status)


def roles_page(
    request: HttpRequest,
    visitor: Visitor,
    refusal: Problem | None = None,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The table of roles, who holds them, and for administrators those that are due, and the forms to give and take."""
    from governance.console.access_forms import GiveForm  # which shows this page again

    gives = visitor.may_somewhere("role.bind")
    context = {
        "visitor": visitor,
        "here": "roles",
        "table": permissions(visitor),
        "reads_access": visitor.may("access.read"),
        "refusal": sentence(refusal.message) if refusal else "",
        "given": given_roles(visitor) if gives else [],
        **(more or {}),
    }
    if gives:
        context.setdefault("give", GiveForm(auto_id="give_%s", label_suffix=""))
    else:
        context.pop("give", None)
    return render(request, "console/roles.html", context, status=refusal.status if refusal else 200)


@page
def recertify(request: HttpRequest, visitor: Visitor, binding_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    rows = authoriser().visible(visitor.actor, RoleBinding.objects.filter(id=binding_id))
    binding = found(rows, "role binding", str(binding_id))
    reason = request.POST.get("reason", "").replace("\x00", "")
    try:
        recertify_role(command=command_of(request, visitor), binding=binding, reason=reason)
    except Problem as problem:
        return roles_page(request, visitor, problem)
    notices.success(request, gettext("Recertified. It counts once its event is in a signed checkpoint."))
    return redirect("admin:roles")
