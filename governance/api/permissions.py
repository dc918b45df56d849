from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission

from audits.actors import Actor

if TYPE_CHECKING:  # DRF loads this module while it loads its views
    from rest_framework.request import Request
    from rest_framework.views import APIView


class Authenticated(BasePermission):
    """An actor is there. What they may do and see is asked of the authoriser, by services and selectors."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Actor)
