"""How the caller wants to get mail."""

from __future__ import annotations

from django.conf import settings
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api.base import View
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
        return Response(MailPreferenceShape(preference_of(self.actor.workspace, person)).data)

    @extend_schema(
        request=MailPreferenceShape, responses={200: MailPreferenceShape, **problems(403, 409, 422)}
    )
    def put(self, request: Request) -> Response:
        """When a promotion awaits the caller's approval: a mail immediately, a daily digest, or none."""
        given = MailPreferenceShape(data=request.data)
        given.is_valid(raise_exception=True)
        row = set_mail_preference(command=self.command(), **given.validated_data).value
        return Response(MailPreferenceShape(row).data)


urlpatterns = [path("me/mail", MailPreferenceDetail.as_view())]
