"""The page of a use case: what it is for, why its tier is what it is, and how it came to say so."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from audits.models import Event
from governance import intake, selectors
from governance.console.history import Line, lines_of
from governance.console.people import Names, Visitor
from governance.models import UseCase

TITLES: dict[str, str | Promise] = {
    "problem": _("Business problem"),
    "intended_users": _("Intended users"),
    "affected_people": _("Affected people"),
    "success_metrics": _("Success metrics"),
    "expected_return": _("Expected return"),
    "stakeholders": _("Stakeholders"),
    "legal_basis": _("Legal basis"),
    "human_oversight": _("Human oversight"),
}
ANSWERS: dict[str, str | Promise] = {"yes": _("yes"), "no": _("no"), "unsure": _("unsure")}


@dataclass(frozen=True)
class Answered:
    text: str
    basis: str
    answer: str | Promise
    decisive: bool


@dataclass(frozen=True)
class UseCasePage:
    use_case: UseCase
    owner: str
    facts: list[tuple[str | Promise, list[str]]]
    answered: list[Answered]
    outdated: (
        bool  # answers to an earlier questionnaire: read as they were given, not shown against today's texts
    )
    history: list[Line]


def use_case_page(visitor: Visitor, name: str) -> UseCasePage:
    use_case = selectors.use_case(visitor.actor, name)
    said = use_case.intake
    facts = [(title, _values(key, said[key])) for key, title in TITLES.items() if said.get(key)]
    answered, outdated = _answered(use_case)
    events = Event.objects.filter(subject_kind="use_case", subject_id=use_case.id, outcome="done")
    return UseCasePage(
        use_case=use_case,
        owner=Names(visitor.workspace.id, [use_case.owner_id])[use_case.owner_id],
        facts=facts,
        answered=answered,
        outdated=outdated,
        history=lines_of(list(events.order_by("-subject_seq")[:100]), visitor.workspace.id),
    )


def language() -> str:
    return "pt-br" if (get_language() or "").startswith("pt") else "en"


def _values(key: str, value: str | list[str]) -> list[str]:
    if key != "legal_basis":
        return value if isinstance(value, list) else [value]
    known = intake.legal_bases()
    return [f"{code}: {known[code][language()]}" if code in known else code for code in value]


def _answered(use_case: UseCase) -> tuple[list[Answered], bool]:
    kept = use_case.questionnaire
    asked = intake.questionnaire()
    if kept is None:
        return [], False
    if kept["digest"] != asked.digest:
        return [], True
    because = intake.assess(kept["answers"]).because
    rows = [
        Answered(
            question.text[language()],
            question.basis,
            ANSWERS[kept["answers"][question.id]],
            question.id in because,
        )
        for question in asked.questions
    ]
    return sorted(rows, key=lambda row: not row.decisive), False
