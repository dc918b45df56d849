"""The trail for auditors: what happened, newest first, searchable, one sentence each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from audits import verbs
from audits.actors import authoriser
from audits.ledger import pruned
from audits.models import Event
from audits.models.ledger import Outcome
from audits.trail import KIND, WORDS, TrailQuery
from governance.console.history import Line, lines_of
from governance.console.people import Visitor
from governance.console.wording import sentence

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
    actor = forms.UUIDField(label=_("Who (id)"), required=False)
    subject_kind = forms.RegexField(rf"^{KIND}\Z", label=_("About (kind)"), required=False)
    subject_id = forms.UUIDField(label=_("About (id)"), required=False)
    request_id = forms.UUIDField(label=_("Request (id)"), required=False)
    correlation_id = forms.UUIDField(label=_("Belongs together (id)"), required=False)
    before = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        known = [(verb, verb) for verb in sorted(verbs.all_verbs())]
        verb_field = self.fields["verb"]
        if isinstance(verb_field, forms.ChoiceField):
            verb_field.choices = [("", _("anything")), *known]

    def clean_q(self) -> str:
        words = str(self.cleaned_data["q"]).split()
        if len(words) > WORDS:
            raise forms.ValidationError(_("At most %(limit)d words."), params={"limit": WORDS})
        return " ".join(words)

    def query(self) -> dict[str, Any]:
        """As `TrailQuery.parse` reads it. Days are days in UTC."""
        given = self.cleaned_data
        ids = ("actor", "subject_id", "request_id", "correlation_id")
        asked = {name: str(given[name]) for name in ids if given[name]}
        asked |= {name: given[name] for name in ("q", "verb", "outcome", "subject_kind") if given[name]}
        if given["since"]:
            asked["from"] = datetime.combine(given["since"], time.min, UTC).isoformat()
        if given["until"] and given["until"] < date.max:
            asked["to"] = (datetime.combine(given["until"], time.min, UTC) + timedelta(days=1)).isoformat()
        return asked


@dataclass(frozen=True)
class Trail:
    lines: list[Line] = field(default_factory=list)
    older: UUID | None = None
    pruned: list[str] = field(default_factory=list)  # on the last page: what is in an export only


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
    told = [] if older else pruned.notes(visitor.workspace.id, since=TrailQuery.parse(search.query()).since)
    return Trail(lines_of(rows[:PAGE], visitor.workspace.id), older, [sentence(note) for note in told])


def _matching(visitor: Visitor, search: Search) -> QuerySet[Event]:
    events = authoriser().visible(visitor.actor, Event.objects.all())
    return TrailQuery.parse(search.query()).apply(events, visitor.workspace.id)
