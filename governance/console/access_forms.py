"""Giving and taking on pages: roles, groups and who is in them, accounts, tokens.

Every form calls its service under the name of who sent it; what the service refuses is shown as it words it, above the
forms, with its own status. A form that is not offered spares a way in vain, nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.actors import SubjectRef, authoriser
from audits.errors import NotFound, Problem
from audits.ids import uuid7
from governance import selectors as people_selectors
from governance.console.findings import once
from governance.console.people import Visitor, command_of, page
from governance.console.people_page import people_shown
from governance.console.who_could import roles_page
from governance.console.wording import sentence
from governance.models import ApiToken, Group, RoleBinding, User
from governance.models.access import BindingScope
from governance.roles import ROLES, SCOPES
from governance.services import access, identity, people
from governance.services.people import named
from registry.selectors import dataset, found, model

SHOWN = 500
PERSON, GROUP, TOKEN = "person", "group", "token"


class GiveForm(forms.Form):
    """A role to somebody. `on` is for the scopes of one model and one dataset."""

    role = forms.ChoiceField(label=_("Role"), choices=[(slug, role.title) for slug, role in ROLES.items()])
    kind = forms.ChoiceField(
        label=_("To a"), choices=[(PERSON, _("person")), (GROUP, _("group")), (TOKEN, _("service token"))]
    )
    name = forms.CharField(
        label=_("Who"),
        max_length=200,
        help_text=_("User name, name of the group, or public id of the token."),
    )
    scope = forms.ChoiceField(label=_("Scope"), choices=BindingScope.choices, initial=BindingScope.WORKSPACE)
    on = forms.CharField(
        label=_("Model or dataset"),
        max_length=200,
        required=False,
        help_text=_("Its name, for these scopes."),
    )
    recertify_days = forms.IntegerField(
        label=_("Lapses after days, unless recertified"), min_value=1, max_value=3660, initial=365
    )


class GroupForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=200)
    description = forms.CharField(label=_("Description"), max_length=2000, required=False)


class PersonForm(forms.Form):
    username = forms.CharField(label=_("User name"), max_length=150)
    first_name = forms.CharField(label=_("First name"), max_length=150, required=False)
    last_name = forms.CharField(label=_("Last name"), max_length=150, required=False)
    email = forms.EmailField(label=_("E-mail"), required=False)


class TokenForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100, help_text=_("What it is used for."))
    kind = forms.ChoiceField(label=_("Kind"), choices=ApiToken.Kind.choices)
    person = forms.CharField(
        label=_("Who answers for it (user name)"), max_length=150, required=False, help_text=_("Empty: you.")
    )
    days = forms.IntegerField(label=_("Valid for days"), min_value=1, max_value=366, initial=90)
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"), choices=[(scope, scope) for scope in SCOPES], widget=forms.CheckboxSelectMultiple
    )


@dataclass(frozen=True)
class Step:
    """What a form asks for: done, it says `said` and goes back to the page named `to`."""

    run: Callable[[], object]
    said: Any
    to: str


Again = Callable[[HttpRequest, Visitor, Problem | None, dict[str, Any]], HttpResponse]


def _roles(
    request: HttpRequest, visitor: Visitor, refusal: Problem | None, more: dict[str, Any]
) -> HttpResponse:
    return roles_page(request, visitor, refusal, more)


def _people(
    request: HttpRequest, visitor: Visitor, refusal: Problem | None, more: dict[str, Any]
) -> HttpResponse:
    return people_shown(request, visitor, refusal, more)


def _tokens_shown(
    request: HttpRequest, visitor: Visitor, refusal: Problem | None, more: dict[str, Any]
) -> HttpResponse:
    now = timezone.now()
    rows = _tokens(visitor).order_by("-created_at")[:SHOWN]
    form = TokenForm(auto_id="token_%s", label_suffix="")
    context = {
        "visitor": visitor,
        "here": "roles",
        "rows": [(row, row.revoked_at is None and row.expires_at > now) for row in rows],
        "form": form if visitor.may("token.issue") else None,
        "once": uuid7(),
        "refusal": sentence(refusal.message) if refusal else "",
        **more,
    }
    return render(request, "console/tokens.html", context, status=refusal.status if refusal else 200)


def _done(request: HttpRequest, visitor: Visitor, again: Again, step: Step, **more: Any) -> HttpResponse:
    try:
        step.run()
    except Problem as problem:
        return again(request, visitor, problem, more)
    notices.success(request, step.said)
    return redirect(step.to)


def _invalid(request: HttpRequest, visitor: Visitor, again: Again, **more: Any) -> HttpResponse:
    """A form with a gap, shown again with its gaps; nothing was asked of a service."""
    answer = again(request, visitor, None, more)
    if answer.status_code == 200:
        answer.status_code = 422
    return answer


@page
def give(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = GiveForm(request.POST, auto_id="give_%s", label_suffix="")
    if not form.is_valid() and visitor.may_somewhere("role.bind"):
        return _invalid(request, visitor, _roles, give=form)
    given = {name: form.cleaned_data.get(name, "") for name in GiveForm.base_fields}

    def run() -> None:
        access.bind_role(
            command=command_of(request, visitor),
            role=given["role"],
            scope=given["scope"] or BindingScope.WORKSPACE,
            on=_subject(visitor, given["scope"], given["on"]),
            recertify_every=timedelta(days=given["recertify_days"] or 365),
            **_principal(visitor, given["kind"], given["name"]),
        )

    said = gettext("The role is given. It counts once its event is in a signed checkpoint.")
    return _done(request, visitor, _roles, Step(run, said, "admin:roles"), give=form)


def _subject(visitor: Visitor, scope: str, name: str) -> SubjectRef | None:
    if scope == BindingScope.MODEL and name:
        return model(visitor.actor, name).ref
    if scope == BindingScope.DATASET and name:
        return dataset(visitor.actor, name).ref
    return None


def _principal(visitor: Visitor, kind: str, name: str) -> dict[str, Any]:
    if kind == GROUP:
        return {GROUP: _group(visitor, name)}
    if kind == TOKEN:
        return {TOKEN: found(_tokens(visitor).filter(public_id=name), "token", name)}
    return {PERSON: named(name)}


def _group(visitor: Visitor, name: str) -> Group:
    return found(authoriser().visible(visitor.actor, Group.objects.filter(name=name)), "group", name)


def _tokens(visitor: Visitor) -> Any:
    """All for who may read about access; one's own for everybody."""
    rows = ApiToken.objects.select_related("person")
    if visitor.may("access.read"):
        return authoriser().visible(visitor.actor, rows)
    return rows.filter(workspace=visitor.workspace, person=visitor.user)


