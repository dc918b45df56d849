"""Operators' tables of what exists and where it came from, to look at only."""

from __future__ import annotations

from django.contrib import admin

from audits.admin import ReadOnlyAdmin
from registry.models import Dataset, DatasetVersion, Model, ModelVersion


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin):
    list_display = ("name", "last_n", "workspace", "created_at")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    search_fields = ("name", "=id")
    ordering = ("name",)
    fields = ("id", "workspace", "name", "description", "owner_id", "last_n", "created_at")


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    list_display = ("label", "rows", "format", "digest", "workspace", "created_at")
    list_filter = ("format", "workspace")
    list_select_related = ("dataset", "workspace")
    search_fields = ("dataset__name", "=digest", "=id")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "dataset",
        "n",
        "kind",
        "uri",
        "format",
        "digest",
        "size",
        "rows",
        "columns",
        "sensitive",
        "registered_by",
        "created_at",
    )


@admin.register(Model)
class ModelTableAdmin(ReadOnlyAdmin):
    list_display = ("name", "last_n", "workspace", "created_at")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    search_fields = ("name", "=id")
    ordering = ("name",)
    fields = ("id", "workspace", "name", "description", "owner_id", "last_n", "created_at")


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("label", "state", "artifact_digest", "workspace", "created_at")
    list_filter = ("state", "workspace")
    list_select_related = ("model", "workspace")
    search_fields = ("model__name", "=manifest_digest", "=artifact_digest", "=id")
    ordering = ("-created_at",)
    fields = (
        "id",
        "workspace",
        "model",
        "n",
        "state",
        "manifest_digest",
        "artifact_digest",
        "artifact_size",
        "metadata",
        "evaluation",
        "author_id",
        "registered_by",
        "created_at",
    )
