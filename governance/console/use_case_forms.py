"""The intake of a use case on pages: its questionnaire, the tier it computes shown before anything is saved, a change
of what was said, and another tier with a reason. What is saved, and whether it may be, the services decide.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.errors import Problem
from audits.ids import uuid7
from audits.services.reasons import REASON_LIMIT
from governance import intake, selectors
from governance.console.findings import once
from governance.console.people import Names, Visitor, command_of, page
from governance.console.use_case import ANSWERS, TITLES, language, use_case_page
from governance.console.wording import sentence
from governance.models import UseCase
from governance.models.policies import RiskTier
from governance.services import use_cases
from governance.services.people import named

TEXT_LIMIT, ITEM_LIMIT, MOST_ITEMS = 10_000, 1000, 50
SHOWN = 500
HELP: dict[str, Any] = {
    "affected_people": _("Needed when the tier is high."),
    "human_oversight": _("Who watches it and can stop it or overrule it, how. Needed when the tier is high."),
    "legal_basis": _("Needed when the tier is high."),
    "success_metrics": _("One on each line."),
    "stakeholders": _("One on each line."),
}


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows})


class Lines(forms.CharField):
    """One item on each line; empty lines are none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=_area(3), required=False, max_length=TEXT_LIMIT, **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        items = [line.strip() for line in super().clean(value).splitlines() if line.strip()]
        if len(items) > MOST_ITEMS or any(len(item) > ITEM_LIMIT for item in items):
            said = gettext("At most {most} lines of {limit} characters each.")
            raise forms.ValidationError(said.format(most=MOST_ITEMS, limit=ITEM_LIMIT))
        return items


class IntakeForm(forms.Form):
    """What is asked of a use case."""

    purpose = forms.CharField(label=_("Intended purpose"), max_length=TEXT_LIMIT, widget=_area(3))
    owner = forms.CharField(
        label=_("Owner (user name)"), max_length=150, required=False, help_text=_("Empty: you.")
    )

    def __init__(self, *given: Any, answers_needed: bool = True, **options: Any) -> None:
        super().__init__(*given, **{"auto_id": "intake_%s", "label_suffix": "", **options})
        for name, title in TITLES.items():
            self.fields[name] = _field(name, title)
        for question in intake.questionnaire().questions:
            self.fields[f"q_{question.id}"] = forms.ChoiceField(
                label=question.text[language()], help_text=question.basis, choices=list(ANSWERS.items()),
                widget=forms.RadioSelect, required=answers_needed,
            )  # fmt: skip

    @property
    def about(self) -> list[forms.BoundField]:
        wanted = [name for name in ("name", "purpose", *TITLES, "owner") if name in self.fields]
        return [self[name] for name in wanted]

    @property
    def questions(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith("q_")]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if any(self.answered.values()) and not all(self.answered.values()):
            raise forms.ValidationError(gettext("Answer every question, or none of them."))
        return given

    @property
    def answered(self) -> dict[str, str]:
        asked = intake.questionnaire().questions
        return {question.id: self.cleaned_data.get(f"q_{question.id}", "") for question in asked}

    @property
    def questionnaire(self) -> dict[str, Any] | None:
        """As the services take it; None if it was left empty."""
        if not all(self.answered.values()):
            return None
        return {"version": intake.questionnaire().version, "answers": self.answered}

    @property
    def person(self) -> Any:
        return named(self.cleaned_data["owner"]) if self.cleaned_data["owner"] else None


class NewForm(IntakeForm):
    name = forms.CharField(
        label=_("Name"), max_length=200, help_text=_("Letters, digits, dots, hyphens and underscores.")
    )


class EditForm(IntakeForm):
    owner = forms.CharField(
        label=_("Owner (user name)"), max_length=150, required=False, help_text=_("Empty: as it is.")
    )
    n = forms.IntegerField(widget=forms.HiddenInput)


