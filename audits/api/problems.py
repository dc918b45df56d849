"""Every error of the API as application/problem+json (RFC 9457): a stable type, a sentence, and what to do next."""

from __future__ import annotations

import logging
import math
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.response import Response

from audits import messages
from audits.checks.contract import Message
from audits.errors import Problem

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:crivo:problem:"

TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Unprocessable",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


def body(
    status_code: int, message: Message, *, field: str = "", reasons: tuple[Message, ...] = ()
) -> dict[str, Any]:
    detail = messages.render(message)
    problem: dict[str, Any] = {
        "type": TYPE_BASE + message.code,
        "title": TITLES.get(status_code, "Error"),
        "status": status_code,
        "code": message.code,
        "detail": detail,
        "params": message.params,
    }
    if field:
        problem["errors"] = [{"field": field, "code": message.code, "detail": detail}]
    if reasons:
        problem["reasons"] = [messages.as_json(reason) for reason in reasons]
    return problem


def respond(status_code: int, message: Message, **more: Any) -> Response:
    return Response(body(status_code, message, **more), status=status_code, content_type=MEDIA_TYPE)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: our problems, DRF's own, Django's. None lets a bug become a 500 (server_error below)."""
    if isinstance(error, Problem):
        return respond(error.status, error.message, field=error.field, reasons=error.reasons)
    if isinstance(error, Http404):
        return respond(404, Message("not_found", {"kind": "", "name": ""}))
    if isinstance(error, PermissionDenied):
        return respond(403, Message("not_permitted", {"action": ""}))
    if isinstance(error, RecursionError):
        return respond(400, Message("malformed", {"reason": _("nested too deeply")}))
    if isinstance(error, DataError):
        return respond(400, Message("invalid", {"reason": _("a value cannot be stored")}))
    if isinstance(error, OperationalError | InterfaceError):
        log.exception("database error")
        return respond(503, Message("database_unavailable"))
    if isinstance(error, exceptions.APIException):
        return _from_drf(error)
    return None


def _from_drf(error: exceptions.APIException) -> Response:
    if isinstance(error, exceptions.ValidationError):
        field, text = _first(error.detail)
        return respond(400, Message("invalid", {"reason": text}), field=field)
    code = {
        status.HTTP_400_BAD_REQUEST: "malformed",
        status.HTTP_401_UNAUTHORIZED: "not_authenticated",
        status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
        status.HTTP_406_NOT_ACCEPTABLE: "not_acceptable",
        status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
        status.HTTP_429_TOO_MANY_REQUESTS: "throttled",
    }.get(error.status_code, "error")
    response = respond(error.status_code, Message(code, {"reason": str(error.detail)}))
    if challenge := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        response["Retry-After"] = str(max(1, math.ceil(wait)))
    return response


def _first(detail: Any, path: tuple[str, ...] = ()) -> tuple[str, str]:
    if isinstance(detail, dict):
        key, value = next(iter(detail.items()))
        return _first(value, path if key == "non_field_errors" else (*path, str(key)))
    if isinstance(detail, list) and detail:
        return _first(detail[0], path)
    return ".".join(path), str(detail)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    return _plain(404, Message("not_found", {"kind": _("page"), "name": request.path}))


def server_error(request: HttpRequest) -> JsonResponse:
    return _plain(500, Message("internal_error"))


def bad_request(request: HttpRequest, exception: SuspiciousOperation) -> JsonResponse:
    return _plain(400, Message("malformed", {"reason": ""}))


def _plain(status_code: int, message: Message) -> JsonResponse:
    return JsonResponse(body(status_code, message), status=status_code, content_type=MEDIA_TYPE)
