"""How the OpenAPI document speaks of our errors."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers


class ReasonOut(serializers.Serializer[None]):
    code = serializers.CharField()
    params = serializers.DictField()
    text = serializers.CharField()


class FieldError(serializers.Serializer[None]):
    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemOut(serializers.Serializer[None]):
    """RFC 9457. `type` and `code` are stable; `detail` is for people, in the language of Accept-Language."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    params = serializers.DictField()
    errors = FieldError(many=True, required=False)  # type: ignore[assignment] # a member of RFC 9457
    reasons = ReasonOut(many=True, required=False)


def problems(*statuses: int) -> dict[tuple[int, str], Any]:
    """Responses every view has (401, 503) and those named."""
    answer = OpenApiResponse(ProblemOut)
    return {(status, "application/problem+json"): answer for status in sorted({400, 401, *statuses, 503})}
