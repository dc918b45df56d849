"""The access log: who read what, and which requests were refused for their form (AI Act Art. 19).

Reads and answers like 400, 401 and 404 change nothing and leave no event: there are too many, and nobody's right
follows from one. They are kept in a plain append-only table, outside every proof, for at least half a year. What is
written is the pattern of the route, never an address, a query or a body. It must not make an answer wait for a disk,
nor fail one: rows of the last fraction of a second may be lost with the machine."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import DatabaseError, connection

from audits.actors import Actor

log = logging.getLogger(__name__)
SHORTEST_DAYS = 183
# What a service answered to a command is an event, whichever of these it was.
EVENTS = frozenset({403, 409, 412, 422})

_APPEND = """
WITH fast AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO audits_access (at, workspace_id, actor_kind, actor_id, method, path, status, request_id)
SELECT clock_timestamp(), %s, %s, %s, %s, %s, %s, %s FROM fast
"""


def is_noise(method: str, status: int) -> bool:
    """Whether a request leaves a line here: it read, or was refused before any service saw it."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return True
    return 400 <= status < 500 and status not in EVENTS


def note(actor: object, *, method: str, route: str, status: int, request_id: UUID) -> None:
    known = actor if isinstance(actor, Actor) else None
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                _APPEND,
                [
                    known.workspace if known else None,
                    known.kind if known else "",
                    known.id if known else None,
                    method[:10],
                    route[:300],
                    status,
                    request_id,
                ],
            )
    except DatabaseError as error:
        log.warning("a line of the access log could not be written: %s", " ".join(str(error).split())[:200])
