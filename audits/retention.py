"""Two classes of events. What is not named as one of the decision log is evidence, and is never pruned.

Evidence is what answers of today still follow from (rights, policies, states, keys, what stands against a version) and
what tells of the log itself (alarms, erasures, holds, exports, prunings). The decision log is the rest: what was
measured, said and tried on the way. It is kept for ten years (AI Act Art. 18; audits_retention_period), and may go
after that, from the front, once a verified export holds it (audits.services.pruning). Refusals changed nothing: they
are of the decision log, whatever their verb.

Each package names its verbs (CRIVO_DECISION_LOG: dotted paths of sets). The database knows the same list, so that no
other event can go: a migration that adds a verb ends with `install`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

VERBS = frozenset(
    {
        "check_run.completed",
        "check_run.reproduced",
        "check_run.reproduction_requested",
        "explanation.completed",
        "explanation.requested",
        "webhook.redelivered",
        "webhook.tested",
    }
)


def decision_log() -> frozenset[str]:
    """Verbs of the decision log, of all packages."""
    return frozenset[str]().union(*(import_string(path) for path in settings.CRIVO_DECISION_LOG))


def install(cursor: Any) -> None:
    """Make the list in the database the one here, as its owner. Idempotent."""
    cursor.execute("DELETE FROM audits_decision_log")
    cursor.execute(
        "INSERT INTO audits_decision_log (verb) SELECT unnest(%s::text[])", [sorted(decision_log())]
    )
