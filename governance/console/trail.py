"""The trail for auditors: what happened, newest first, searchable, one sentence each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from audits import verbs
from audits.actors import authoriser
from audits.models import Event
from audits.models.ledger import Outcome
from governance.console.history import Line, lines_of
from governance.console.people import Visitor
from governance.models import ApiToken, User

PAGE = 50


class Search(forms.Form):
    """What to look for. Anything left out is not asked about."""

    q = forms.CharField(label=_("Search"), required=False, max_length=200)
    verb = forms.ChoiceField(label=_("What happened"), required=False)
    outcome = forms.ChoiceField(
        label=_("Outcome"), required=False, choices=[("", _("any")), *Outcome.choices]
    )
    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    before = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        known = [(verb, verb) for verb in sorted(verbs.all_verbs())]
        verb_field = self.fields["verb"]
        if isinstance(verb_field, forms.ChoiceField):
            verb_field.choices = [("", _("anything")), *known]


@dataclass(frozen=True)
class Trail:
    lines: list[Line] = field(default_factory=list)
    older: UUID | None = None


def trail(visitor: Visitor, search: Search) -> Trail:
    """A page of the events the visitor may see. A search that is not valid finds nothing."""
    if not search.is_valid():
        return Trail()
    events = _matching(visitor, search)
    if search.cleaned_data["before"]:
        last = events.filter(id=search.cleaned_data["before"]).first()
        if last is not None:
            events = events.filter(Q(at__lt=last.at) | Q(at=last.at, id__lt=last.id))
    rows = list(events.order_by("-at", "-id")[: PAGE + 1])
    older = rows[PAGE - 1].id if len(rows) > PAGE else None
    return Trail(lines_of(rows[:PAGE], visitor.workspace.id), older)


def _matching(visitor: Visitor, search: Search) -> QuerySet[Event]:
    events = authoriser().visible(visitor.actor, Event.objects.all())
    given = search.cleaned_data
    if given["verb"]:
        events = events.filter(verb=given["verb"])
    if given["outcome"]:
        events = events.filter(outcome=given["outcome"])
    if given["since"]:
        events = events.filter(at__gte=datetime.combine(given["since"], time.min, UTC))
    if given["until"]:
        events = events.filter(at__lt=datetime.combine(given["until"], time.min, UTC) + timedelta(days=1))
    for term in given["q"].split()[:8]:
        events = events.filter(_about(visitor, term))
    return events


def _about(visitor: Visitor, term: str) -> Q:
    """A word of a search: an id or a digest exactly, else part of a subject, a verb or somebody's name."""
    try:
        exact = UUID(term)
    except ValueError:
        pass
    else:
        return (
            Q(id=exact)
            | Q(subject_id=exact)
            | Q(actor_id=exact)
            | Q(request_id=exact)
            | Q(correlation_id=exact)
        )
    if term.startswith("sha256:"):
        return Q(subject_digest=term) | Q(evidence__contains=[{"digest": term}])
    names = Q(username__icontains=term) | Q(first_name__icontains=term) | Q(last_name__icontains=term)
    people = User.objects.filter(names).filter(bindings__workspace=visitor.workspace).values("id")
    tokens = ApiToken.objects.filter(workspace=visitor.workspace, name__icontains=term).values("id")
    return (
        Q(subject_label__icontains=term)
        | Q(verb__icontains=term)
        | Q(actor_id__in=people)
        | Q(actor_id__in=tokens)
    )
