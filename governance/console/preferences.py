"""How the visitor wants to hear of a workspace."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages as notices
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.errors import Problem
from governance.console.people import Visitor, command_of, page
from governance.console.wording import sentence
from governance.models import MailMode
from governance.services.notices import preference_of, set_mail_preference


class MailForm(forms.Form):
    mode = forms.ChoiceField(
        label=_("When a promotion awaits your approval, write to me"),
        choices=MailMode.choices,
        widget=forms.RadioSelect,
    )
    language = forms.ChoiceField(label=_("Language of the mails"), required=False)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        choices = [("", _("as the installation")), *settings.LANGUAGES]
        self.fields["language"].choices = choices  # type: ignore[attr-defined]


@page
def preferences(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "POST"])
    refusal: Problem | None = None
    if request.method == "POST":
        given = {name: request.POST.get(name, "") for name in ("mode", "language")}
        try:
            set_mail_preference(command=command_of(request, visitor), **given)
        except Problem as problem:
            refusal = problem
        else:
            notices.success(request, gettext("Your preferences are saved."))
            return redirect("admin:preferences")
    row = preference_of(visitor.workspace.id, visitor.user.id)
    context = {
        "visitor": visitor,
        "here": "preferences",
        "form": MailForm(initial={"mode": row.mode, "language": row.language}),
        "mail_on": settings.CRIVO_MAIL,
        "refusal": sentence(refusal.message) if refusal else "",
    }
    status = refusal.status if refusal else 200
    return render(request, "console/preferences.html", context, status=status)
