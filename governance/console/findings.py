"""Findings, waivers, conditions, re-reviews and alarms on pages: boxes of a dossier, one list, and what one may do.

Reads through selectors; every act goes through its service, which decides. A form that is not offered spares a way in
vain, nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits import sealing
from audits.actors import Idempotency
from audits.canonical import digest_of
from audits.errors import NotFound
from audits.ids import uuid7
from audits.ledger.inclusion import published_at
from audits.models import EventText
from governance import clock, exceptions, hindrances, selectors
from governance.console.acts import ACTS, Act
from governance.console.people import Names, Visitor, command_of, page
from governance.console.wording import CHECKS, METRICS, reader, sentence, word
from governance.models import Placement, Promotion
from governance.roles import actions_of
from governance.services import findings
from governance.services.words import WORDS_LIMIT
from governance.standings import moment
from governance.states import AlarmState, FindingState, PlacementState, ReviewState, Severity, WaiverState
from registry.models.base import Governed

SHOWN = 200


class FindingForm(forms.Form):
    """What somebody objects to; `once` makes a double click one finding."""

    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices, initial=Severity.MEDIUM)
    owner = forms.CharField(label=_("Owner (user name)"), max_length=150)
    due = forms.DateField(label=_("Due"), widget=forms.DateInput(attrs={"type": "date"}))
    text = forms.CharField(
        label=_("What is wrong"), max_length=WORDS_LIMIT, widget=forms.Textarea(attrs={"rows": 3})
    )
    once = forms.UUIDField(widget=forms.HiddenInput)


@dataclass(frozen=True)
class Item:
    """One row of a box or of the list."""

    kind: str
    id: UUID
    title: str
    state: str
    state_word: str
    tone: str  # good | waiting | bad
    about: str
    due: datetime | None
    due_word: str
    said: list[str]
    acts: list[Act]
    key: UUID


@dataclass(frozen=True)
class Box:
    """What a dossier says beside its verdict."""

    blocked: list[str]  # why the gate is shut, or would be, by findings
    hindrances: list[str]  # what shuts the gate for what is live here
    findings: list[Item]
    waivers: list[Item]
    conditions: list[Item]
    form: FindingForm | None


def box(visitor: Visitor, promotion: Promotion) -> Box:
    now = clock.now()
    version, where = promotion.version, promotion.environment
    rows = list(selectors.findings(visitor.actor).filter(version=version).order_by("-id"))
    excepted = list(
        selectors.waivers(visitor.actor).filter(version=version, environment=where).order_by("-id")
    )
    depends = list(selectors.conditions(visitor.actor).filter(promotion=promotion).order_by("id"))
    maker = _Maker(visitor, now, [*rows, *excepted, *depends])
    live = Placement.objects.filter(
        version=version, environment=where, state=PlacementState.LIVE
    ).select_related("promotion__policy", "version", "environment")
    against = [
        message
        for found in hindrances.hindrances(live, moment(None)).values()
        for message in (*found.shut, *found.warnings)
    ]
    return Box(
        blocked=[sentence(message) for message in exceptions.blocking(rows, promotion.policy.body)],
        hindrances=[sentence(message) for message in against],
        findings=[maker.finding(row) for row in rows],
        waivers=[maker.waiver(row) for row in excepted],
        conditions=[maker.condition(row) for row in depends],
        form=FindingForm(auto_id="finding_%s", initial={"once": uuid7()})
        if "finding.open" in actions_of(visitor.roles)
        else None,
    )


@page
def overview(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """Everything that is not settled: findings, waivers, conditions, re-reviews and alarms."""
    now, actor = clock.now(), visitor.actor
    groups: list[tuple[Any, str, list[Any]]] = [
        (
            _("Alarms"),
            "alarm",
            list(selectors.alarms(actor).filter(state=AlarmState.OPEN).order_by("id")[:SHOWN]),
        ),
        (
            _("Findings"),
            "finding",
            list(selectors.findings(actor).exclude(state=FindingState.CLOSED).order_by("due")[:SHOWN]),
        ),
        (
            _("Waivers"),
            "waiver",
            list(
                selectors.waivers(actor)
                .filter(state__in=[WaiverState.REQUESTED, WaiverState.APPROVED])
                .order_by("expires_at")[:SHOWN]
            ),
        ),
        (
            _("Conditions of approvals"),
            "condition",
            list(selectors.conditions(actor).exclude(state="fulfilled").order_by("due")[:SHOWN]),
        ),
        (
            _("Re-reviews"),
            "review",
            list(selectors.placement_reviews(actor).filter(state=ReviewState.OPEN).order_by("due")[:SHOWN]),
        ),
    ]
    maker = _Maker(visitor, now, [row for _title, _kind, rows in groups for row in rows])
    shown = [(title, [getattr(maker, kind)(row) for row in rows]) for title, kind, rows in groups]
    context = {"visitor": visitor, "here": "findings", "groups": shown, "back": request.path}
    return render(request, "console/findings.html", context)


@page
def act(request: HttpRequest, visitor: Visitor, kind: str, row_id: UUID, slug: str) -> HttpResponse:
    """One act on one row; a refusal is a page that says why, with the service's own status."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    wanted = next((row for row in ACTS.get(kind, ()) if row.slug == slug), None)
    if wanted is None:
        raise NotFound("not_found", kind=kind, name=slug)
    text = request.POST.get("text", "")
    command = command_of(request, visitor, once(request, {"text": text}))
    wanted.perform(command, row_id, text)
    notices.success(request, gettext("Recorded."))
    return _back(request)


