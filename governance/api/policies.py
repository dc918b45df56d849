"""Policies over HTTP: propose and decide, look at versions and differences, rehearse, acknowledge."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages
from audits.actors import authoriser
from audits.api.base import View, given_by, paged
from audits.api.filters import PART_OF_NAME, Filter, narrowed, parameters
from audits.api.schema import ReasonOut, problems
from audits.checks.contract import Message
from audits.errors import BadRequest, Forbidden, Unprocessable
from audits.ledger.inclusion import published_at
from audits.services.reasons import REASON_LIMIT
from governance import selectors
from governance.acknowledgements import missing
from governance.api.serializers import ApprovalOut, PolicyOut, RequirementOut
from governance.dry_run import rehearse
from governance.in_force import versions_in_force
from governance.models import Placement, PolicyChange, PolicyChangeDecision, PolicyVersion
from governance.outdated import outdated_placements
from governance.plan import plan
from governance.policy import schema
from governance.policy.diff import compare, text_diff
from governance.services import acknowledging, policy_changes
from governance.states import PolicyChangeState
from registry.selectors import found, model_version

MAX_FILES = 200


class NewPolicyChange(serializers.Serializer[None]):
    text = serializers.CharField(max_length=70_000, trim_whitespace=False, help_text="the policy file, YAML")
    reason = serializers.CharField(max_length=REASON_LIMIT)
    commit = serializers.CharField(
        max_length=policy_changes.COMMIT_LIMIT,
        required=False,
        default="",
        allow_blank=True,
        help_text="the Git commit it comes from",
    )


class ChangeLineOut(serializers.Serializer[None]):
    direction = serializers.ChoiceField(choices=["tighter", "looser", "other"])
    code = serializers.CharField()
    params = serializers.DictField()
    text = serializers.CharField()


class PolicyChangeOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=PolicyChangeState.choices)
    digest = serializers.CharField(help_text="name it when you decide: 409 if it is another one")
    base = serializers.IntegerField(allow_null=True, help_text="the version it was proposed against")
    version = serializers.IntegerField(allow_null=True, help_text="the version it became")
    changes = ChangeLineOut(many=True)
    text = serializers.CharField()
    commit = serializers.CharField(allow_blank=True)
    proposed_by = serializers.UUIDField()
    excluded = serializers.ListField(
        child=serializers.UUIDField(), help_text="people who may not decide on it"
    )
    effective = serializers.BooleanField(help_text="applied, and its event is in a published checkpoint")
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(change_out(instance))


class NewPolicyDecision(serializers.Serializer[None]):
    verdict = serializers.ChoiceField(choices=PolicyChangeDecision.Verdict.choices)
    reason = serializers.CharField(max_length=REASON_LIMIT)
    digest = serializers.CharField(max_length=80)


class PolicyReason(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=REASON_LIMIT)


class PolicyVersionOut(PolicyOut):
    in_force = serializers.BooleanField(read_only=True)
    effective_at = serializers.DateTimeField(allow_null=True, read_only=True)

    class Meta(PolicyOut.Meta):
        fields = [*PolicyOut.Meta.fields, "in_force", "effective_at"]


class DiffOut(serializers.Serializer[None]):
    before = serializers.CharField()
    after = serializers.CharField()
    changes = ChangeLineOut(many=True)
    text = serializers.CharField(allow_blank=True, help_text="unified diff of the files as written")


class NewRehearsal(serializers.Serializer[None]):
    text = serializers.CharField(
        max_length=70_000, trim_whitespace=False, required=False, help_text="a policy file, YAML; or:"
    )
    policy = serializers.CharField(max_length=200, required=False, help_text="name of a policy, and")
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)
    model = serializers.CharField(max_length=200)
    n = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class RehearsalOut(serializers.Serializer[None]):
    policy = serializers.CharField()
    environment = serializers.CharField()
    applies = serializers.BooleanField(help_text="whether it is meant for this version's use case")
    format_accepted = serializers.BooleanField()
    lock_accepted = serializers.BooleanField(help_text="whether the environment lock is kept as it asks for")
    passed = serializers.BooleanField()
    requirements = RequirementOut(many=True)
    approvals = ApprovalOut(many=True)


class FileIn(serializers.Serializer[None]):
    path = serializers.CharField(max_length=400)
    text = serializers.CharField(max_length=70_000, trim_whitespace=False, allow_blank=True)


class NewPlan(serializers.Serializer[None]):
    files = FileIn(many=True)


class PlannedOut(serializers.Serializer[None]):
    path = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=["new", "changed", "unchanged", "invalid"])
    current = serializers.IntegerField(allow_null=True)
    changes = ChangeLineOut(many=True)
    text = serializers.CharField(allow_blank=True)
    problem = ReasonOut(allow_null=True)


class PlanOut(serializers.Serializer[None]):
    files = PlannedOut(many=True)
    elsewhere = serializers.ListField(
        child=serializers.CharField(), help_text="current here, and in none of the files"
    )


class AcknowledgementOut(serializers.Serializer[None]):
    person = serializers.UUIDField()
    at = serializers.DateTimeField()


class MissingAcknowledgementOut(serializers.Serializer[None]):
    person = serializers.UUIDField()
    name = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())


class AcknowledgementsOut(serializers.Serializer[None]):
    policy = serializers.CharField()
    asked = serializers.ListField(child=serializers.CharField(), help_text="roles the policy asks")
    given = AcknowledgementOut(many=True)
    missing = MissingAcknowledgementOut(many=True)


class StaleEvidenceOut(serializers.Serializer[None]):
    check = serializers.CharField()
    finished_at = serializers.DateTimeField(allow_null=True)


class OutdatedOut(serializers.Serializer[None]):
    promotion = serializers.UUIDField()
    model = serializers.CharField()
    n = serializers.IntegerField()
    environment = serializers.CharField()
    policy_outdated = serializers.BooleanField()
    pinned = serializers.CharField()
    in_force = serializers.CharField(allow_null=True, help_text="null: no policy covers it any more")
    stale_evidence = StaleEvidenceOut(many=True)


class OutdatedListOut(serializers.Serializer[None]):
    results = OutdatedOut(many=True)


def lines_out(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**messages.as_json(Message(line["code"], line["params"])), "direction": line["direction"]}
        for line in changes
    ]


def change_out(row: PolicyChange) -> dict[str, Any]:
    version = row.version
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "digest": row.digest,
        "base": row.base.n if row.base else None,
        "version": version.n if version else None,
        "changes": lines_out(row.diff),
        "text": row.text,
        "commit": row.commit,
        "proposed_by": row.proposed_by,
        "excluded": sorted(set(row.exclusions.values_list("person_id", flat=True)), key=str),
        "effective": version is not None and bool(published_at([version.granted_event])),
        "created_at": row.created_at,
        "settled_at": row.settled_at,
    }


def _readable(view: View) -> None:
    if not authoriser().anywhere(view.actor, "registry.read"):
        raise Forbidden("not_permitted", action="registry.read")


FILTERS = {
    "name": PART_OF_NAME,
    "environment": Filter("environment"),
    "use_case": Filter("use_case", "made for that one alone; empty: for every one"),
}


class Policies(View):
    query = tuple(FILTERS)

    @extend_schema(
        request=NewPolicyChange,
        responses={200: PolicyChangeOut, 201: PolicyChangeOut, **problems(403, 409, 422)},
        description="Propose a policy: it is applied once somebody else approves it. 200: it was proposed already.",
    )
    def post(self, request: Request) -> Response:
        result = policy_changes.propose_policy(command=self.command(), **given_by(NewPolicyChange, request))
        row = selectors.policy_changes(self.actor).get(id=result.value.id)
        response = Response(PolicyChangeOut(row).data, status=201 if result.created else 200)
        response["Location"] = f"/api/v1/policies/changes/{row.id}"
        return response

    @extend_schema(
        parameters=parameters(FILTERS), responses={200: PolicyOut(many=True), **problems(400, 403)}
    )
    def get(self, request: Request) -> Response:
        rows = selectors.policies(self.actor).filter(current=True)
        return paged(self, narrowed(self, rows, FILTERS), PolicyOut)


class PolicyChanges(View):
    query = ("state", "name")

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=list(PolicyChangeState.values)),
            OpenApiParameter("name", str),
        ],
        responses={200: PolicyChangeOut(many=True), **problems(400)},
    )
    def get(self, request: Request) -> Response:
        rows = selectors.policy_changes(self.actor)
        if (state := request.query_params.get("state")) is not None:
            if state not in PolicyChangeState.values:
                raise BadRequest("invalid", field="state", reason=state[:50])
            rows = rows.filter(state=state)
        if name := request.query_params.get("name"):
            rows = rows.filter(name=name)
        return paged(self, rows, PolicyChangeOut)


class PolicyChangeDetail(View):
    @extend_schema(responses={200: PolicyChangeOut, **problems(404)})
    def get(self, request: Request, change_id: UUID) -> Response:
        return Response(PolicyChangeOut(selectors.policy_change(self.actor, change_id)).data)


class PolicyDecisions(View):
    @extend_schema(
        request=NewPolicyDecision, responses={200: PolicyChangeOut, **problems(403, 404, 409, 422)}
    )
    def post(self, request: Request, change_id: UUID) -> Response:
        selectors.policy_change(self.actor, change_id)
        given = given_by(NewPolicyDecision, request)
        policy_changes.decide_policy_change(command=self.command(), change_id=change_id, **given)
        return Response(PolicyChangeOut(selectors.policy_change(self.actor, change_id)).data)


class PolicyWithdrawals(View):
    @extend_schema(request=PolicyReason, responses={200: PolicyChangeOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, change_id: UUID) -> Response:
        selectors.policy_change(self.actor, change_id)
        given = given_by(PolicyReason, request)
        policy_changes.withdraw_policy_change(command=self.command(), change_id=change_id, **given)
        return Response(PolicyChangeOut(selectors.policy_change(self.actor, change_id)).data)


class PolicyVersions(View):
    @extend_schema(responses={200: PolicyOut(many=True), **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        rows = selectors.policies(self.actor).filter(name=name)
        found(rows.order_by("-n"), "policy", name)
        return paged(self, rows, PolicyOut)


class PolicyVersionDetail(View):
    @extend_schema(responses={200: PolicyVersionOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        row: Any = selectors.policy_version(self.actor, name, n)
        row.in_force = row.id in {version.id for version in versions_in_force(row.workspace_id)}
        row.effective_at = published_at([row.granted_event]).get(row.granted_event)
        return Response(PolicyVersionOut(row).data)


class PolicyDiff(View):
    @extend_schema(responses={200: DiffOut, **problems(404)})
    def get(self, request: Request, name: str, a: int, b: int) -> Response:
        before = selectors.policy_version(self.actor, name, a)
        after = selectors.policy_version(self.actor, name, b)
        changes = [change.to_json() for change in compare(before.body, after.body)]
        return Response(
            {
                "before": before.label,
                "after": after.label,
                "changes": lines_out(changes),
                "text": text_diff(before.text, after.text, (before.label, after.label)),
            }
        )


class Acknowledgements(View):
    @extend_schema(responses={200: AcknowledgementsOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        return Response(_acknowledgements(selectors.policy_version(self.actor, name, n)))

    @extend_schema(
        request=None,
        responses={200: AcknowledgementsOut, 201: AcknowledgementsOut, **problems(403, 404, 422)},
    )
    def post(self, request: Request, name: str, n: int) -> Response:
        """Say that you know this version of the policy."""
        result = acknowledging.acknowledge_policy(command=self.command(), name=name, n=n)
        row = selectors.policy_version(self.actor, name, n)
        return Response(_acknowledgements(row), status=201 if result.created else 200)


def _acknowledgements(row: PolicyVersion) -> dict[str, Any]:
    return {
        "policy": row.label,
        "asked": row.body.get("acknowledge") or [],
        "given": [
            {"person": given.person_id, "at": given.created_at}
            for given in row.acknowledgements.order_by("created_at")
        ],
        "missing": [
            {"person": person.id, "name": person.label, "roles": roles} for person, roles in missing(row)
        ],
    }


class DryRun(View):
    @extend_schema(
        request=NewRehearsal,
        responses={200: RehearsalOut, **problems(403, 404, 422)},
        description="What a policy would say of a version, with the evidence there is. Nothing is written.",
    )
    def post(self, request: Request) -> Response:
        _readable(self)
        given = given_by(NewRehearsal, request)
        named = "policy" in given, "version" in given
        if ("text" in given) == any(named) or any(named) != all(named):
            raise Unprocessable("policy_source_missing", field="text")
        if "text" in given:
            body = schema.parse(given["text"])
            label = body["policy"]
        else:
            row = selectors.policy_version(self.actor, given["policy"], given["version"])
            body, label = row.body, row.label
        version = model_version(self.actor, given["model"], given["n"])
        found = rehearse(version, body, timezone.now())
        return Response(
            {
                "policy": label,
                "environment": body["applies_to"]["environment"],
                "applies": found.applies,
                "format_accepted": found.format_accepted,
                "lock_accepted": found.lock_accepted,
                "passed": found.passed,
                "requirements": [
                    {**line.to_json(), "reason": messages.as_json(line.reason)} for line in found.lines
                ],
                "approvals": found.approvals,
            }
        )


class PolicyPlan(View):
    @extend_schema(
        request=NewPlan,
        responses={200: PlanOut, **problems(403)},
        description="What proposing these files would change. Nothing is written.",
    )
    def post(self, request: Request) -> Response:
        _readable(self)
        files = given_by(NewPlan, request)["files"]
        if len(files) > MAX_FILES:
            raise BadRequest("too_many_files", field="files", limit=MAX_FILES)
        found = plan(self.actor, files)
        return Response(
            {
                "files": [
                    {
                        "path": file.path,
                        "name": file.name,
                        "status": file.status,
                        "current": file.current,
                        "changes": lines_out([change.to_json() for change in file.changes]),
                        "text": file.text,
                        "problem": messages.as_json(file.problem) if file.problem else None,
                    }
                    for file in found.files
                ],
                "elsewhere": found.elsewhere,
            }
        )


class OutdatedPolicies(View):
    @extend_schema(
        responses={200: OutdatedListOut, **problems(403)},
        description="What is live under a policy version no longer in force, or on evidence older than it accepts.",
    )
    def get(self, request: Request) -> Response:
        _readable(self)
        seen = authoriser().visible(self.actor, Placement.objects.all())
        found = outdated_placements(seen, timezone.now())
        rows = [
            {
                "promotion": row.placement.promotion_id,
                "model": row.placement.version.model.name,
                "n": row.placement.version.n,
                "environment": row.placement.environment.name,
                "policy_outdated": row.policy_outdated,
                "pinned": row.pinned.label,
                "in_force": row.in_force.label if row.in_force else None,
                "stale_evidence": [
                    {"check": run.check_slug, "finished_at": run.finished_at} for run in row.stale
                ],
            }
            for row in found
        ]
        return Response({"results": rows})


_VERSION = "policies/<str:name>/versions/<int:n>"
urlpatterns = [
    path("policies", Policies.as_view()),
    path("policies/changes", PolicyChanges.as_view()),
    path("policies/changes/<uuid:change_id>", PolicyChangeDetail.as_view()),
    path("policies/changes/<uuid:change_id>/decisions", PolicyDecisions.as_view()),
    path("policies/changes/<uuid:change_id>/withdrawal", PolicyWithdrawals.as_view()),
    path("policies/dry-run", DryRun.as_view()),
    path("policies/plan", PolicyPlan.as_view()),
    path("policies/outdated", OutdatedPolicies.as_view()),
    path("policies/<str:name>/versions", PolicyVersions.as_view()),
    path(_VERSION, PolicyVersionDetail.as_view()),
    path(f"{_VERSION}/acknowledgements", Acknowledgements.as_view()),
    path("policies/<str:name>/versions/<int:a>/diff/<int:b>", PolicyDiff.as_view()),
]
