"""Receipts: proof that one event is in the log, about 1 KB, verifiable without us (C2SP tlog-proof)."""

from __future__ import annotations

from uuid import UUID

from audits.errors import Problem
from audits.ledger import nodes
from audits.ledger.entry import body_of
from audits.ledger.note import SignatureMismatchError, make_receipt
from audits.ledger.tree import inclusion_proof, leaf_hash
from audits.models import Checkpoint, Event, Leaf, PrunedEvent


class EntryDamaged(Problem):
    """The row of an event is not the one that was logged: somebody has written past Crivo."""

    status = 500

    @classmethod
    def at(cls, index: int, event_id: UUID | None) -> EntryDamaged:
        return cls("entry_damaged", index=index, event=str(event_id))


def entry_of(event: Event, leaf: Leaf) -> bytes:
    """The ledger entry of a sequenced event. EntryDamaged if the row does not hash to its leaf."""
    try:
        entry = body_of(event, event.workspace.salt).envelope
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EntryDamaged.at(leaf.index, event.id) from error
    if leaf_hash(entry) != bytes(leaf.hash):
        raise EntryDamaged.at(leaf.index, event.id)
    return entry


def _kept(pruned: PrunedEvent, leaf: Leaf) -> bytes:
    """Of an event that was pruned, its envelope was kept: it proves as before."""
    entry = bytes(pruned.envelope)
    if leaf_hash(entry) != bytes(leaf.hash):
        raise EntryDamaged.at(leaf.index, leaf.event_id)
    return entry


def receipt_for(event_id: UUID) -> str | None:
    """The receipt of an event against the newest published checkpoint; None while it is in none.

    Four queries, whatever the size of the log. EntryDamaged if row, leaf or tree no longer belong together.
    """
    leaf = Leaf.objects.select_related("event__workspace").filter(event_id=event_id).first()
    pruned = None if leaf is not None else PrunedEvent.objects.filter(event_id=event_id).first()
    if pruned is not None:
        leaf = Leaf.objects.filter(event_id=event_id).first()
    newest = Checkpoint.objects.order_by("-size").first()
    if leaf is None or newest is None or leaf.index >= newest.size:
        return None
    entry = entry_of(leaf.event, leaf) if pruned is None else _kept(pruned, leaf)
    try:
        proof = nodes.read_together(lambda node: inclusion_proof(leaf.index, newest.size, node))
        return make_receipt(leaf_hash(entry), leaf.index, proof, newest.note.encode(), entry).decode()
    except (nodes.NodeMissingError, SignatureMismatchError) as error:
        raise EntryDamaged.at(leaf.index, event_id) from error
