"""Why a version decided as it did about one record: asked for on a page, answered with a waterfall, its numbers and the
same in words. The record is typed in once and never shown: not even back to who typed it, when something was wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from audits.actors import Idempotency, authoriser
from audits.canonical import digest_of
from audits.errors import Problem
from audits.ids import uuid7
from audits.models import Explanation
from audits.plots import plots_for
from audits.services.explanations import digest_of_record
from audits.states import CheckRunState
from governance.console.people import Names, Visitor, command_of, page
from governance.console.results import Figure
from governance.console.tables import Cell, TableView, rows_of, tables_of
from governance.console.wording import number, quantity, reader, sentence
from governance.services.explanations import request_explanation
from registry.models import ModelVersion
from registry.selectors import found, model_version

RECORD_LIMIT = 1_000_000
SHOWN = 50
TOLD = 5  # columns named in the sentence; the table has all of them


class RecordForm(forms.Form):
    record = forms.CharField(
        label=_("Record (JSON)"),
        max_length=RECORD_LIMIT,
        widget=forms.Textarea(attrs={"rows": 8, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_(
            "One JSON object: every input of the model by the name of its column, null where it is missing."
        ),
    )
    lime = forms.BooleanField(label=_("With a second opinion (LIME)"), required=False)
    once = forms.UUIDField(widget=forms.HiddenInput)

    def clean_record(self) -> dict[str, Any]:
        """No message repeats what was typed: it is about a person."""
        try:
            given = json.loads(self.cleaned_data["record"], parse_constant=_no_number)
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise forms.ValidationError(gettext("This is no JSON object."))
        return given


def _no_number(text: str) -> Any:
    raise ValueError(text)


@dataclass(frozen=True)
class Part:
    """One figure, the numbers it draws, and the same in words."""

    figure: Figure | None
    words: str
    heading: str
    table: TableView


@dataclass(frozen=True)
class Answer:
    facts: list[tuple[str, str]]
    parts: list[Part]
    notes: list[str]
    error: str


@page
def explanations(request: HttpRequest, visitor: Visitor, name: str, n: int) -> HttpResponse:
    version = model_version(visitor.actor, name, n)
    if request.method != "POST":
        return _asked(request, visitor, version)
    form = RecordForm(request.POST)
    if not form.is_valid():
        if not visitor.may("explanation.request", version.ref):
            raise PermissionDenied(gettext("Your roles do not permit this here."))
        said = " ".join(str(text) for texts in form.errors.values() for text in texts)
        return _asked(request, visitor, version, said, 422)
    given = form.cleaned_data
    # what a repeated request is known by must not be a plain digest of somebody's record
    body = {"record": digest_of_record(version.id, given["record"]), "lime": given["lime"]}
    key = Idempotency("POST", request.path, str(given["once"]), digest_of(body))
    try:
        row = request_explanation(
            command=command_of(request, visitor, key),
            version_id=version.id,
            given=given["record"],
            lime=given["lime"],
        ).value
    except Problem as problem:
        return _asked(request, visitor, version, sentence(problem.message), problem.status)
    notices.success(request, gettext("Asked for. The record is kept encrypted until the answer is there."))
    return redirect("admin:explanation", row.id)


@page
def explanation(request: HttpRequest, visitor: Visitor, explanation_id: UUID) -> HttpResponse:
    rows = authoriser().visible(visitor.actor, Explanation.objects.filter(id=explanation_id))
    row = found(rows, "explanation", str(explanation_id))
    name, _at, n = row.subject_label.rpartition("@")
    context = {
        "visitor": visitor,
        "here": "inbox",
        "row": row,
        "name": name,
        "n": n,
        "by": Names(visitor.workspace.id, [row.requested_by])[row.requested_by],
        "answer": answer_of(row) if row.finished else None,
    }
    return render(request, "console/explanation.html", context)


def answer_of(row: Explanation) -> Answer:
    result = row.result or {}
    error = sentence(result["error"]) if result.get("error") else ""
    notes = [sentence(note) for note in result.get("notes", [])]
    if row.state != CheckRunState.COMPLETED:
        return Answer([], [], notes, error)
    tables = {table.get("id"): table for table in tables_of(result)}
    local, lime = tables.get("shap_local"), tables.get("lime_local")
    sensitive = local["params"].get("sensitive") or () if local is not None else ()
    facts, parts = [], []
    if local is not None:
        params = local["params"]
        facts = [
            (gettext("Prediction"), reader().name(str(params.get("prediction")))),
            (gettext("Score"), quantity(params.get("score"))),
            (gettext("Explains"), reader().name(str(params.get("explains") or "–"))),
            (gettext("Average output"), quantity(params.get("base_value"))),
            (gettext("Output for this record"), quantity(params.get("output"))),
            (gettext("Unit"), reader().name(str(params.get("output_space")))),
            (gettext("Route"), reader().name(str(params.get("route")))),
        ]
        parts.append(_part(local, "phi", gettext("Contribution"), _in_words(result, params), sensitive))
    if lime is not None:
        fit = gettext("It fits with an R² of {r2} around the record.")
        words = fit.format(r2=quantity(lime["params"].get("r2")))
        parts.append(_part(lime, "weight", gettext("Weight"), words, sensitive))
    return Answer(facts, parts, notes, error)


def _part(table: Any, column: str, head: str, words: str, sensitive: Collection[str]) -> Part:
    rows = rows_of({"tables": [table]}, table["id"])
    cells = [
        [Cell(reader().name(row["feature"])), Cell(quantity(row[column]), is_number=True)] for row in rows
    ]
    heads = [Cell(gettext("Column")), Cell(head, is_number=True)]
    plots = plots_for(
        [table], labels=gettext, number=number, prefix=f"explanation-{column}", sensitive=sensitive
    )
    # audits.plots escapes every name and number it draws: its SVG is the only markup we let through.
    figures = [
        Figure(gettext(plot.title_msgid), mark_safe(plot.svg), plot.caption)  # noqa: S308
        for plot in plots
    ]
    return Part(figures[0] if figures else None, words, gettext("The numbers"), TableView(heads, cells))


def _in_words(result: Any, params: Any) -> str:
    """What the waterfall draws, for who does not see it."""
    rows = sorted(rows_of(result, "shap_local"), key=lambda row: -abs(row["phi"]))
    steps = ", ".join(f"{reader().name(row['feature'])} {_signed(row['phi'])}" for row in rows[:TOLD])
    said = gettext("From {base} on average to {output} for this record. The largest steps: {steps}.").format(
        base=quantity(params.get("base_value")), output=quantity(params.get("output")), steps=steps
    )
    if len(rows) > TOLD:
        rest = sum(row["phi"] for row in rows[TOLD:])
        more = gettext("All other columns together: {rest}.")
        said = f"{said} {more.format(rest=_signed(rest))}"
    return said


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "−") + quantity(abs(value))


def _asked(
    request: HttpRequest, visitor: Visitor, version: ModelVersion, refusal: str = "", status: int = 200
) -> HttpResponse:
    """The form, always empty: what was typed goes nowhere but to the service."""
    rows = authoriser().visible(visitor.actor, Explanation.objects.all())
    mine = list(rows.filter(subject_kind="model_version", subject_id=version.id).order_by("-id")[:SHOWN])
    names = Names(visitor.workspace.id, [row.requested_by for row in mine])
    form = RecordForm(auto_id="record_%s", label_suffix="", initial={"once": uuid7()})
    context = {
        "visitor": visitor,
        "here": "inbox",
        "version": version,
        "rows": [(row, names[row.requested_by]) for row in mine],
        "form": form if visitor.may("explanation.request", version.ref) else None,
        "refusal": refusal,
    }
    response = render(request, "console/explanations.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def urls(view: Any) -> list[URLPattern]:
    hidden = sensitive_post_parameters("record")
    return [
        path(
            "models/<str:name>/versions/<int:n>/explanations",
            view(hidden(explanations)),
            name="explanations",
        ),
        path("explanations/<uuid:explanation_id>", view(explanation), name="explanation"),
    ]