class TierForm(forms.Form):
    risk_tier = forms.ChoiceField(
        label=_("Risk tier"),
        choices=[(tier.value, tier.label) for tier in RiskTier if tier != RiskTier.PROHIBITED],
    )
    reason = forms.CharField(label=_("Reason"), max_length=REASON_LIMIT, widget=_area(3))
    n = forms.IntegerField(widget=forms.HiddenInput)


def _field(name: str, title: Any) -> forms.Field:
    help_text = HELP.get(name, "")
    if name == "legal_basis":
        known = [(code, f"{code}: {text[language()]}") for code, text in intake.legal_bases().items()]
        return forms.MultipleChoiceField(
            label=title,
            choices=known,
            widget=forms.CheckboxSelectMultiple,
            required=False,
            help_text=help_text,
        )
    if name in intake.LISTS:
        return Lines(label=title, help_text=help_text)
    return forms.CharField(
        label=title, widget=_area(2), required=False, max_length=TEXT_LIMIT, help_text=help_text
    )


@page
def listing(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """What may not be read is not listed."""
    rows = list(selectors.use_cases(visitor.actor).order_by("name")[:SHOWN])
    names = Names(visitor.workspace.id, [row.owner_id for row in rows])
    context = {
        "visitor": visitor,
        "here": "use-cases",
        "rows": [(row, names[row.owner_id]) for row in rows],
        "may_register": visitor.may("use_case.register"),
    }
    return render(request, "console/use_cases.html", context)


@page
def register(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """First the tier is computed and shown, then it is saved: two buttons, the second only beside a tier."""
    if request.method != "POST":
        _permitted(visitor, "use_case.register")
        return _asked(request, visitor, NewForm())
    form = NewForm(request.POST)
    if not form.is_valid():
        _permitted(visitor, "use_case.register")
        return _asked(request, visitor, form, status=422)
    if not _confirmed(request, form):
        _permitted(visitor, "use_case.register")
        return _asked(request, visitor, form)
    given = form.cleaned_data
    details = {name: given[name] for name in intake.FIELDS if given[name]}
    try:
        row = use_cases.register_use_case(
            command=command_of(request, visitor, once(request, _plain(given))),
            name=given["name"],
            purpose=given["purpose"],
            questionnaire=form.questionnaire,
            owner=form.person,
            details=details,
        ).value
    except Problem as problem:
        return _asked(request, visitor, form, refusal=problem)
    notices.success(request, gettext("The use case is registered."))
    return redirect("admin:use-case", row.name)


@page
def edit(request: HttpRequest, visitor: Visitor, name: str) -> HttpResponse:
    use_case = selectors.use_case(visitor.actor, name)
    declared = use_case.questionnaire is None
    if request.method != "POST":
        _permitted(visitor, "use_case.edit", use_case)
        form = EditForm(answers_needed=not declared, initial=_initial(use_case))
        return _asked(request, visitor, form, use_case)
    form = EditForm(request.POST, answers_needed=not declared)
    if not form.is_valid():
        _permitted(visitor, "use_case.edit", use_case)
        return _asked(request, visitor, form, use_case, status=422)
    if not _confirmed(request, form):
        _permitted(visitor, "use_case.edit", use_case)
        return _asked(request, visitor, form, use_case)
    given = form.cleaned_data
    try:
        use_cases.edit_use_case(
            command=command_of(request, visitor),
            use_case=use_case,
            n=given["n"],
            purpose=given["purpose"],
            questionnaire=form.questionnaire,
            owner=form.person,
            details=_changed(use_case, given),
        )
    except Problem as problem:
        return _asked(request, visitor, form, use_case, refusal=problem)
    notices.success(request, gettext("The change is recorded."))
    return redirect("admin:use-case", name)


@page
def set_tier(request: HttpRequest, visitor: Visitor, name: str) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    use_case = selectors.use_case(visitor.actor, name)
    # Read by hand: whether there is a reason is for the service to say, after it asked whether this person may.
    number = request.POST.get("n", "")
    try:
        use_cases.set_tier(
            command=command_of(request, visitor),
            use_case=use_case,
            n=int(number) if number.isdecimal() and len(number) < 9 else -1,
            risk_tier=request.POST.get("risk_tier", ""),
            reason=request.POST.get("reason", "").replace("\x00", ""),
        )
    except Problem as problem:
        return shown(request, visitor, name, problem)
    notices.success(request, gettext("The tier is set."))
    return redirect("admin:use-case", name)


@page
def use_case(request: HttpRequest, visitor: Visitor, name: str) -> HttpResponse:
    return shown(request, visitor, name)


def shown(request: HttpRequest, visitor: Visitor, name: str, refusal: Problem | None = None) -> HttpResponse:
    """The page of a use case, with what this person may do about it."""
    found = use_case_page(visitor, name)
    row = found.use_case
    initial = {"n": row.n, "risk_tier": row.risk_tier}
    given = {"data": {**request.POST.dict(), "n": row.n}} if refusal else {}
    tier = TierForm(auto_id="tier_%s", label_suffix="", initial=initial, **given)  # type: ignore[arg-type]
    context = {
        "visitor": visitor,
        "here": "use-cases",
        "page": found,
        "may_edit": visitor.may("use_case.edit", row.ref),
        "tier": tier if visitor.may("use_case.set_tier", row.ref) else None,
        "refusal": sentence(refusal.message) if refusal else "",
    }
    return render(request, "console/use_case.html", context, status=refusal.status if refusal else 200)


def _permitted(visitor: Visitor, action: str, row: UseCase | None = None) -> None:
    """Of what saves nothing: a form, and what its answers compute."""
    if not visitor.may(action, row.ref if row else None):
        raise PermissionDenied(gettext("Your roles do not permit this here."))


def _confirmed(request: HttpRequest, form: IntakeForm) -> bool:
    """Whether to save: asked for, and the tier of the answers is the one their reader was shown."""
    return "save" in request.POST and request.POST.get("shown") == _tier_of(form)


def _tier_of(form: IntakeForm) -> str:
    return intake.assess(form.answered).tier if form.questionnaire else "kept"


def _asked(
    request: HttpRequest,
    visitor: Visitor,
    form: IntakeForm,
    use_case: UseCase | None = None,
    refusal: Problem | None = None,
    status: int = 200,
) -> HttpResponse:
    assessed = form.is_bound and form.is_valid()
    found = intake.assess(form.answered) if assessed and form.questionnaire else None
    asked = {question.id: question for question in intake.questionnaire().questions}
    context = {
        "visitor": visitor,
        "here": "use-cases",
        "form": form,
        "use_case": use_case,
        "assessed": assessed,
        "shown": _tier_of(form) if assessed else "",
        "once": uuid7(),
        "found": found,
        "tier": RiskTier(found.tier).label if found else "",
        "because": [asked[name].text[language()] for name in found.because] if found else [],
        "prohibited": found is not None and found.tier == RiskTier.PROHIBITED,
        "refusal": sentence(refusal.message) if refusal else "",
    }
    return render(request, "console/intake.html", context, status=refusal.status if refusal else status)


def _initial(use_case: UseCase) -> dict[str, Any]:
    kept = use_case.questionnaire or {"answers": {}}
    answers = {f"q_{name}": answer for name, answer in kept["answers"].items()}
    return {"purpose": use_case.purpose, "n": use_case.n, **use_case.intake, **answers}


def _changed(use_case: UseCase, given: dict[str, Any]) -> dict[str, Any]:
    """An empty field that was never filled is no change."""
    return {
        name: given[name]
        for name in intake.FIELDS
        if (use_case.intake.get(name) or None) != (given[name] or None)
    }


def _plain(given: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in given.items()}


def urls(view: Any) -> list[URLPattern]:
    return [
        path("use-cases", view(listing), name="use-cases"),
        path("intake", view(register), name="intake"),
        path("use-cases/<str:name>", view(use_case), name="use-case"),
        path("use-cases/<str:name>/edit", view(edit), name="use-case-edit"),
        path("use-cases/<str:name>/tier", view(set_tier), name="use-case-tier"),
    ]
