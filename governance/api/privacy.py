"""Personal data of people over HTTP: what there is of a person, erasing it, and the legal holds that forbid that."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages, privacy
from audits.actors import Actor
from audits.api.base import Page, View, given_by
from audits.api.schema import ReasonOut, problems
from audits.errors import BadRequest, NotFound
from audits.models import Event
from audits.services import erasure
from audits.services.reasons import REASON_LIMIT

PERSON = "user name, or the id that the trail shows: people outside have only that"


class Why(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=REASON_LIMIT)


class NewHold(Why):
    person = serializers.CharField(max_length=150, help_text=PERSON)


class ConcernedOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    username = serializers.CharField(allow_null=True, help_text="null: somebody without an account")
    name = serializers.CharField(allow_null=True, help_text="null: nobody knows it, or not any more")


class HoldOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    person = ConcernedOut()
    standing = serializers.BooleanField()
    placed_at = serializers.DateTimeField()
    placed_by = serializers.UUIDField(help_text="the actor")
    reason = serializers.CharField(allow_blank=True, help_text="empty: whoever wrote it was erased")
    lifted_at = serializers.DateTimeField(allow_null=True)
    lifted_by = serializers.UUIDField(allow_null=True)
    lifting_reason = serializers.CharField(allow_blank=True)


class PreviewOut(ConcernedOut):
    erased_at = serializers.DateTimeField(allow_null=True, help_text="when last; null: never")
    texts = serializers.IntegerField(help_text="that can be read, in every workspace: an erasure takes them")
    exports = serializers.IntegerField(
        help_text="finished here since the person first wrote: no erasure reaches into them"
    )
    holds = HoldOut(many=True, help_text="those of this workspace that stand")
    held_elsewhere = serializers.IntegerField(help_text="how many holds of other workspaces stand")
    allowed = serializers.BooleanField(help_text="whether you could erase it now")
    reasons = ReasonOut(many=True, help_text="why not")


class ErasureOut(serializers.Serializer[Any]):
    event = serializers.UUIDField(help_text="the event that tells of it")
    person = serializers.UUIDField()
    texts = serializers.IntegerField(help_text="how many were made unreadable")
    account = serializers.BooleanField(help_text="whether an account lost its name and was closed")
    erased_at = serializers.DateTimeField()


def _concerned(person: UUID, username: str, name: str) -> dict[str, Any]:
    return {"id": person, "username": username or None, "name": name or None}


def hold_shape(told: privacy.ToldHold) -> dict[str, Any]:
    return {
        "id": told.row.id,
        "person": _concerned(told.row.person_id, told.username, told.person),
        "standing": told.standing,
        "placed_at": told.placed_at,
        "placed_by": told.placed_by,
        "reason": told.reason,
        "lifted_at": told.lifted_at,
        "lifted_by": told.lifted_by,
        "lifting_reason": told.lifting_reason,
    }


def _seen(actor: Actor, name: str) -> None:
    """404 for who may neither erase nor hold."""
    if not privacy.reads_privacy(actor):
        raise NotFound("not_found", kind="person", name=name)


class PersonalData(View):
    @extend_schema(responses={200: PreviewOut, **problems(404)})
    def get(self, request: Request, person: str) -> Response:
        """What an erasure would take, and what stands against it. `person`: user name, or id as the trail shows it."""
        _seen(self.actor, person)
        known = privacy.person_called(self.actor, person)
        if known is None:
            raise NotFound("not_found", kind="person", name=person)
        found = privacy.preview(self.actor, known)
        data = {
            **_concerned(known, found.account.username if found.account else "", found.name),
            "erased_at": found.erased_at,
            "texts": found.texts,
            "exports": found.exports,
            "holds": [hold_shape(hold) for hold in found.holds],
            "held_elsewhere": found.held_elsewhere,
            "allowed": not found.reasons,
            "reasons": [messages.as_json(reason) for reason in found.reasons],
        }
        return Response(PreviewOut(data).data)


class Erasure(View):
    @extend_schema(request=Why, responses={200: ErasureOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, person: str) -> Response:
        """Make everything they wrote unreadable, take name and address from their account and close it. For good.

        Ask first what it takes (GET). With an Idempotency-Key a repeat is answered as before, though nobody is called
        so any more.
        """
        _seen(self.actor, person)
        given = given_by(Why, request)
        known = privacy.person_called(self.actor, person)
        event: Event = erasure.erase_person(command=self.command(), person=known, **given).value
        return Response(
            ErasureOut(
                {
                    "event": event.id,
                    "person": event.subject_id,
                    "texts": event.detail["texts"],
                    "account": event.detail["account"],
                    "erased_at": event.at,
                }
            ).data
        )


class Holds(View):
    query = ("person", "standing")

    @extend_schema(request=NewHold, responses={201: HoldOut, **problems(403, 404, 422)})
    def post(self, request: Request) -> Response:
        """Forbid to erase what somebody wrote, in every workspace, until it is lifted."""
        given = given_by(NewHold, request)
        known = privacy.person_called(self.actor, given["person"])
        row = erasure.place_hold(command=self.command(), person=known, reason=given["reason"]).value
        return Response(HoldOut(hold_shape(privacy.told([row])[0])).data, status=201)

    @extend_schema(
        parameters=[
            OpenApiParameter("person", str, description=PERSON),
            OpenApiParameter("standing", str, enum=["true", "false"]),
        ],
        responses={200: HoldOut(many=True), **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Legal holds of the workspace, lifted ones too; empty for who may neither erase nor hold."""
        rows = privacy.holds(self.actor)
        if (person := request.query_params.get("person")) is not None:
            known = privacy.person_called(self.actor, person)
            rows = rows.filter(person_id=known) if known is not None else rows.none()
        if (standing := request.query_params.get("standing")) is not None:
            if standing not in ("true", "false"):
                raise BadRequest("invalid", field="standing", reason=standing[:50])
            rows = rows.filter(lifted_event__isnull=standing == "true")
        paginator = Page()
        shown = privacy.told(paginator.paginate_queryset(rows, request, view=self))
        return paginator.get_paginated_response(HoldOut([hold_shape(row) for row in shown], many=True).data)


class HoldDetail(View):
    @extend_schema(responses={200: HoldOut, **problems(404)})
    def get(self, request: Request, hold_id: UUID) -> Response:
        return Response(HoldOut(hold_shape(privacy.told([privacy.hold(self.actor, hold_id)])[0])).data)


class HoldLifting(View):
    @extend_schema(request=Why, responses={200: HoldOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, hold_id: UUID) -> Response:
        """End a hold. Others on the same person stand on."""
        row = privacy.hold(self.actor, hold_id)
        given = given_by(Why, request)
        row = erasure.lift_hold(command=self.command(), hold_id=row.id, **given).value
        return Response(HoldOut(hold_shape(privacy.told([row])[0])).data)


urlpatterns = [
    path("privacy/people/<str:person>", PersonalData.as_view()),
    path("privacy/people/<str:person>/erasure", Erasure.as_view()),
    path("privacy/holds", Holds.as_view()),
    path("privacy/holds/<uuid:hold_id>", HoldDetail.as_view()),
    path("privacy/holds/<uuid:hold_id>/lifting", HoldLifting.as_view()),
]
