"""Groups, and roles bound to people, groups and tokens, for the service, a workspace, one model or one dataset.

Whether a binding is in force is derived (governance.access): granted, published, not revoked, not lapsed.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.models.workspace import name_validator
from governance.models.identity import ApiToken, User
from governance.roles import ROLES
from registry.models.base import Governed

RECERTIFY_EVERY = timedelta(days=365)


class Group(Governed):
    """People who hold roles together."""

    name = models.CharField(max_length=200, validators=[name_validator])
    description = models.TextField(blank=True)

    class Meta:
        db_table = "governance_group"
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="group_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("group", self.id, self.name)


class GroupMembership(models.Model):
    """A person in a group, from the publication of `added_event` until `removed_at`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    group = models.ForeignKey(Group, models.PROTECT, related_name="memberships")
    person = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    created_at = models.DateTimeField(auto_now_add=True)
    added_event = models.UUIDField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_group_membership"
        constraints = [
            models.UniqueConstraint(
                fields=["group", "person"], condition=Q(removed_at=None), name="group_membership_once"
            )
        ]


class BindingScope(models.TextChoices):
    SERVICE = "service", _("the whole service")
    WORKSPACE = "workspace", _("the workspace")
    MODEL = "model", _("one model")
    DATASET = "dataset", _("one dataset")


class RoleBinding(Governed):
    """A role given to a person, a group or a service token, until it is taken away or lapses.

    A scope of `service` holds in every workspace; `model` and `dataset` name their subject by value.
    """

    role = models.CharField(max_length=40, choices=[(slug, role.title) for slug, role in ROLES.items()])
    person = models.ForeignKey(User, models.PROTECT, null=True, related_name="bindings")
    group = models.ForeignKey(Group, models.PROTECT, null=True, related_name="bindings")
    token = models.ForeignKey(ApiToken, models.PROTECT, null=True, related_name="bindings")
    scope_kind = models.CharField(max_length=20, choices=BindingScope.choices, default=BindingScope.WORKSPACE)
    scope_id = models.UUIDField(null=True)
    granted_event = models.UUIDField(null=True)  # null only for what no event tells of: never in force
    recertify_every = models.DurationField(default=RECERTIFY_EVERY)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_role_binding"
        constraints = [
            models.CheckConstraint(
                condition=Q(person__isnull=False, group__isnull=True, token__isnull=True)
                | Q(person__isnull=True, group__isnull=False, token__isnull=True)
                | Q(person__isnull=True, group__isnull=True, token__isnull=False),
                name="role_binding_one_principal",
            ),
            models.CheckConstraint(
                condition=Q(scope_kind__in=["service", "workspace"], scope_id__isnull=True)
                | Q(scope_kind__in=["model", "dataset"], scope_id__isnull=False),
                name="role_binding_scope",
            ),
            models.CheckConstraint(
                condition=Q(recertify_every__gt=timedelta(0)), name="role_binding_recertify_every"
            ),
            models.UniqueConstraint(
                fields=["workspace", "role", "person", "group", "token", "scope_kind", "scope_id"],
                condition=Q(revoked_at=None),
                nulls_distinct=False,
                name="role_binding_once",
            ),
        ]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("role_binding", self.id, self.role)

    @property
    def principal(self) -> SubjectRef:
        subject = self.person or self.group or self.token
        if subject is None:
            raise ValueError("a role is bound to a person, a group or a token")
        return subject.ref


class RoleRecertification(models.Model):
    """Somebody else than the holder said that the role is still needed. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    binding = models.ForeignKey(RoleBinding, models.PROTECT, related_name="recertifications")
    by = models.UUIDField()  # the actor
    event_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "governance_role_recertification"
