"""Broken glass as the gate reads it: which versions are let through, where and until when, now or at a time before."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from audits.ledger.inclusion import published_at
from governance.models import BrokenGlass, Environment
from governance.standings import Moment, state_after
from governance.states import GlassState
from registry.models import ModelVersion

GLASS_STATE_AFTER = {"glass.broken": GlassState.BROKEN, "glass.ended": GlassState.ENDED}

Broken = dict[
    tuple[UUID, UUID], BrokenGlass
]  # by version and environment; of several the one that lasts longest


def broken(versions: Sequence[ModelVersion], environments: Sequence[Environment], when: Moment) -> Broken:
    """One query, and one more if any glass was broken there; none where nothing is asked."""
    if not versions or not environments:
        return {}
    rows = BrokenGlass.objects.filter(
        version__in={row.id for row in versions},
        environment__in={row.id for row in environments},
        expires_at__gt=when.at,
    ).order_by("expires_at", "id")
    if not when.past:
        rows = rows.filter(state=GlassState.BROKEN)
    found = list(rows)
    if not found:
        return {}
    if when.past:
        states = state_after("broken_glass", [row.id for row in found], GLASS_STATE_AFTER, when.at)
        found = [row for row in found if states.get(row.id) == GlassState.BROKEN]
    effective = published_at(row.granted_event for row in found)
    return {
        (row.version_id, row.environment_id): row
        for row in found
        if row.granted_event in effective and (not when.past or effective[row.granted_event] <= when.at)
    }
