"""Growing the Merkle tree and proving things about it (RFC 6962 §2.1).

Only complete nodes exist: node (level, index) is the hash over the leaves [index·2^level, (index+1)·2^level),
level 0 being the leaf hashes. They never change once written, so they can be stored in an append-only table
and served from any cache. What is incomplete, the right edge, is recomputed from at most one stored node per
level.

Errors: a ValueError where index or sizes lie outside the tree; whatever `node` raises passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from audits.verifier import EMPTY_ROOT, leaf_hash, node_hash, root_from_leaves

__all__ = [
    "CompactTree",
    "Node",
    "NodeReader",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "root_at",
    "root_from_leaves",
]

NodeReader = Callable[[int, int], bytes]
"""Reads the 32 bytes of the complete node (level, index)."""


class Node(NamedTuple):
    """A complete node of the tree, to be stored; `hash` has 32 bytes."""

    level: int
    position: int
    hash: bytes


class CompactTree:
    """The right edge of a tree: one complete subtree per bit of its size, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def load(cls, size: int, node: NodeReader) -> CompactTree:
        """The tree of `size` leaves from its stored nodes; one read per bit set in `size`."""
        tree = cls()
        tree.size, tree._peaks = size, _peaks(0, size, node)
        return tree

    def append(self, leaf: bytes) -> list[Node]:
        """Add one leaf hash; the nodes it completes, the leaf itself first."""
        if len(leaf) != 32:
            raise ValueError("a leaf hash has 32 bytes")
        nodes = [Node(0, self.size, leaf)]
        level, position, running = 0, self.size, leaf
        while position & 1:
            running = node_hash(self._peaks.pop(), running)
            level, position = level + 1, position >> 1
            nodes.append(Node(level, position, running))
        self._peaks.append(running)
        self.size += 1
        return nodes

    def extend(self, leaves: Iterable[bytes]) -> list[Node]:
        """Add leaf hashes; all nodes they complete, children before their parents."""
        return [node for leaf in leaves for node in self.append(leaf)]

    def root(self) -> bytes:
        return _bag(self._peaks)


def _peaks(start: int, end: int, node: NodeReader) -> list[bytes]:
    """Roots of the complete subtrees that make up the leaves [start, end), largest first.

    `start` is a multiple of the largest power of two not above the width: true for every subtree RFC 6962
    cuts.
    """
    peaks, width = [], end - start
    if start < 0 or width < 0:
        raise ValueError("a tree has no negative size")
    for level in reversed(range(width.bit_length())):
        if width >> level & 1:
            peaks.append(node(level, start >> level))
            start += 1 << level
    return peaks


def _bag(peaks: list[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    *left, root = peaks
    for peak in reversed(left):
        root = node_hash(peak, root)
    return root


def _range_hash(start: int, end: int, node: NodeReader) -> bytes:
    return _bag(_peaks(start, end, node))


def root_at(size: int, node: NodeReader) -> bytes:
    """Root of the tree when it had `size` leaves; at most 64 reads."""
    return _range_hash(0, size, node)


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1, from the leaf's sibling up; O(log size) reads."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    return _proof(index, index + 1, size, node, whole=False)


def consistency_proof(size1: int, size2: int, node: NodeReader) -> list[bytes]:
    """PROOF(size1, D[size2]) of RFC 6962 §2.1.2; O(log size2) reads. Empty when the sizes are equal."""
    if not 0 < size1 <= size2:
        raise ValueError(f"a tree of {size1} leaves is no earlier state of one of {size2}")
    if size1 == size2:
        return []
    # The proof begins with the largest subtree that ends exactly where the old tree ended. If that is the
    # whole old tree (its size is a power of two), the verifier has its hash already and it is left out.
    trailing = (size1 & -size1).bit_length() - 1
    return _proof(size1 - (1 << trailing), size1, size2, node, whole=size1 != 1 << trailing)


def _proof(low: int, high: int, size: int, node: NodeReader, *, whole: bool) -> list[bytes]:
    """Siblings on the way from the subtree [low, high) up to the root; the subtree itself first where
    `whole`.
    """
    proof = []
    start, end = 0, size
    while (start, end) != (low, high):
        # The largest power of two below the width: RFC 6962's cut.
        cut = start + (1 << (end - start - 1).bit_length() - 1)
        if low >= cut:
            proof.append((start, cut))
            start = cut
        else:
            proof.append((cut, end))
            end = cut
    if whole:
        proof.append((low, high))
    return [_range_hash(first, last, node) for first, last in reversed(proof)]
