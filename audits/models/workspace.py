from __future__ import annotations

import secrets

from django.core.validators import RegexValidator
from django.db import models

from audits.actors import SubjectRef
from audits.ids import uuid7

NAME = r"[a-z0-9][a-z0-9._-]*"
name_validator = RegexValidator(rf"^{NAME}\Z", code="invalid_name")


def new_salt() -> str:
    return secrets.token_hex(16)


class Workspace(models.Model):
    """The border of everything: names are unique in it, tokens are bound to it, readers see one at a time."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    salt = models.CharField(max_length=64, default=new_salt, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("workspace", self.id, self.name)
