"""The states of a model version. Where it stands (development … production) is a placement, not a state."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from audits.states import Table


class VersionState(models.TextChoices):
    REGISTERED = "registered", _("registered")
    SUSPENDED = "suspended", _("suspended")
    RETIRED = "retired", _("retired")


VERSION: Table[VersionState] = {
    VersionState.REGISTERED: frozenset({VersionState.SUSPENDED, VersionState.RETIRED}),
    VersionState.SUSPENDED: frozenset({VersionState.REGISTERED, VersionState.RETIRED}),
    VersionState.RETIRED: frozenset(),
}
