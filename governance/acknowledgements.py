"""Who has not acknowledged a policy yet."""

from __future__ import annotations

from governance import access
from governance.models import PolicyVersion, User


def missing(policy: PolicyVersion) -> list[tuple[User, list[str]]]:
    """People the policy asks, by a role they hold now, with those roles, who have not acknowledged this version."""
    asked = policy.body.get("acknowledge") or []
    if not asked:
        return []
    found = access.people_with(policy.workspace_id, asked, None)
    done = policy.acknowledgements.values_list("person_id", flat=True)
    people = User.objects.filter(id__in=list(found)).exclude(id__in=done).order_by("username")
    return [(person, sorted(found[person.id])) for person in people]
