"""GET audit/state: what was known of a subject at a moment, and what followed from it."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages
from audits.api.base import View
from audits.api.schema import ReasonOut, problems
from audits.errors import Unprocessable
from audits.moments import moment_of
from governance import as_of

EVENT_OUTCOMES = [("done", "done"), ("refused", "refused")]


class StateSubjectOut(serializers.Serializer[Any]):
    kind = serializers.CharField()
    id = serializers.UUIDField()
    label = serializers.CharField()  # type: ignore[assignment] # the wire's name for it


class StateEventOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    n = serializers.IntegerField(help_text="number among the events of the subject")
    index = serializers.IntegerField(allow_null=True, help_text="place in the log")
    verb = serializers.CharField()
    outcome = serializers.ChoiceField(choices=EVENT_OUTCOMES)
    sentence = serializers.CharField()
    after = serializers.CharField(help_text="digest of the subject's row after it")


class StatePolicyOut(serializers.Serializer[Any]):
    environment = serializers.CharField()
    policy = serializers.CharField(allow_null=True, help_text="name@n; null: none applied")
    digest = serializers.CharField(allow_null=True)
    in_force_since = serializers.DateTimeField(allow_null=True)
    reason = ReasonOut(allow_null=True)


class StateRoleOut(serializers.Serializer[Any]):
    role = serializers.CharField()
    principal_kind = serializers.ChoiceField(choices=["person", "token"])
    principal = serializers.UUIDField()
    name = serializers.CharField()
    since = serializers.DateTimeField()


class StateGateOut(serializers.Serializer[Any]):
    environment = serializers.CharField()
    allowed = serializers.BooleanField()
    reasons = ReasonOut(many=True)


class StateOut(serializers.Serializer[Any]):
    subject = StateSubjectOut()
    at = serializers.DateTimeField()
    log_size = serializers.IntegerField(help_text="entries in the newest checkpoint published by then")
    state = serializers.CharField(allow_null=True)
    count = serializers.IntegerField(help_text="events of the subject by then")
    events = StateEventOut(many=True, help_text="the newest of them, oldest first")
    policies = StatePolicyOut(many=True)
    roles = StateRoleOut(many=True)
    gate = StateGateOut(many=True)
    pruned = ReasonOut(
        many=True, help_text="events of the subject that were pruned, and the export they are in"
    )


def moment(text: str | None) -> datetime:
    """A time with its zone, or a date, which means its end in UTC; now, if nothing was given. Never the future."""
    now = timezone.now()
    if text is None:
        return now
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    at = datetime.combine(day, time.max, UTC) if day is not None else moment_of(text)
    if at is None:
        reason = "a time with its zone, like 2026-01-31T12:00:00Z, or a date"
        raise Unprocessable("invalid", field="at", reason=reason)
    return min(at, now)


def as_json(state: as_of.State) -> dict[str, Any]:
    return {
        "subject": {"kind": state.subject.kind, "id": state.subject.id, "label": state.subject.label},
        "at": state.at,
        "log_size": state.log_size,
        "state": state.state,
        "count": state.count,
        "events": [
            {
                "id": told.event.id,
                "at": told.event.at,
                "n": told.event.subject_seq,
                "index": told.index,
                "verb": told.event.verb,
                "outcome": told.event.outcome,
                "sentence": told.sentence,
                "after": told.event.after,
            }
            for told in state.events
        ],
        "policies": [
            {
                "environment": row.environment,
                "policy": row.policy.label if row.policy else None,
                "digest": row.policy.digest if row.policy else None,
                "in_force_since": row.since,
                "reason": messages.as_json(row.reason) if row.reason else None,
            }
            for row in state.policies
        ],
        "roles": [
            {
                "role": row.role,
                "principal_kind": row.principal_kind,
                "principal": row.principal,
                "name": row.name,
                "since": row.since,
            }
            for row in state.roles
        ],
        "gate": [
            {
                "environment": row.environment,
                "allowed": row.answer.allowed,
                "reasons": [messages.as_json(reason) for reason in row.answer.reasons],
            }
            for row in state.gate
        ],
        "pruned": [messages.as_json(note) for note in state.pruned],
    }


class StateAsOf(View):
    query = ("subject", "at")

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "subject",
                str,
                required=True,
                description="a model version as name@n, or kind:id, as the trail has it",
            ),
            OpenApiParameter(
                "at",
                OpenApiTypes.STR,
                description="a time with its zone, or a date (its end, UTC); default now",
            ),
        ],
        responses={200: StateOut, **problems(400, 403, 404)},
        description="What was known of a subject at a moment, which policy applied, who held which role, what the gate "
        "answered. Derived from the events of the log and the times of its checkpoints.",
    )
    def get(self, request: Request) -> Response:
        at = moment(request.query_params.get("at"))
        state = as_of.state_of(self.actor, request.query_params.get("subject", ""), at)
        return Response(StateOut(as_json(state)).data)


urlpatterns = [path("audit/state", StateAsOf.as_view())]
