"""Who has not acknowledged a policy yet."""

from __future__ import annotations

from governance.models import PolicyVersion, RoleBinding, User


def missing(policy: PolicyVersion) -> list[tuple[User, list[str]]]:
    """People the policy asks, by a role they hold now, with those roles, who have not acknowledged this version."""
    asked = policy.body.get("acknowledge") or []
    done = set(policy.acknowledgements.values_list("person_id", flat=True))
    bindings = RoleBinding.objects.filter(
        workspace_id=policy.workspace_id, revoked_at=None, role__in=asked, person__isnull=False
    ).exclude(person_id__in=done)
    found: dict[User, list[str]] = {}
    for binding in bindings.select_related("person").order_by("person__username", "role"):
        if binding.person is not None and binding.person.is_active:
            found.setdefault(binding.person, []).append(binding.role)
    return list(found.items())
