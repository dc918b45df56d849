"""How the caller wants to get mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api.base import View, tagged
from audits.api.schema import problems
from audits.errors import Forbidden
from governance.models import MailMode, MailPreference
from governance.services.notices import preference_of, set_mail_preference


class MailPreferenceShape(serializers.ModelSerializer[MailPreference]):
    mode = serializers.ChoiceField(MailMode.choices)
    language = serializers.ChoiceField(
        [("", "as the installation"), *settings.LANGUAGES], required=False, allow_blank=True
    )

    class Meta:
        model = MailPreference
        fields = ["mode", "language"]


class MailPreferenceDetail(View):
    @extend_schema(responses={200: MailPreferenceShape, **problems(403)})
    def get(self, request: Request) -> Response:
        person = self.actor.person
        if person is None or self.actor.kind != "person":
            raise Forbidden("mail_preference_of_a_person")
        shown: Callable[[], Any] = lambda: MailPreferenceShape(preference_of(workspace, person)).data  # noqa: E731
        workspace = self.actor.workspace
        return tagged(preference_of(workspace, person).ref, shown)

    @extend_schema(
        request=MailPreferenceShape, responses={200: MailPreferenceShape, **problems(403, 409, 412, 422)}
    )
    def put(self, request: Request) -> Response:
        """When a promotion awaits the caller's approval: a mail immediately, a daily digest, or none."""
        given = MailPreferenceShape(data=request.data)
        given.is_valid(raise_exception=True)
        command = self.command(updates="mail_preference")
        row = set_mail_preference(command=command, **given.validated_data).value
        return tagged(row.ref, lambda: MailPreferenceShape(row).data)


urlpatterns = [path("me/mail", MailPreferenceDetail.as_view())]
