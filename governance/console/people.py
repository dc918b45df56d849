"""Who is looking at a page, and in which workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext

from audits.actors import Actor, Command, Idempotency, SubjectRef, authoriser, system_actor
from audits.errors import Problem
from audits.ids import uuid7
from audits.models import Workspace
from audits.privacy import reads_privacy
from governance import access, selectors
from governance.actors import DEFAULT_WORKSPACE, actor_of_person
from governance.console.wording import SYSTEM, sentence, word
from governance.models import User
from governance.models.access import BindingScope
from governance.roles import actions_of

P = ParamSpec("P")
SESSION_KEY = "crivo_workspace"


@dataclass(frozen=True)
class Visitor:
    """A signed-in person in one of the workspaces where they hold a role."""

    user: User
    workspace: Workspace
    workspaces: list[Workspace]
    roles: frozenset[str]

    @property
    def actor(self) -> Actor:
        return actor_of_person(self.user, self.workspace)

    @cached_property
    def _held(self) -> list[access.Held]:
        return access.held_by(self.actor)

    def roles_on_model(self, model_id: UUID) -> frozenset[str]:
        """The roles that count for one model; one query, however many models are asked about."""
        return frozenset(role.role for role in self._held if role.covers(("model", model_id)))

    @property
    def reads_trail(self) -> bool:
        """Whether the navigation offers the trail; the page itself asks the authoriser."""
        return "audit.read" in actions_of(self.roles)

    @property
    def manages_webhooks(self) -> bool:
        """As above, for the page of webhooks."""
        return self.may("webhook.manage")

    @property
    def keeps_privacy(self) -> bool:
        """As above, for the page of personal data: who may erase or hold."""
        return reads_privacy(self.actor)

    def may(self, action: str, ref: SubjectRef | None = None) -> bool:
        return authoriser().may(self.actor, action, ref)

    def may_somewhere(self, action: str) -> bool:
        return authoriser().anywhere(self.actor, action)


def visitor_of(request: HttpRequest) -> Visitor | None:
    """The person behind the session, or None if no workspace gave them a role."""
    user = request.user
    if not isinstance(user, User):
        return None
    roles: dict[Workspace, set[str]] = {}
    for binding in access.of_person(user.id).select_related("workspace"):
        everywhere = binding.scope_kind == BindingScope.SERVICE
        for workspace in Workspace.objects.all() if everywhere else [binding.workspace]:
            roles.setdefault(workspace, set()).add(binding.role)
    if not roles:
        return None
    wanted = request.session.get(SESSION_KEY)

    def preference(workspace: Workspace) -> tuple[bool, bool, str]:
        return str(workspace.id) != wanted, workspace.name != DEFAULT_WORKSPACE, workspace.name

    ordered = sorted(roles, key=preference)
    chosen = ordered[0]
    return Visitor(
        user, chosen, sorted(roles, key=lambda workspace: workspace.name), frozenset(roles[chosen])
    )


def command_of(request: HttpRequest, visitor: Visitor, idempotency: Idempotency | None = None) -> Command:
    return Command(
        actor=visitor.actor,
        request_id=getattr(request, "crivo_request_id", None) or uuid7(),
        idempotency=idempotency,
    )


Page = Callable[Concatenate[HttpRequest, Visitor, P], HttpResponse]


def page(view: Page[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """A page for somebody with a role. What is not found, or may not be seen, is a page that says so."""

    @wraps(view)
    def answer(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        visitor = visitor_of(request)
        if visitor is None:
            text = gettext("You hold no role in any workspace. An administrator gives roles.")
            return trouble(request, None, 403, text)
        try:
            return view(request, visitor, *args, **kwargs)
        except Problem as problem:
            return trouble(request, visitor, problem.status, sentence(problem.message))
        except PermissionDenied as denied:
            return trouble(request, visitor, 403, str(denied))

    return cast(Callable[Concatenate[HttpRequest, P], HttpResponse], answer)


def trouble(request: HttpRequest, visitor: Visitor | None, status: int, text: str) -> HttpResponse:
    titles = {
        403: gettext("Not permitted"),
        404: gettext("Not found"),
        409: gettext("Not now"),
        422: gettext("Not possible"),
    }
    context: dict[str, Any] = {
        "visitor": visitor,
        "heading": titles.get(status, gettext("That did not work")),
        "text": text,
    }
    return render(request, "console/trouble.html", context, status=status)


class Names:
    """How actors are called: people and tokens by name, Crivo's own processes by what they do. Two queries."""

    def __init__(self, workspace: UUID, ids: Iterable[UUID | None]) -> None:
        self._system = {system_actor(process, workspace).id: process for process in SYSTEM}
        self._names = selectors.names_of({known for known in ids if known is not None} - set(self._system))

    def __getitem__(self, actor_id: UUID | None) -> str:
        if actor_id in self._system:
            return word(SYSTEM, self._system[actor_id])
        if actor_id is None:
            return gettext("nobody")
        return self._names.get(actor_id) or gettext("somebody unknown ({id})").format(id=str(actor_id)[:8])
