from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from audits.access import is_noise, note
from audits.ids import uuid7

Handler = Callable[[HttpRequest], HttpResponse]

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self'"
)
# Unfold's own pages evaluate Alpine expressions and set inline styles; inline scripts stay forbidden there, too.
UNFOLD = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
OURS_IN_ADMIN = re.compile(
    r"^/admin/(inbox|preferences|promotions|roles|use-cases|trail|policies|login|logout|password_change|webhooks|findings"
    r"|intake|models|explanations)(/|$)"
)


def request_identity(get_response: Handler) -> Handler:
    """Give every request an id, taken from a trustworthy X-Request-Id (a UUID) or made; say it in the answer."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.crivo_request_id = _uuid(request.headers.get("X-Request-Id"))  # type: ignore[attr-defined]
        response = get_response(request)
        response["X-Request-Id"] = str(request.crivo_request_id)  # type: ignore[attr-defined]
        return response

    return middleware


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        return uuid7()


def access_log(get_response: Handler) -> Handler:
    """Reads of the API, and what was refused for its form, go to the access log (audits.access)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.path.startswith("/api/") and is_noise(request.method or "", response.status_code):
            match = request.resolver_match
            note(
                getattr(request, "user", None),
                method=request.method or "",
                route=match.route if match is not None else "",
                status=response.status_code,
                request_id=request.crivo_request_id,  # type: ignore[attr-defined]
            )
        return response

    return middleware


def content_security_policy(get_response: Handler) -> Handler:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        stock = request.path.startswith("/admin/") and not OURS_IN_ADMIN.match(request.path)
        response.headers.setdefault("Content-Security-Policy", UNFOLD if stock else STRICT)
        return response

    return middleware
