"""The environment of a version over HTTP: its lock, and what is in it as a bill of materials."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from audits import blobs
from audits.api.base import View
from audits.api.multipart import receive
from audits.api.schema import problems
from audits.api.views import Plain
from registry.api import serializers as shapes
from registry.locks import look
from registry.models import EnvironmentLock
from registry.selectors import environment_lock, model_version
from registry.services.environments import keep_environment_lock


class Environment(View):
    parser_classes = [MultiPartParser]

    @extend_schema(
        request={"multipart/form-data": shapes.LockUpload},
        responses={
            200: shapes.EnvironmentLockOut,
            201: shapes.EnvironmentLockOut,
            **problems(400, 403, 404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request, name: str, n: int) -> Response:
        """Keep the lock file of the environment. Its digest must be the `environment_digest` the version declares."""
        model_version(self.actor, name, n)
        received = receive(request, self.actor, "file")
        with blobs.opened(self.actor.workspace, received.stored.digest) as file:
            seen = look(file)
        result = keep_environment_lock(
            command=self.command(body=received.body), name=name, n=n, stored=received.stored, found=seen
        )
        return Response(shapes.EnvironmentLockOut(result.value).data, status=201 if result.created else 200)

    @extend_schema(responses={200: shapes.EnvironmentLockOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        """The packages that the lock lists; 404 until it is kept."""
        return Response(shapes.EnvironmentLockOut(environment_lock(self.actor, name, n)).data)


class Sbom(Plain):
    @extend_schema(
        responses={(200, "application/vnd.cyclonedx+json"): OpenApiTypes.OBJECT, **problems(404)},
    )
    def get(self, request: Request, name: str, n: int) -> HttpResponse:
        """The environment as a software bill of materials (CycloneDX 1.6, JSON). The same lock gives the same bytes."""
        return bill_of(environment_lock(self.actor, name, n))


def bill_of(kept: EnvironmentLock) -> HttpResponse:
    from registry.sbom import MEDIA_TYPE, sbom_of  # its library is read when it is asked for

    answer = HttpResponse(sbom_of(kept), content_type=MEDIA_TYPE)
    model = kept.version.model.name
    answer["Content-Disposition"] = f'attachment; filename="{model}-{kept.version.n}.cdx.json"'
    return answer
