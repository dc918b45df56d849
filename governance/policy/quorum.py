"""N of M by role, one person one slot: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def needed(policy: Mapping[str, Any]) -> Counter[str]:
    """Approvals asked for, by role."""
    wanted: Counter[str] = Counter()
    for entry in policy["approvals"]:
        wanted[entry["role"]] += entry["count"]
    return wanted


def slot_for(policy: Mapping[str, Any], given: Iterable[str], roles: frozenset[str]) -> str | None:
    """The slot somebody with `roles` would fill: one still open if there is one, else any of theirs; None: no slot."""
    wanted = needed(policy)
    left = wanted - Counter(given)
    for candidates in (left, wanted):
        for role in candidates:
            if role in roles:
                return role
    return None


def met(policy: Mapping[str, Any], given: Iterable[str]) -> bool:
    return not needed(policy) - Counter(given)


def tally(policy: Mapping[str, Any], given: Sequence[str]) -> list[dict[str, Any]]:
    count = Counter(given)
    return [{"role": role, "needed": wanted, "given": count[role]} for role, wanted in needed(policy).items()]
