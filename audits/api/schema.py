"""How the OpenAPI document speaks of our errors."""

from __future__ import annotations

import inspect
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
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


WAIT = OpenApiParameter(
    "wait",
    {"type": "number", "minimum": 0, "maximum": 3600},
    description="seconds to wait for a change (long poll); at most 30 are waited",
)


def problems(*statuses: int) -> dict[tuple[int, str], Any]:
    """Responses every view has (401, 429, 503) and those named."""
    answer = OpenApiResponse(ProblemOut)
    return {
        (status, "application/problem+json"): answer
        for status in sorted({400, 401, 409, 422, *statuses, 429, 503})
    }


class Schema(AutoSchema):
    """What drf-spectacular cannot see by itself: which answers are pages, and the headers every write takes."""

    def get_operation_id(self) -> str:
        words = [part for part in self.path.strip("/").split("/")[2:] if part]
        named = [word.strip("{}").replace("-", "_") for word in words if not word.startswith("{")]
        ends_in_one = bool(words) and words[-1].startswith("{")
        verb = {"GET": "get" if ends_in_one or not self._is_list_view() else "list", "POST": "post"}.get(
            self.method, self.method.lower()
        )
        return "_".join([verb, *named, *(["one"] if ends_in_one else [])])

    def get_description(self) -> str:  # type: ignore[override] # drf-spectacular's form, not DRF's
        """The docstring of the method or of the view itself, not of the base class they share."""
        method = getattr(self.view, (self.method or "").lower(), None)
        return inspect.cleandoc(
            getattr(method, "__doc__", None) or type(self.view).__dict__.get("__doc__") or ""
        )

    def _is_list_view(self, serializer: Any = None) -> bool:
        if serializer is None:
            serializer = self.get_response_serializers()
            serializer = serializer.get(200) if isinstance(serializer, dict) else serializer
        return isinstance(serializer, serializers.ListSerializer)

    def _get_request_body(self, direction: Any = "request") -> Any:
        body = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        if body:
            body["required"] = True  # none of ours may be left out; a schema given as it is does not say so
        return body

    def get_filter_backends(self) -> list[Any]:
        return []

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        if self.method == "POST":
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    {"type": "string", "pattern": "^[!-~]{1,200}$"},
                    OpenApiParameter.HEADER,
                    description="a repeat with the same key and body gets the same answer and does nothing again",
                )
            )
        if self.method in ("PUT", "PATCH", "DELETE"):
            parameters.append(
                OpenApiParameter(
                    "If-Match",
                    {
                        "type": "string",
                        "maxLength": 4000,
                        "pattern": r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$',
                    },
                    OpenApiParameter.HEADER,
                    description="the ETag of what was read: if it has changed meanwhile, 412 and nothing is done",
                )
            )
        return parameters