@page
def open_finding(request: HttpRequest, visitor: Visitor, promotion_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    promotion = selectors.promotion(visitor.actor, promotion_id)
    form = FindingForm(request.POST)
    if not form.is_valid():
        notices.error(request, errors_of(form))
        return redirect("admin:promotion", promotion_id)
    given = form.cleaned_data
    findings.open_finding(
        command=command_of(
            request, visitor, once(request, {name: str(value) for name, value in given.items()})
        ),
        version_id=promotion.version_id,
        severity=given["severity"],
        owner=given["owner"],
        due=datetime.combine(given["due"], time(23, 59, 59), UTC),
        text=given["text"],
    )
    notices.success(request, gettext("The finding is open."))
    return redirect("admin:promotion", promotion_id)


def errors_of(form: forms.Form) -> str:
    return " ".join(
        f"{form.fields[name].label}: {' '.join(map(str, said))}" for name, said in form.errors.items()
    )


def once(request: HttpRequest, given: dict[str, str]) -> Idempotency | None:
    try:
        key = UUID(request.POST.get("once", ""))
    except ValueError:
        return None
    return Idempotency("POST", request.path, str(key), digest_of(given))


def _back(request: HttpRequest) -> HttpResponse:
    """To the page the form was on, if it is one of ours."""
    wanted = request.POST.get("back", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return redirect(wanted)
    return redirect("admin:findings")


class _Maker:
    """Rows to items, with what was said and who is who read once for all of them."""

    def __init__(self, visitor: Visitor, now: datetime, rows: Sequence[Governed]) -> None:
        self.visitor, self.now = visitor, now
        self.may = actions_of(visitor.roles)
        people: set[UUID | None] = set()
        for row in rows:
            people |= {
                getattr(row, name, None)
                for name in ("owner_id", "opened_by", "requested_by", "set_by", "raised_by")
            }
        self.people = Names(visitor.workspace.id, people)
        self.said = _said({getattr(row, "glass_id", row.id) for row in rows} | {row.id for row in rows})
        granted: set[UUID | None] = {getattr(row, "granted_event", None) for row in rows}
        self.published = published_at(event for event in granted if event is not None)
        decided = {row.decision.event_id for row in rows if hasattr(row, "decision")}
        self.conditions = sealing.texts_of(decided)

    def _item(
        self,
        kind: str,
        row: Any,
        title: str,
        about: str,
        tone: str,
        *,
        due: datetime | None,
        due_word: Any = "",
        said: list[str] | None = None,
        state_word: str = "",
    ) -> Item:
        return Item(
            kind=kind,
            id=row.id,
            title=title,
            state=row.state,
            state_word=state_word or row.get_state_display(),
            tone=tone,
            about=about,
            due=due,
            due_word=str(due_word),
            said=self.said.get(row.id, []) if said is None else said,
            acts=[act for act in ACTS[kind] if row.state in act.states and act.permission in self.may],
            key=uuid7(),
        )

    def finding(self, row: Any) -> Item:
        done = row.state == FindingState.CLOSED
        about = gettext("opened by {opener}, to be answered by {owner}").format(
            opener=self.people[row.opened_by] if row.opened_by else gettext("Crivo itself"),
            owner=self.people[row.owner_id],
        )
        title = f"{row.version.label} · {row.get_severity_display()}"
        late = not done and row.due <= self.now
        why = [sentence(row.reason)] if row.reason else []
        return self._item(
            "finding",
            row,
            title,
            about,
            "good" if done else "bad",
            due=row.due,
            due_word=gettext("overdue since") if late else gettext("due"),
            said=[*why, *self.said.get(row.id, [])],
        )

    def waiver(self, row: Any) -> Item:
        over = row.expires_at <= self.now
        working = not over and row.state == WaiverState.APPROVED and row.granted_event in self.published
        state = row.get_state_display()
        if row.state == WaiverState.APPROVED:
            state = (
                gettext("waived") if working else gettext("expired") if over else gettext("not effective yet")
            )
        what = " · ".join(
            part
            for part in (
                word(CHECKS, row.check_slug),
                word(METRICS, row.metric) if row.metric else "",
                reader().name(row.attribute) if row.attribute else "",
            )
            if part
        )
        about = gettext("{what} · in {environment} · asked by {who}").format(
            what=what, environment=row.environment.name, who=self.people[row.requested_by]
        )
        return self._item(
            "waiver",
            row,
            row.version.label,
            about,
            "waiting" if working or row.state == WaiverState.REQUESTED else "bad",
            due=row.expires_at,
            due_word=gettext("expired") if over else gettext("expires"),
            state_word=state,
        )

    def condition(self, row: Any) -> Item:
        done = row.state == "fulfilled"
        late = not done and row.due <= self.now
        said = [
            self.conditions.get((row.decision.event_id, f"condition_{row.n}"), ""),
            *self.said.get(row.id, []),
        ]
        return self._item(
            "condition",
            row,
            row.promotion.label,
            gettext("set by {who}").format(who=self.people[row.set_by]),
            "good" if done else "bad" if late else "waiting",
            due=row.due,
            due_word=gettext("overdue since") if late else gettext("due"),
            said=[text for text in said if text],
        )

    def review(self, row: Any) -> Item:
        late = row.due <= self.now
        return self._item(
            "review",
            row,
            row.placement.label,
            gettext("Whether it may go on standing there."),
            "bad" if late else "waiting",
            due=row.due,
            due_word=gettext("overdue since") if late else gettext("due"),
        )

    def alarm(self, row: Any) -> Item:
        if row.glass is None:
            return self._item(
                "alarm",
                row,
                row.label,
                gettext("Something was changed past the services of Crivo."),
                "bad",
                due=row.created_at,
                due_word=gettext("noticed"),
                said=self.said.get(row.id, []),
            )
        return self._item(
            "alarm",
            row,
            row.glass.label,
            gettext("the glass was broken by {who}").format(who=self.people[row.raised_by]),
            "bad",
            due=row.glass.expires_at,
            due_word=gettext("shut since") if row.glass.expires_at <= self.now else gettext("open until"),
            said=[*self.said.get(row.glass_id, []), *self.said.get(row.id, [])],
        )


def _said(subjects: Iterable[UUID]) -> dict[UUID, list[str]]:
    """What people wrote about each subject, in its order; refusals left out."""
    found: dict[UUID, list[str]] = {}
    written = EventText.objects.filter(event__subject_id__in=list(subjects), event__outcome="done")
    rows = list(written.select_related("event").order_by("event_id", "name"))
    opened = sealing.opened(rows)
    for row in rows:
        if (row.event_id, row.name) in opened:  # else it was erased
            found.setdefault(row.event.subject_id, []).append(opened[row.event_id, row.name].text)
    return found
