"""The tree as it is stored: leaves and complete inner nodes, read in one query per proof, written in two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from django.db import connection

from audits.ledger.tree import CompactTree, Node, NodeReader, root_at

T = TypeVar("T")
NOTHING = bytes(32)


class NodeMissingError(LookupError):
    """A node that a tree of this size must have is not stored: rows were removed."""


def read_together(compute: Callable[[NodeReader], T]) -> T:
    """What `compute` gives for the stored tree. It runs twice: first to learn which nodes it wants (which depends on
    positions only, never on hashes), then with all of them, read by one query.
    """
    wanted: list[tuple[int, int]] = []

    def note(level: int, index: int) -> bytes:
        wanted.append((level, index))
        return NOTHING

    compute(note)
    found = stored_nodes(wanted)
    return compute(lambda level, index: _hash(found, level, index))


def _hash(found: dict[tuple[int, int], bytes], level: int, index: int) -> bytes:
    try:
        return found[level, index]
    except KeyError:
        raise NodeMissingError(f"the node {index} of level {level} is not stored") from None


def stored_nodes(wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Those of the nodes (level, index) that are stored; level 0 are the leaves."""
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT w.level, w."index", coalesce(l.hash, n.hash) '
            'FROM unnest(%s::smallint[], %s::bigint[]) AS w(level, "index") '
            'LEFT JOIN audits_leaf l ON w.level = 0 AND l."index" = w."index" '
            'LEFT JOIN audits_node n ON w.level > 0 AND n.level = w.level AND n."index" = w."index"',
            [[level for level, _ in wanted], [index for _, index in wanted]],
        )
        return {
            (level, index): bytes(value) for level, index, value in cursor.fetchall() if value is not None
        }


def stored_size() -> int:
    """How many leaves there are: positions have no gap."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT coalesce(max("index") + 1, 0) FROM audits_leaf')
        return int(cursor.fetchone()[0])


def stored_root(size: int) -> bytes:
    """Root of the tree when it had `size` leaves. NodeMissingError if rows were removed."""
    return read_together(lambda node: root_at(size, node))


def load_tree(size: int) -> CompactTree:
    return read_together(lambda node: CompactTree.load(size, node))


def append(events: Sequence[UUID], nodes: Iterable[Node]) -> None:
    """Store new leaves, `events` in their order, and the inner nodes they completed. Part of the notary's pass."""
    leaves: list[Node] = []
    inner: list[Node] = []
    for node in nodes:
        (inner if node.level else leaves).append(node)
    with connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO audits_leaf ("index", event_id, hash) '
            "SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bytea[])",
            [
                [leaf.position for leaf in leaves],
                [str(event) for event in events],
                [leaf.hash for leaf in leaves],
            ],
        )
        if inner:
            cursor.execute(
                'INSERT INTO audits_node (level, "index", hash) '
                "SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])",
                [
                    [node.level for node in inner],
                    [node.position for node in inner],
                    [node.hash for node in inner],
                ],
            )
