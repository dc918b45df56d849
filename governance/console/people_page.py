"""People and groups of a workspace on one screen: accounts, who is in which group, which roles they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext

from audits.actors import authoriser
from audits.errors import Problem
from governance import access
from governance.console.people import Visitor, page
from governance.console.permissions import scope_in_words, subjects_of
from governance.console.wording import sentence
from governance.models import Group, User
from governance.roles import ROLES
from governance.selectors import people_of

SHOWN = 500


@dataclass(frozen=True)
class Held:
    """A role now in force; `scope` is empty for the whole workspace."""

    title: str | Promise
    scope: str


@dataclass(frozen=True)
class PersonRow:
    user: User
    roles: list[Held]
    groups: list[str]


@dataclass(frozen=True)
class GroupRow:
    group: Group
    roles: list[Held]
    members: list[User]


@page
def people(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    return people_shown(request, visitor)


def people_shown(
    request: HttpRequest,
    visitor: Visitor,
    refusal: Problem | None = None,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The page, with the forms of an administrator; after a refusal, with what the service said."""
    from governance.console.access_forms import GroupForm, PersonForm  # which show this page again

    if refusal is not None and not visitor.may("access.read"):
        raise refusal
    if not visitor.may("access.read"):
        raise PermissionDenied(gettext("Who is in which group is read by auditors and administrators."))
    manages = visitor.may("person.manage"), visitor.may("group.manage")
    context = {
        "visitor": visitor,
        "here": "roles",
        "shown": SHOWN,
        "refusal": sentence(refusal.message) if refusal else "",
        "person_form": PersonForm(auto_id="person_%s", label_suffix=""),
        "group_form": GroupForm(auto_id="group_%s", label_suffix=""),
        **(more or {}),
        "keeps_privacy": visitor.keeps_privacy,
        "manages_people": manages[0],
        "manages_groups": manages[1],
        **_rows(visitor),
    }
    return render(request, "console/people.html", context, status=refusal.status if refusal else 200)


def _rows(visitor: Visitor) -> dict[str, object]:
    """A few queries, however many people."""
    held: dict[UUID, list[Held]] = defaultdict(list)
    rows = list(access.bindings().filter(access.in_workspace(visitor.workspace.id)).order_by("role", "id"))
    subjects = subjects_of(rows)
    for row in rows:
        scope = scope_in_words(row, subjects)
        held[row.person_id or row.group_id or row.token_id].append(Held(ROLES[row.role].title, scope))
    groups = list(authoriser().visible(visitor.actor, Group.objects.order_by("name"))[:SHOWN])
    members: dict[UUID, list[User]] = defaultdict(list)
    belongs: dict[UUID, list[str]] = defaultdict(list)
    joined = access.memberships().filter(group__in=groups).select_related("person", "group")
    for row in joined.order_by("group__name", "person__username"):
        members[row.group_id].append(row.person)
        belongs[row.person_id].append(row.group.name)
    users = people_of(visitor.actor).order_by("-is_active", "username")[:SHOWN]
    return {
        "people": [PersonRow(user, held[user.id], belongs[user.id]) for user in users],
        "groups": [GroupRow(group, held[group.id], members[group.id]) for group in groups],
    }
