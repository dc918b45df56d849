from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from audits.actors import Actor


class Authenticated(BasePermission):
    """An actor is there. What they may do and see is asked of the authoriser, by services and selectors."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Actor)
