"""Operators' tables of what watches over a version, and of groups and what was imported, to look at only."""

from __future__ import annotations

from django.contrib import admin

from audits.admin import ReadOnlyAdmin
from governance.models import (
    Alarm,
    BrokenGlass,
    Condition,
    ExternalEvidence,
    Finding,
    Grandfathered,
    Group,
    GroupMembership,
    PlacementReview,
    Reconciliation,
    RoleRecertification,
    SignoffInvitation,
    UseCaseVersion,
    Waiver,
)

BY_MODEL = "version__model__name"


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "severity", "due", "workspace", "created_at")
    list_filter = ("state", "severity", "workspace")
    list_select_related = ("version__model", "workspace")
    search_fields = (BY_MODEL, "=id", "=owner_id")
    ordering = ("-created_at",)
    fields = (
        "id", "workspace", "version", "severity", "state", "owner_id", "due", "evidence_digest", "metric",
        "measured_on", "reason", "opened_by", "answered_by", "verified_by", "closed_by", "closed_event", "created_at",
    )  # fmt: skip


@admin.register(Waiver)
class WaiverAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "expires_at", "workspace", "created_at")
    list_filter = ("state", "environment__name", "workspace")
    list_select_related = ("version__model", "environment", "workspace")
    search_fields = (BY_MODEL, "check_slug", "=id")
    ordering = ("-created_at",)
    fields = (
        "id", "workspace", "version", "environment", "check_slug", "metric", "attribute", "state", "expires_at",
        "requested_by", "decided_by", "granted_event", "flagged_at", "created_at",
    )  # fmt: skip


@admin.register(Condition)
class ConditionAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "due", "workspace", "created_at")
    list_filter = ("state", "workspace")
    list_select_related = ("promotion__version__model", "promotion__environment", "workspace")
    search_fields = ("promotion__version__model__name", "=id", "=promotion__id")
    ordering = ("-created_at",)
    fields = ("id", "workspace", "promotion", "decision", "n", "state", "due", "set_by", "created_at")


@admin.register(PlacementReview)
class PlacementReviewAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "due", "workspace", "created_at")
    list_filter = ("state", "workspace")
    list_select_related = ("placement__version__model", "placement__environment", "workspace")
    search_fields = ("placement__version__model__name", "=id", "=placement__id")
    ordering = ("-created_at",)
    fields = ("id", "workspace", "placement", "state", "due", "created_at")


@admin.register(BrokenGlass)
class BrokenGlassAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "expires_at", "workspace", "created_at")
    list_filter = ("state", "environment__name", "workspace")
    list_select_related = ("version__model", "environment", "workspace")
    search_fields = (BY_MODEL, "=id", "=broken_by")
    ordering = ("-created_at",)
    fields = (
        "id", "workspace", "version", "environment", "state", "broken_by", "expires_at", "granted_event",
        "created_at",
    )  # fmt: skip


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "workspace", "created_at")
    list_filter = ("state", "workspace")
    list_select_related = ("glass__version__model", "glass__environment", "workspace")
    search_fields = ("glass__version__model__name", "=id", "=glass__id")
    ordering = ("-created_at",)
    fields = ("id", "workspace", "glass", "state", "raised_by", "created_at")


@admin.register(ExternalEvidence)
class ExternalEvidenceAdmin(ReadOnlyAdmin):
    list_display = ("title", "version", "check_slug", "kind", "issuer", "workspace", "created_at")
    list_filter = ("kind", "check_slug", "workspace")
    list_select_related = ("version__model", "workspace")
    search_fields = (BY_MODEL, "title", "issuer", "=digest")
    ordering = ("-created_at",)
    fields = (
        "id", "workspace", "version", "check_slug", "kind", "title", "issuer", "digest", "size", "summary",
        "signed_by", "attached_by", "created_at",
    )  # fmt: skip


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    list_display = ("name", "description", "workspace", "created_at")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("id", "workspace", "name", "description", "created_at")


@admin.register(GroupMembership)
class GroupMembershipAdmin(ReadOnlyAdmin):
    list_display = ("group", "person", "created_at", "removed_at")
    list_filter = ("group__workspace",)
    list_select_related = ("group", "person")
    search_fields = ("group__name", "person__username")
    ordering = ("-created_at",)
    fields = ("id", "group", "person", "added_event", "created_at", "removed_at")


@admin.register(RoleRecertification)
class RoleRecertificationAdmin(ReadOnlyAdmin):
    list_display = ("binding", "by", "created_at")
    list_select_related = ("binding",)
    search_fields = ("=binding__id", "=by")
    ordering = ("-created_at",)
    fields = ("id", "binding", "by", "event_id", "created_at")


@admin.register(SignoffInvitation)
class SignoffInvitationAdmin(ReadOnlyAdmin):
    """The public half only; name and address are sealed with the event."""

    list_display = ("promotion", "role", "public_id", "expires_at", "used_at", "revoked_at")
    list_filter = ("role", "workspace")
    list_select_related = ("promotion__version__model", "promotion__environment")
    search_fields = ("promotion__version__model__name", "public_id")
    ordering = ("-created_at",)
    fields = (
        "id", "workspace", "promotion", "role", "public_id", "invited_by", "event_id", "expires_at", "used_at",
        "revoked_at", "created_at",
    )  # fmt: skip


@admin.register(Grandfathered)
class GrandfatheredAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "deadline", "workspace", "created_at")
    list_filter = ("state", "environment__name", "workspace")
    list_select_related = ("model", "environment", "workspace")
    search_fields = ("model__name", "=id", "=artifact_digest")
    ordering = ("-created_at",)
    fields = (
        "id", "workspace", "source", "model", "version", "artifact_digest", "artifact_uri", "format", "environment",
        "since", "deadline", "state", "event_id", "ended_at", "created_at",
    )  # fmt: skip


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = ("asked_at", "environments", "differences", "workspace", "created_at")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    search_fields = ("=id", "=digest")
    ordering = ("-created_at",)
    fields = (
        "id", "workspace", "recorded_by", "asked_at", "environments", "running", "findings", "counts", "differences",
        "digest", "created_at",
    )  # fmt: skip


@admin.register(UseCaseVersion)
class UseCaseVersionAdmin(ReadOnlyAdmin):
    list_display = ("use_case", "n", "created_at")
    list_select_related = ("use_case",)
    search_fields = ("use_case__name", "=event_id")
    ordering = ("-created_at",)
    fields = ("use_case", "n", "content", "event_id", "created_at")
