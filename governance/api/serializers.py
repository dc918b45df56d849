"""Shapes of the API: what goes in, what comes out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from audits.api.schema import ReasonOut
from audits.api.serializers import ProgressOut
from governance.models import PolicyVersion
from governance.states import DecisionVerdict, PromotionState


class PolicyOut(serializers.ModelSerializer[PolicyVersion]):
    class Meta:
        model = PolicyVersion
        fields = [
            "id",
            "name",
            "n",
            "digest",
            "environment",
            "risk_tiers",
            "use_case",
            "current",
            "text",
            "created_at",
        ]


class NewPromotion(serializers.Serializer[None]):
    to = serializers.CharField(max_length=60)
    reason = serializers.CharField(max_length=4000)


class NewCondition(serializers.Serializer[None]):
    text = serializers.CharField(max_length=4000)
    due = serializers.DateTimeField(help_text="missed, the gate shuts")


class NewDecision(serializers.Serializer[None]):
    verdict = serializers.ChoiceField(choices=DecisionVerdict.choices)
    reason = serializers.CharField(max_length=4000)
    dossier_digest = serializers.CharField(
        max_length=80, help_text="of the dossier you read: 409 if it has changed"
    )
    conditions = NewCondition(many=True, required=False, help_text="what an approval depends on, by when")


class Withdrawal(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=4000)


class RequirementOut(serializers.Serializer[None]):
    check = serializers.CharField()
    metric = serializers.CharField()
    attribute = serializers.CharField(allow_null=True)
    op = serializers.ChoiceField(choices=["min", "max"])
    limit = serializers.FloatField()
    bound = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    interval = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    n = serializers.IntegerField(allow_null=True)
    verdict = serializers.ChoiceField(
        choices=["passed", "attested", "failed", "inconclusive", "errored", "stale", "pending", "waived"]
    )
    reason = ReasonOut()


class ApprovalOut(serializers.Serializer[None]):
    role = serializers.CharField()
    needed = serializers.IntegerField()
    given = serializers.IntegerField()


class PinnedPolicy(serializers.Serializer[None]):
    id = serializers.CharField()
    version = serializers.IntegerField()
    digest = serializers.CharField()


class CheckLink(serializers.Serializer[None]):
    id = serializers.UUIDField()
    check = serializers.CharField()
    state = serializers.CharField()
    result_digest = serializers.CharField(allow_blank=True)
    progress = ProgressOut(allow_null=True, help_text="while it is running, divided among workers")


class PromotionOut(serializers.Serializer[dict[str, Any]]):
    id = serializers.UUIDField()
    model = serializers.CharField()
    n = serializers.IntegerField()
    to = serializers.CharField()
    state = serializers.ChoiceField(choices=PromotionState.choices)
    effective = serializers.BooleanField()
    effective_at = serializers.DateTimeField(allow_null=True)
    dossier_digest = serializers.CharField(allow_blank=True)
    policy = PinnedPolicy()
    requirements = RequirementOut(many=True)
    approvals = ApprovalOut(many=True)
    reasons = ReasonOut(many=True, help_text="why it was refused; empty otherwise")
    checks = CheckLink(many=True)
    policy_outdated = serializers.BooleanField(
        help_text="live under a policy version that is no longer the one in force"
    )
    attestation = serializers.CharField(allow_null=True, help_text="where the signed statement is")
    receipt = serializers.CharField(allow_null=True, help_text="where the inclusion proof is")
    created_at = serializers.DateTimeField()


class DecisionOut(serializers.Serializer[dict[str, Any]]):
    id = serializers.UUIDField()
    verdict = serializers.CharField()
    role = serializers.CharField()
    promotion = PromotionOut()


class GatePlacement(serializers.Serializer[None]):
    model = serializers.CharField()
    n = serializers.IntegerField()
    state = serializers.CharField()
    effective_at = serializers.DateTimeField(allow_null=True)
    promotion = serializers.UUIDField()


class GateGrandfathered(serializers.Serializer[None]):
    id = serializers.UUIDField()
    model = serializers.CharField()
    deadline = serializers.DateTimeField()


class GateOut(serializers.Serializer[Any]):
    allowed = serializers.BooleanField()
    digest = serializers.CharField()
    environment = serializers.CharField()
    reasons = ReasonOut(many=True)
    placements = GatePlacement(many=True)
    attestation = serializers.CharField(allow_null=True)
    receipt = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField(allow_null=True, help_text="the time asked about; null: now")
    grandfathered = GateGrandfathered(
        allow_null=True, help_text="tolerated because it ran before, not approved; null otherwise"
    )
    warnings = ReasonOut(
        many=True, help_text="allowed, and something is overdue that the policy only warns of"
    )
    break_glass = serializers.BooleanField(
        help_text="refused, and let through by somebody who answers for it"
    )
    until = serializers.DateTimeField(allow_null=True, help_text="when the broken glass shuts again")


class MeOut(serializers.Serializer[None]):
    kind = serializers.CharField()
    id = serializers.UUIDField()
    workspace = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)
