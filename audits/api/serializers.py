from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audits import messages, verbs
from audits.api.schema import ReasonOut
from audits.checks.contract import Message
from audits.models import AuditExport, CheckRun, Event
from audits.models.ledger import Outcome
from audits.progress import progress_of
from audits.services.check_runs import message_of
from audits.states import ExportForm


class EventOut(serializers.ModelSerializer[Event]):
    policy = serializers.DictField(
        allow_null=True, help_text="the policy version that applied: id, version, digest"
    )
    actor = serializers.SerializerMethodField()
    subject = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    sentence = serializers.SerializerMethodField()
    index = serializers.SerializerMethodField(help_text="position in the log; null until it is sequenced")

    class Meta:
        model = Event
        fields = [
            "id", "at", "actor", "on_behalf_of", "verb", "subject", "subject_seq", "outcome", "reason", "policy",
            "evidence", "before", "after", "request_id", "correlation_id", "index", "sentence",
        ]  # fmt: skip

    def get_actor(self, event: Event) -> dict[str, str]:
        return {"kind": event.actor_kind, "id": str(event.actor_id)}

    def get_subject(self, event: Event) -> dict[str, str]:
        return {
            "kind": event.subject_kind,
            "id": str(event.subject_id),
            "label": event.subject_label,
            "digest": event.subject_digest,
        }

    def get_reason(self, event: Event) -> dict[str, Any] | None:
        return (
            messages.as_json(Message(event.reason["code"], event.reason["params"])) if event.reason else None
        )

    def get_sentence(self, event: Event) -> str:
        names = self.context.get("names", {})
        return verbs.sentence(event.verb, names.get(event.actor_id, event.actor_kind), event.subject_label)

    def get_index(self, event: Event) -> int | None:
        leaf = getattr(event, "leaf", None)
        return leaf.index if leaf else None


class ProgressOut(serializers.Serializer[None]):
    """Of a check that is divided among workers; rows count as done with the part they are in."""

    parts = serializers.IntegerField()
    parts_done = serializers.IntegerField()
    rows = serializers.IntegerField()
    rows_done = serializers.IntegerField()


class CheckRunOut(serializers.ModelSerializer[CheckRun]):
    check_name = serializers.CharField(source="check_slug")
    progress = serializers.SerializerMethodField(help_text="null for a check in one pass")
    error = serializers.SerializerMethodField(help_text="why an errored check gave no result, as a sentence")

    class Meta:
        model = CheckRun
        fields = [
            "id", "check_name", "check_version", "state", "subject_kind", "subject_id", "subject_digest", "input",
            "input_digest", "result", "result_digest", "run_environment", "queued_at", "finished_at", "progress",
            "error",
        ]  # fmt: skip

    @extend_schema_field(ReasonOut(allow_null=True))
    def get_error(self, row: CheckRun) -> dict[str, Any] | None:
        error = message_of(row.result) if row.result else None
        return messages.as_json(Message(error["code"], error["params"])) if error else None

    @extend_schema_field(ProgressOut(allow_null=True))
    def get_progress(self, row: CheckRun) -> dict[str, int] | None:
        found = progress_of([row.id]).get(row.id)
        return asdict(found) if found else None


_VERB = {"type": "string", "enum": sorted(verbs.all_verbs())}
# Read by TrailQuery.parse; no serializer says that nothing else may be there.
NEW_EXPORT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "filter": {
            "type": "object",
            "description": "as the query parameters of GET /audit/events. Absent: everything.",
            "additionalProperties": False,
            "properties": {
                "verb": {"oneOf": [_VERB, {"type": "array", "items": _VERB}]},
                "outcome": {"type": "string", "enum": list(Outcome.values)},
                "subject_kind": {"type": "string", "pattern": "^[a-z_]{1,60}$"},
                **{
                    name: {"type": "string", "format": "uuid"}
                    for name in ("actor", "subject_id", "correlation_id", "request_id")
                },
                "from": {"type": "string", "format": "date-time"},
                "to": {"type": "string", "format": "date-time"},
                "q": {"type": "string", "maxLength": 200},
                "sample": {
                    "type": "object",
                    "description": "some at random, by their place in the log: the same seed takes the same events",
                    "additionalProperties": False,
                    "required": ["per_million"],
                    "properties": {
                        "per_million": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
                        "seed": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
                    },
                },
            },
        },
        "form": {"type": "string", "enum": list(ExportForm.values), "default": "bundle"},
        "language": {"type": "string", "enum": ["en", "pt-br"], "default": "en"},
        "time_zone": {
            "type": "string",
            "description": "of the times told, like America/Sao_Paulo",
            "default": "UTC",
        },
    },
}


class ExportOut(serializers.ModelSerializer[AuditExport]):
    filter = serializers.JSONField(source="query")
    error = serializers.SerializerMethodField()
    content = serializers.SerializerMethodField(help_text="where the tar or zip is; null until state is done")

    class Meta:
        model = AuditExport
        fields = [
            "id", "state", "form", "language", "time_zone", "filter", "requested_by", "queued_at", "finished_at",
            "done_entries", "log_size", "heads",
            "matches", "counts", "blob_digest", "blob_size", "error", "content",
        ]  # fmt: skip

    def get_error(self, export: AuditExport) -> dict[str, Any] | None:
        return (
            messages.as_json(Message(export.error["code"], export.error["params"])) if export.error else None
        )

    def get_content(self, export: AuditExport) -> str | None:
        return f"/api/v1/audit/exports/{export.id}/content" if export.state == "done" else None
