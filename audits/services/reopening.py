"""Going on after an incident: a new log whose first leaf carries what the earlier one had published.

When the notary finds that the database is not what was published (a backup was restored, rows were removed or
changed), it signs nothing more under that origin: whatever it signed would be a second history. Somebody looks, opens
an incident, and begins a new log (`manage.py reopen_log`):

1. An event `log.reopened` says which checkpoint the earlier log had published last, what the database holds of it, and
   why; the words are a text of the event.
2. The leaves and checkpoints of the earlier log move aside, unchanged (audits_earlier_leaf, audits_earlier_checkpoint),
   and the leaf of that event becomes number 0 of the new log.
3. The notary then takes every event that is in the database after it, in the order of their subjects. Whoever holds the
   earlier checkpoint can compare it with the one the first leaf carries, and sees how much is missing.

What had been effective by a checkpoint of the earlier log stays so from then on, once the new log holds it, too.
Only the owner of the tables can do this: it needs the migrating connection, and no notary at work.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings
from django.db import connections, transaction

from audits.actors import Command, SubjectRef
from audits.door import Result, service
from audits.errors import Conflict
from audits.ledger import nodes
from audits.ledger.beside import LIVE, rows_digest
from audits.ledger.entry import body_of
from audits.ledger.notary import LOCK
from audits.ledger.note import Checkpoint, NoteError, parse_note
from audits.ledger.record import lock, record
from audits.ledger.signing import checkpoint_key
from audits.ledger.tree import leaf_hash
from audits.models import Event, LogState, Workspace
from audits.services.reasons import require_reason

OVERLAP = 1_000  # leaves that webhooks look at again


@dataclass(frozen=True)
class Reopened:
    """`earlier`: the log that ended; `published` entries others may have seen of it, `held` are in the database."""

    event: Event
    earlier: str
    published: int
    held: int


def log_ref(origin: str) -> SubjectRef:
    return SubjectRef("log", uuid5(NAMESPACE_URL, f"urn:crivo:log:{origin}"), origin)


def reopen(command: Command, incident: str) -> Reopened:
    """Begin the log CRIVO_ORIGIN. ValueError, with a sentence, where that cannot be done now.

    Doing it again is harmless.
    """
    state = LogState.objects.filter(id=1).first()
    if state is None:
        raise ValueError("There is no log yet: the notary begins it.")
    if state.origin == settings.CRIVO_ORIGIN:
        raise ValueError(
            f"The log is {state.origin}. Set CRIVO_ORIGIN to the name of the new one, and give it a key of its own."
        )
    checkpoint_key()  # of the new origin, or ImproperlyConfigured
    folder = Path(settings.CRIVO_PUBLISH)
    note = (folder / "checkpoint").read_text() if (folder / "checkpoint").exists() else ""
    published = _told(note, state.origin)
    held = nodes.stored_size()
    event = note_incident(
        command=command, earlier=state.origin, note=note, held=held, incident=incident
    ).value
    _move_aside(state.origin, event)
    _put_away(folder, state.origin)
    return Reopened(event, state.origin, published.size if published else 0, held)


def _told(note: str, origin: str) -> Checkpoint | None:
    """What the folder says was published. Not verified: what it is worth is for whoever holds the earlier key."""
    if not note:
        return None
    try:
        checkpoint = Checkpoint.parse(parse_note(note.encode())[0])
    except NoteError as error:
        raise ValueError(f"The published checkpoint cannot be read: {error}.") from error
    if checkpoint.origin != origin:
        raise ValueError(
            f"The folder of published checkpoints is of the log {checkpoint.origin}, not of {origin}."
        )
    return checkpoint


@service("log.reopened")
def note_incident(*, command: Command, earlier: str, note: str, held: int, incident: str) -> Result[Event]:
    """The event that becomes the first leaf of the log CRIVO_ORIGIN."""
    subject = log_ref(settings.CRIVO_ORIGIN)
    lock(command.actor.workspace, subject)
    require_reason(incident, subject, "incident")
    found = Event.objects.filter(subject_kind=subject.kind, subject_id=subject.id, outcome="done").first()
    if found is not None:
        if found.verb != "log.reopened" or found.detail["earlier"] != earlier:
            raise Conflict("log_known", subject=subject, origin=subject.label)
        return Result(found, created=False)
    return Result(
        record(
            command,
            verb="log.reopened",
            subject=subject,
            texts={"incident": incident},
            detail={"earlier": earlier, "checkpoint": note, "held": held, "moved": rows_digest(LIVE)},
        )
    )


def _move_aside(origin: str, event: Event) -> None:
    """As the owner, in one transaction, with no notary at work: the service may do none of this."""
    salt = Workspace.objects.get(id=event.workspace_id).salt
    first = leaf_hash(body_of(Event.objects.get(id=event.id), salt).envelope)
    with transaction.atomic(using="migrator"), connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise ValueError("A notary is at work. Stop it first.")
        switch = "; ".join(
            f"ALTER TABLE {table} {{0}} TRIGGER append_only_row"
            for table in ("audits_leaf", "audits_node", "audits_checkpoint")
        )
        cursor.execute(switch.format("DISABLE"))
        cursor.execute(
            'INSERT INTO audits_earlier_leaf (origin, "index", event_id, hash, published_at) '
            'SELECT %s, l."index", l.event_id, l.hash, (SELECT c.published_at FROM audits_checkpoint c '
            'WHERE c.size > l."index" ORDER BY c.size LIMIT 1) FROM audits_leaf l',
            [origin],
        )
        cursor.execute(
            "INSERT INTO audits_earlier_checkpoint (origin, size, root, note, published_at, statement) "
            "SELECT %s, size, root, note, published_at, statement FROM audits_checkpoint",
            [origin],
        )
        cursor.execute("DELETE FROM audits_leaf; DELETE FROM audits_node; DELETE FROM audits_checkpoint")
        cursor.execute(
            'INSERT INTO audits_leaf ("index", event_id, hash) VALUES (0, %s, %s)', [event.id, first]
        )
        cursor.execute(
            "UPDATE audits_log_state SET origin = %s, watermark = 0 WHERE id = 1 AND origin = %s",
            [settings.CRIVO_ORIGIN, origin],
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(switch.format("ENABLE ALWAYS"))
        # Events get new places, nearly in the same order: look again a little before. What was sent is not sent twice.
        cursor.execute("UPDATE audits_webhook SET cursor = greatest(1, cursor + 1 - %s)", [OVERLAP])


def _put_away(folder: Path, origin: str) -> None:
    """What was published under the earlier origin stays readable, below `earlier/`."""
    if not folder.exists():
        return
    target = folder / "earlier" / "".join(c if c.isalnum() or c in "._-" else "_" for c in origin)
    if not (folder / "checkpoint").exists() or target.exists():
        return
    target.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.name not in ("earlier", ".lock"):
            shutil.move(str(path), str(target / path.name))
