"""A port: the registry refers to people and use cases by name, and governance, above it, knows them."""

from __future__ import annotations

from functools import cache
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string


class Directory(Protocol):
    def person_named(self, name: str) -> UUID | None: ...

    def use_case_exists(self, workspace: UUID, name: str) -> bool: ...


@cache
def directory() -> Directory:
    loaded: Directory = import_string(settings.CRIVO_DIRECTORY)()
    return loaded
