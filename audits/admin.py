"""Operators' tables of the evidence. To look at only: governed rows change through services, never through a form."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from audits.models import Checkpoint, CheckRun, Event, Workspace


class ReadOnlyAdmin(ModelAdmin):
    """Nobody adds, changes or deletes, superusers included; and only superusers look, because a table shows every
    workspace. `fields` names what is shown: a column added later (a salt, a secret) stays hidden until it is named."""

    fields: tuple[str, ...] = ()
    list_per_page = 50
    show_full_result_count = False
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.fields

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Workspace)
class WorkspaceAdmin(ReadOnlyAdmin):
    list_display = ("name", "created_at")
    search_fields = ("name",)
    fields = ("id", "name", "created_at")


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("at", "verb", "outcome", "subject_kind", "subject_label", "actor_kind", "actor_id")
    list_filter = ("outcome", "verb", "subject_kind", "workspace")
    search_fields = ("subject_label", "verb", "=subject_id", "=actor_id", "=request_id", "=correlation_id")
    ordering = ("-at", "-id")
    fields = (
        "id",
        "at",
        "workspace",
        "verb",
        "outcome",
        "actor_kind",
        "actor_id",
        "on_behalf_of",
        "subject_kind",
        "subject_id",
        "subject_label",
        "subject_digest",
        "subject_seq",
        "reason",
        "policy",
        "evidence",
        "before",
        "after",
        "detail",
        "request_id",
        "correlation_id",
        "previous",
    )


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("size", "published_at")
    ordering = ("-size",)
    fields = ("size", "published_at", "note")


@admin.register(CheckRun)
class CheckRunAdmin(ReadOnlyAdmin):
    list_display = ("check_slug", "subject_label", "state", "attempts", "queued_at", "finished_at")
    list_filter = ("state", "check_slug", "workspace")
    search_fields = ("subject_label", "check_slug", "=id", "=subject_id", "=result_digest", "=input_digest")
    ordering = ("-queued_at",)
    fields = (
        "id",
        "workspace",
        "check_slug",
        "check_version",
        "subject_kind",
        "subject_id",
        "subject_label",
        "subject_digest",
        "state",
        "attempts",
        "fence",
        "lease_until",
        "sent_at",
        "queued_at",
        "finished_at",
        "confinement_level",
        "run_environment",
        "input_digest",
        "result_digest",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CheckRun]:
        rows: QuerySet[CheckRun] = super().get_queryset(request)
        return rows.defer("result", "input")  # a list of a hundred results is megabytes
