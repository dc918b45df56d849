"""The environment of a version: its bill of materials as a file, from the page of the dossier."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from governance.console.people import Visitor, page
from registry.api.environments import bill_of
from registry.selectors import environment_lock


@page
def sbom(request: HttpRequest, visitor: Visitor, name: str, n: int) -> HttpResponse:
    """CycloneDX 1.6, the bytes that the API gives; not found until the lock is kept."""
    return bill_of(environment_lock(visitor.actor, name, n))


def urls(view: Any) -> list[URLPattern]:
    return [path("models/<str:name>/versions/<int:n>/sbom", view(sbom), name="sbom")]
