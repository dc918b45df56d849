"""Look for roles that have lapsed and tell the trail, once each. The lapse itself needs nobody: it is derived."""

from __future__ import annotations

from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from audits.actors import Command, system_actor
from audits.models import Event
from governance import access
from governance.services.access import note_lapse


def note_lapses() -> int:
    """How many lapses were told of now."""
    told = Event.objects.filter(
        subject_kind="role_binding",
        subject_id=OuterRef("id"),
        verb="role.lapsed",
        at__gte=OuterRef("lapses_at"),
    )
    lapsed = access.dated().filter(
        revoked_at=None, lapses_at__lte=timezone.now(), granted_event__isnull=False
    )
    rows = list(lapsed.exclude(Exists(told)).order_by(F("lapses_at"))[:1000])
    for binding in rows:
        note_lapse(command=Command(system_actor("sweep", binding.workspace_id)), binding=binding)
    return len(rows)
