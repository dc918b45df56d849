from __future__ import annotations

from typing import Any

from rest_framework import serializers

from audits import messages, verbs
from audits.checks.contract import Message
from audits.models import CheckRun, Event


class EventOut(serializers.ModelSerializer[Event]):
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


class CheckRunOut(serializers.ModelSerializer[CheckRun]):
    check_name = serializers.CharField(source="check_slug")

    class Meta:
        model = CheckRun
        fields = [
            "id", "check_name", "check_version", "state", "subject_kind", "subject_id", "subject_digest", "input",
            "input_digest", "result", "result_digest", "run_environment", "queued_at", "finished_at",
        ]  # fmt: skip
