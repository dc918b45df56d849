"""Exports of the trail on a page: ask for one of what was searched for, see how far it is, fetch it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from audits import blobs
from audits.actors import authoriser
from audits.errors import NotFound, Problem
from audits.models import AuditExport
from audits.services.exports import request_export
from audits.states import ExportForm, ExportState
from audits.trail import EXPORTED, TrailQuery
from governance.console.people import Visitor, command_of, page
from governance.console.trail import Search
from governance.console.wording import sentence

LAST = 30
MILLION = 1_000_000


class Wanted(Search):
    """The search, and how it is to be written down."""

    form = forms.ChoiceField(label=_("Form"), choices=ExportForm.choices)
    time_zone = forms.CharField(label=_("Time zone"), max_length=64, initial="UTC")
    percent = forms.FloatField(
        label=_("Sample (%)"),
        required=False,
        min_value=0.0001,
        max_value=100,
        help_text=_("Empty: everything."),
    )
    seed = forms.RegexField(
        r"^[A-Za-z0-9._-]{1,64}\Z",
        label=_("Seed of the sample"),
        required=False,
        help_text=_("The same seed takes the same events. Empty: one is drawn, and told."),
    )

    def query(self) -> dict[str, Any]:
        asked = super().query()
        if self.cleaned_data["percent"]:
            rate = max(1, round(self.cleaned_data["percent"] * MILLION / 100))
            asked["sample"] = {"per_million": rate}
            if self.cleaned_data["seed"]:
                asked["sample"]["seed"] = self.cleaned_data["seed"]
        return asked


@dataclass(frozen=True)
class Row:
    export: AuditExport
    percent: int
    error: str
    asked: str


def _mine(visitor: Visitor) -> Any:
    return authoriser().visible(visitor.actor, AuditExport.objects.select_related("workspace"))


@page
def exports(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if not visitor.may("audit.export"):
        raise PermissionDenied(
            gettext("The trail is exported by auditors; none of your roles here permits it.")
        )
    if request.method != "POST":
        first = {"form": ExportForm.BUNDLE, "time_zone": "UTC", **request.GET.dict()}
        return _shown(request, visitor, Wanted(initial=first, label_suffix=""))
    wanted, refusal = Wanted(request.POST, label_suffix=""), ""
    if wanted.is_valid():
        try:
            request_export(
                command=command_of(request, visitor),
                query=TrailQuery.parse(wanted.query(), EXPORTED),
                form=wanted.cleaned_data["form"],
                language=get_language() or "en",
                time_zone=wanted.cleaned_data["time_zone"],
            )
        except Problem as problem:
            refusal = sentence(problem.message)
        else:
            notices.success(request, gettext("The export is being made. Load this page again in a moment."))
            return redirect("admin:trail_exports")
    return _shown(request, visitor, wanted, refusal, 400)


def _shown(
    request: HttpRequest, visitor: Visitor, wanted: Wanted, refusal: str = "", status: int = 200
) -> HttpResponse:
    rows = [
        Row(export, _percent(export), sentence(export.error) if export.error else "", _asked(export))
        for export in _mine(visitor).order_by("-queued_at")[:LAST]
    ]
    context = {"visitor": visitor, "here": "trail", "wanted": wanted, "rows": rows, "refusal": refusal}
    return render(request, "console/trail_exports.html", context, status=status)


def _percent(export: AuditExport) -> int:
    if export.state == ExportState.DONE:
        return 100
    return min(99, 100 * export.done_entries // export.log_size) if export.log_size else 0


def _asked(export: AuditExport) -> str:
    return ", ".join(f"{name}: {_flat(value)}" for name, value in export.query.items()) or gettext(
        "everything"
    )


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={item}" for name, item in value.items())
    return " ".join(value) if isinstance(value, list) else str(value)


@page
def content(request: HttpRequest, visitor: Visitor, export_id: UUID) -> HttpResponse:
    export = _mine(visitor).filter(id=export_id, state=ExportState.DONE).first()
    if export is None:
        raise NotFound("not_found", kind="export", name=str(export_id))
    ending = "tar" if export.form == ExportForm.BUNDLE else "zip"
    try:
        file = blobs.opened(export.workspace_id, export.blob_digest).__enter__()
    except (OSError, ValueError) as error:
        raise NotFound("export_content_lost") from error
    answer = FileResponse(file, as_attachment=True, filename=f"crivo-export-{export.id}.{ending}")
    return answer  # type: ignore[return-value]  # it streams; pages are typed for what does not


def urls(view: object) -> list[URLPattern]:
    """Our addresses below /admin/; `view` is what guards a page of the site."""
    return [
        path("trail/exports", view(exports), name="trail_exports"),  # type: ignore[operator]
        path("trail/exports/<uuid:export_id>", view(content), name="trail_export"),  # type: ignore[operator]
    ]
