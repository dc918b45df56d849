"""What a policy asks of the environment a version was made in: that its lock is kept, and leaves no version open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audits.checks.contract import Message
from registry.models import EnvironmentLock, ModelVersion


def lock_hindrance(version: ModelVersion, body: Mapping[str, Any], policy: str) -> Message | None:
    """Why the version does not do for the policy `policy` with this body, or None. `environment_lock`: `kept`, or
    `exact` (and it says which version of every package)."""
    wanted = body.get("environment_lock")
    if wanted is None:
        return None
    kept = EnvironmentLock.objects.filter(version=version).first()
    if kept is None:
        return Message("environment_lock_missing", {"policy": policy, "version": version.label})
    if wanted == "exact" and kept.open_count:
        return Message("environment_lock_open", {"policy": policy, "packages": kept.open_count})
    return None
