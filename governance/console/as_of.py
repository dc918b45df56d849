"""The page that answers for a moment in the past: what was known, which policy applied, who held which role, what the
gate answered.
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path

from audits.errors import Problem
from governance import as_of
from governance.api.as_of import moment
from governance.console.history import lines_of
from governance.console.people import Visitor, page
from governance.console.wording import ROLE_TITLES, STATES, sentence, word


@page
def state(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if not visitor.may_somewhere("audit.read"):
        raise PermissionDenied
    subject, at = request.GET.get("subject", "").strip(), request.GET.get("at", "").strip()
    context = {"visitor": visitor, "here": "trail", "subject": subject, "at": at}
    if subject:
        try:
            found = as_of.state_of(visitor.actor, subject, moment(at or None))
        except Problem as problem:
            context["refusal"] = sentence(problem.message)
            return render(request, "console/as_of.html", context, status=problem.status)
        context |= {
            "found": found,
            "state": word(STATES, found.state) if found.state else "",
            "lines": lines_of([told.event for told in found.events], visitor.workspace.id),
            "policies": [(row, sentence(row.reason) if row.reason else "") for row in found.policies],
            "roles": [(row, word(ROLE_TITLES, row.role)) for row in found.roles],
            "pruned": [sentence(note) for note in found.pruned],
            "gate": [(row, [sentence(reason) for reason in row.answer.reasons]) for row in found.gate],
        }
    return render(request, "console/as_of.html", context)


def urls(view: object) -> list[URLPattern]:
    """Our address below /admin/; `view` is what guards a page of the site."""
    return [path("trail/state", view(state), name="as_of")]  # type: ignore[operator]