@page
def take(request: HttpRequest, visitor: Visitor, binding_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    rows = authoriser().visible(visitor.actor, RoleBinding.objects.filter(id=binding_id))
    binding = found(rows, "role binding", str(binding_id))
    step = Step(
        lambda: access.unbind_role(command=command_of(request, visitor), binding=binding),
        gettext("The role is taken away."),
        "admin:roles",
    )
    return _done(request, visitor, _roles, step)


@page
def new_group(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = GroupForm(request.POST, auto_id="group_%s", label_suffix="")
    if not form.is_valid() and visitor.may("group.manage"):
        return _invalid(request, visitor, _people, group_form=form)
    name, description = form.cleaned_data.get("name", ""), form.cleaned_data.get("description", "")
    step = Step(
        lambda: access.create_group(command=command_of(request, visitor), name=name, description=description),
        gettext("The group is there."),
        "admin:people",
    )
    return _done(request, visitor, _people, step, group_form=form)


@page
def member(request: HttpRequest, visitor: Visitor, name: str) -> HttpResponse:
    """Add somebody, or take somebody out, as the button says."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    group = _group(visitor, name)
    person = request.POST.get("person", "").replace("\x00", "")[:150]
    if request.POST.get("act") == "remove":
        step = Step(
            lambda: access.remove_member(
                command=command_of(request, visitor), group=group, person=named(person, active=False)
            ),
            gettext("Taken out of the group, at once."),
            "admin:people",
        )
    else:
        step = Step(
            lambda: access.add_member(
                command=command_of(request, visitor), group=group, person=named(person)
            ),
            gettext("Added. The roles of the group count once this is in a signed checkpoint."),
            "admin:people",
        )
    return _done(request, visitor, _people, step)


@page
def new_person(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = PersonForm(request.POST, auto_id="person_%s", label_suffix="")
    if not form.is_valid() and visitor.may("person.manage"):
        return _invalid(request, visitor, _people, person_form=form)
    given = {name: form.cleaned_data.get(name, "") for name in PersonForm.base_fields}
    step = Step(
        lambda: people.create_person(command=command_of(request, visitor), **given),
        gettext("The account is made, without a role. Its password is set on the server."),
        "admin:people",
    )
    return _done(request, visitor, _people, step, person_form=form)


@page
def account(request: HttpRequest, visitor: Visitor, username: str) -> HttpResponse:
    """End an account or restore it, as the button says, with a reason."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    person: User = found(
        people_selectors.people_of(visitor.actor).filter(username=username), "person", username
    )
    reason = request.POST.get("reason", "").replace("\x00", "")
    ends = request.POST.get("act") != "restore"
    switch = people.deactivate_person if ends else people.reactivate_person
    step = Step(
        lambda: switch(command=command_of(request, visitor), person=person, reason=reason),
        gettext("The account is ended.") if ends else gettext("The account is restored."),
        "admin:people",
    )
    return _done(request, visitor, _people, step)


@page
def tokens(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """The list; and a POST issues one, whose text stands on this one answer and nowhere else."""
    if request.method != "POST":
        return _tokens_shown(request, visitor, None, {})
    form = TokenForm(request.POST, auto_id="token_%s", label_suffix="")
    if not form.is_valid() and visitor.may("token.issue"):
        return _invalid(request, visitor, _tokens_shown, form=form)
    given = {name: form.cleaned_data.get(name, "") for name in TokenForm.base_fields}
    issued, key = identity.Issued(), {name: str(value) for name, value in given.items()}
    try:
        row = identity.issue_token(
            command=command_of(request, visitor, once(request, key)),
            person=named(given["person"]) if given["person"] else visitor.user,
            name=given["name"],
            kind=given["kind"],
            scopes=list(given["scopes"]),
            lifetime=timedelta(days=given["days"] or 0),
            issued=issued,
        ).value
    except Problem as problem:
        more = {"form": form} if visitor.may("token.issue") else {}
        return _tokens_shown(request, visitor, problem, more)
    if not issued.text:
        notices.success(request, gettext("That token was issued already; its text was shown then."))
        return redirect("admin:tokens")
    context = {"visitor": visitor, "here": "roles", "token": row, "text": issued.text}
    response = render(request, "console/issued.html", context)
    response["Cache-Control"] = "no-store"
    return response


@page
def revoke(request: HttpRequest, visitor: Visitor, token_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    token = _tokens(visitor).filter(id=token_id).first()
    if token is None:
        raise NotFound("not_found", kind="token", name=str(token_id))
    step = Step(
        lambda: identity.revoke_token(command=command_of(request, visitor), token=token),
        gettext("The token is revoked, at once."),
        "admin:tokens",
    )
    return _done(request, visitor, _tokens_shown, step)


def urls(view: Any) -> list[URLPattern]:
    return [
        path("roles/give", view(give), name="give-role"),
        path("roles/<uuid:binding_id>/take", view(take), name="take-role"),
        path("roles/groups", view(new_group), name="new-group"),
        path("roles/groups/<str:name>/members", view(member), name="group-member"),
        path("roles/accounts", view(new_person), name="new-person"),
        path("roles/accounts/<str:username>", view(account), name="account"),
        path("roles/tokens", view(tokens), name="tokens"),
        path("roles/tokens/<uuid:token_id>/revoke", view(revoke), name="revoke-token"),
    ]
