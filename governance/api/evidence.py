"""Attested evidence of a version over HTTP."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from audits.actors import authoriser
from audits.api.base import View, paged
from audits.api.multipart import receive
from audits.api.schema import problems
from governance.models import EvidenceKind, ExternalEvidence
from governance.services.external_evidence import attach_evidence
from registry.selectors import model_version


class EvidenceMetadata(serializers.Serializer[None]):
    check = serializers.CharField(max_length=100, help_text="the check it stands for")
    kind = serializers.ChoiceField(choices=EvidenceKind.choices)
    title = serializers.CharField(max_length=200)
    issuer = serializers.CharField(max_length=200, help_text="who produced it")
    public_key = serializers.CharField(
        max_length=4000, required=False, default="", allow_blank=True, help_text="PEM, Ed25519 or ECDSA P-256"
    )
    signature = serializers.CharField(
        max_length=1000,
        required=False,
        default="",
        allow_blank=True,
        help_text="base64, over the bytes of the file",
    )


class EvidenceUpload(serializers.Serializer[None]):
    file = serializers.FileField()
    metadata = serializers.CharField(help_text="JSON: check, kind, title, issuer, public_key, signature")


class EvidenceOut(serializers.ModelSerializer[ExternalEvidence]):
    check = serializers.CharField(source="check_slug")
    version = serializers.CharField(source="version.label")
    attested = serializers.SerializerMethodField(help_text="always true: it was not computed here")

    class Meta:
        model = ExternalEvidence
        fields = (
            "id", "version", "check", "kind", "title", "issuer", "digest", "size", "summary", "signed_by",
            "attached_by", "created_at", "attested",
        )  # fmt: skip

    def get_attested(self, row: ExternalEvidence) -> bool:
        return True


class VersionEvidence(View):
    parser_classes = [MultiPartParser]

    @extend_schema(
        request={"multipart/form-data": EvidenceUpload},
        responses={200: EvidenceOut, 201: EvidenceOut, **problems(400, 403, 404, 409, 413, 415, 422)},
    )
    def post(self, request: Request, name: str, n: int) -> Response:
        """Attach a test report or a signed document. It counts only where a policy accepts attested evidence."""
        model_version(self.actor, name, n)
        received = receive(request, self.actor, "file")
        given = EvidenceMetadata(data=received.metadata)
        given.is_valid(raise_exception=True)
        result = attach_evidence(
            command=self.command(body=received.body),
            model=name,
            n=n,
            stored=received.stored,
            **_plain(given.validated_data),
        )
        return Response(EvidenceOut(result.value).data, status=201 if result.created else 200)

    @extend_schema(responses={200: EvidenceOut(many=True), **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        version = model_version(self.actor, name, n)
        rows = authoriser().visible(
            self.actor, ExternalEvidence.objects.filter(version=version).select_related("version__model")
        )
        return paged(self, rows, EvidenceOut)


def _plain(data: Any) -> dict[str, str]:
    return {name: str(value) for name, value in data.items()}


urlpatterns = [path("models/<str:name>/versions/<int:n>/evidence", VersionEvidence.as_view())]
