"""Public addresses: alive, ready, and the public keys."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse


def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "alive"})


def ready(request: HttpRequest) -> JsonResponse:
    """503 until the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):  # the latter, of a connection that is gone, is no DatabaseError
        return JsonResponse({"status": "no database"}, status=503)
    return JsonResponse({"status": "ready"})


def jwks(request: HttpRequest) -> HttpResponse:
    """The public keys of attestations (RFC 7517), as the notary published them."""
    path = Path(settings.CRIVO_PUBLISH) / "jwks.json"
    try:
        return HttpResponse(path.read_bytes(), content_type="application/jwk-set+json")
    except FileNotFoundError:
        return JsonResponse({"keys": []}, status=503)
