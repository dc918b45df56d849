"""Operators' tables of who may decide, by which policy, and what was decided, to look at only."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group

from audits.admin import ReadOnlyAdmin
from governance import admin_watch as admin_watch
from governance.models import (
    Alias,
    ApiToken,
    Decision,
    Deployment,
    Environment,
    Placement,
    PolicyChange,
    PolicyVersion,
    Promotion,
    Retirement,
    RoleBinding,
    Suspension,
    UseCase,
    User,
)

admin.site.unregister(Group)  # permissions come from roles; a group here would suggest otherwise


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "first_name", "last_name", "email", "=id")
    ordering = ("username",)
    fields = (
        "id",
        "username",
        "first_name",
        "last_name",
        "email",
        "is_active",
        "is_staff",
        "is_superuser",
        "date_joined",
        "last_login",
    )


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """The public half only: the hash of the secret is nobody's business."""

    list_display = ("name", "public_id", "kind", "person", "expires_at", "revoked_at", "last_used_at")
    list_filter = ("kind", "workspace")
    list_select_related = ("person",)
    search_fields = ("name", "public_id", "person__username")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "name",
        "public_id",
        "kind",
        "person",
        "scopes",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )


@admin.register(RoleBinding)
class RoleBindingAdmin(ReadOnlyAdmin):
    list_display = ("role", "person", "group", "token", "scope_kind", "workspace", "created_at", "revoked_at")
    list_filter = ("role", "scope_kind", "workspace")
    list_select_related = ("person", "group", "token", "workspace")
    search_fields = ("person__username", "group__name", "token__name")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "role",
        "person",
        "group",
        "token",
        "scope_kind",
        "scope_id",
        "granted_event",
        "recertify_every",
        "created_at",
        "revoked_at",
    )


@admin.register(UseCase)
class UseCaseAdmin(ReadOnlyAdmin):
    list_display = ("name", "risk_tier", "workspace", "created_at")
    list_filter = ("risk_tier", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("name", "purpose")
    ordering = ("name",)
    fields = (
        "id",
        "workspace",
        "name",
        "purpose",
        "risk_tier",
        "computed_tier",
        "owner_id",
        "n",
        "created_at",
    )


@admin.register(Environment)
class EnvironmentAdmin(ReadOnlyAdmin):
    list_display = ("name", "position", "exclusive", "workspace")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    ordering = ("workspace", "position")
    fields = ("id", "workspace", "name", "position", "exclusive", "created_at")


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ReadOnlyAdmin):
    list_display = ("label", "environment", "current", "digest", "workspace", "created_at")
    list_filter = ("current", "environment", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("name", "use_case", "=digest")
    ordering = ("name", "-n")
    fields = (
        "id",
        "workspace",
        "name",
        "n",
        "current",
        "environment",
        "risk_tiers",
        "use_case",
        "digest",
        "text",
        "applied_by",
        "created_at",
    )


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "policy", "workspace", "created_at", "settled_at")
    list_filter = ("state", "environment__name", "workspace")
    list_select_related = ("version__model", "environment", "policy", "workspace")
    search_fields = ("version__model__name", "=id", "=dossier_digest", "=correlation_id")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "version",
        "environment",
        "policy",
        "state",
        "requested_by",
        "requester_id",
        "correlation_id",
        "dossier_digest",
        "requirements",
        "outcome",
        "created_at",
        "settled_at",
    )


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("promotion", "verdict", "role", "person_id", "created_at")
    list_filter = ("verdict", "role", "workspace")
    list_select_related = ("promotion__version__model", "promotion__environment")
    search_fields = ("promotion__version__model__name", "=person_id", "=dossier_digest")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "promotion",
        "person_id",
        "role",
        "verdict",
        "dossier_digest",
        "event_id",
        "created_at",
    )


@admin.register(Placement)
class PlacementAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "exclusive", "workspace", "created_at")
    list_filter = ("state", "environment__name", "workspace")
    list_select_related = ("version__model", "environment", "workspace")
    search_fields = ("version__model__name", "=id", "=promotion__id")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "version",
        "environment",
        "exclusive",
        "promotion",
        "state",
        "granted_event",
        "created_at",
    )


@admin.register(PolicyChange)
class PolicyChangeAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "workspace", "created_at", "settled_at")
    list_filter = ("state", "workspace")
    list_select_related = ("base", "workspace")
    search_fields = ("name", "=id", "=digest")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "name",
        "base",
        "digest",
        "text",
        "diff",
        "commit",
        "proposed_by",
        "proposer_id",
        "state",
        "version",
        "created_at",
        "settled_at",
    )


@admin.register(Suspension)
class SuspensionAdmin(ReadOnlyAdmin):
    list_display = ("version", "placement", "person_id", "lifted_by", "workspace", "created_at")
    list_filter = ("workspace",)
    list_select_related = (
        "version__model",
        "placement__version__model",
        "placement__environment",
        "workspace",
    )
    search_fields = ("version__model__name", "=id")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "version",
        "placement",
        "event_id",
        "person_id",
        "lifted_event",
        "lifted_by",
        "created_at",
    )


@admin.register(Retirement)
class RetirementAdmin(ReadOnlyAdmin):
    list_display = ("version", "successor", "workspace", "created_at")
    list_filter = ("workspace",)
    list_select_related = ("version__model", "successor__model", "workspace")
    search_fields = ("version__model__name", "=id")
    ordering = ("-created_at",)
    fields = ("id", "workspace", "version", "successor", "event_id", "retired_by", "created_at")


@admin.register(Alias)
class AliasAdmin(ReadOnlyAdmin):
    list_display = ("name", "model", "version", "workspace", "created_at")
    list_filter = ("workspace",)
    list_select_related = ("model", "version__model", "workspace")
    search_fields = ("name", "model__name")
    ordering = ("-created_at",)
    fields = ("id", "workspace", "model", "name", "version", "created_at")


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    list_display = ("version", "environment", "mode", "share", "allowed", "since", "until", "workspace")
    list_filter = ("mode", "allowed", "environment__name", "workspace")
    list_select_related = ("version__model", "environment", "workspace")
    search_fields = ("version__model__name", "location", "=id")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "version",
        "environment",
        "mode",
        "share",
        "location",
        "since",
        "until",
        "recorded_by",
        "allowed",
        "basis",
        "created_at",
    )
