"""The Merkle tree against published vectors and a reference written straight from RFC 6962 §2.1."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.ledger.tree import (
    CompactTree,
    Node,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    root_from_leaves,
)
from audits.verifier import EMPTY_ROOT, root_from_levels, verify_consistency, verify_inclusion
from tests.ledger.support import vectors

# --- reference: the recursive definitions, word for word ---------------------------------------------------


def cut(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: Sequence[bytes]) -> bytes:
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = cut(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = cut(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: Sequence[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = cut(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


class Store:
    """Stored nodes, counting reads."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.tree = CompactTree()
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.roots = [self.tree.root()]
        self.reads = 0
        for entry in entries:
            for level, position, value in self.tree.append(leaf_hash(entry)):
                assert (level, position) not in self.nodes  # append-only
                self.nodes[level, position] = value
            self.roots.append(self.tree.root())

    def __call__(self, level: int, position: int) -> bytes:
        self.reads += 1
        return self.nodes[level, position]


ENTRIES = [f"entry {i}".encode() for i in range(256)]


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(ENTRIES)


def b64(text: str) -> bytes:
    return base64.b64decode(text)


# --- published vectors -------------------------------------------------------------------------------------


def test_roots_and_hashes_of_the_published_vectors() -> None:
    data = vectors("rfc6962_roots.json")
    entries = [bytes.fromhex(item) for item in data["leaf_inputs_hex"]]
    store = Store(entries)
    assert [root.hex() for root in store.roots] == data["root_hash_hex_by_size"]
    leaves = [leaf_hash(item) for item in entries]
    for size, root in enumerate(data["root_hash_hex_by_size"]):
        assert root_from_leaves(leaves[:size]).hex() == root
        assert mth(entries[:size]).hex() == root
    stored = {key: value.hex() for key, value in store.nodes.items()}
    assert stored == {
        (level, position): value
        for level, row in enumerate(data["node_hashes_hex_by_level"])
        for position, value in enumerate(row)
    }
    for case in data["hasher"]:
        if "leaf_hex" in case:
            assert leaf_hash(bytes.fromhex(case["leaf_hex"])).hex() == case["hex"]
        elif "left_hex" in case:
            found = node_hash(bytes.fromhex(case["left_hex"]), bytes.fromhex(case["right_hex"]))
            assert found.hex() == case["hex"]
        else:
            assert EMPTY_ROOT.hex() == case["hex"]


def test_every_published_inclusion_case() -> None:
    cases = vectors("rfc6962_inclusion.json")["vectors"]
    assert len(cases) == 98
    for case in cases:
        proof = [b64(item) for item in case["proof"] or []]
        verdict = verify_inclusion(
            b64(case["leafHash"]), case["leafIdx"], case["treeSize"], proof, b64(case["root"])
        )
        assert verdict is not case["wantErr"], case["_file"]


def test_every_published_consistency_case() -> None:
    cases = vectors("rfc6962_consistency.json")["vectors"]
    assert len(cases) == 98
    for case in cases:
        proof = [b64(item) for item in case["proof"] or []]
        verdict = verify_consistency(
            case["size1"], case["size2"], b64(case["root1"]), b64(case["root2"]), proof
        )
        assert verdict is not case["wantErr"], case["_file"]


# --- against the reference ---------------------------------------------------------------------------------


def test_roots_of_every_size_up_to_256(store: Store) -> None:
    leaves = [leaf_hash(item) for item in ENTRIES]
    for size in range(257):
        expected = mth(ENTRIES[:size])
        assert store.roots[size] == expected
        assert root_from_leaves(leaves[:size]) == expected
        assert root_at(size, store) == expected
        assert CompactTree.load(size, store).root() == expected


def test_inclusion_of_every_leaf_in_trees_of_many_sizes(store: Store) -> None:
    for size in [*range(1, 70), 127, 128, 129, 200, 255, 256]:
        for index in range(size):
            proof = inclusion_proof(index, size, store)
            assert proof == path(index, ENTRIES[:size])
            assert verify_inclusion(leaf_hash(ENTRIES[index]), index, size, proof, store.roots[size])


def test_consistency_of_all_pairs_up_to_70_and_some_beyond(store: Store) -> None:
    pairs = [(m, n) for n in range(1, 71) for m in range(1, n + 1)]
    pairs += [(m, n) for n in (127, 128, 129, 255, 256) for m in range(1, n + 1)]
    for m, n in pairs:
        proof = consistency_proof(m, n, store)
        assert proof == subproof(m, ENTRIES[:n], True), (m, n)
        assert verify_consistency(m, n, store.roots[m], store.roots[n], proof)


def test_a_tree_loaded_in_the_middle_grows_the_same_nodes(store: Store) -> None:
    for size in range(256):
        tree = CompactTree.load(size, store)
        for level, position, value in tree.append(leaf_hash(ENTRIES[size])):
            assert store.nodes[level, position] == value
        assert tree.root() == store.roots[size + 1]
    tree = CompactTree.load(200, store)
    nodes = tree.extend(leaf_hash(item) for item in ENTRIES[200:])
    assert nodes[0] == Node(0, 200, leaf_hash(ENTRIES[200]))
    assert nodes[-1] == Node(8, 0, store.roots[256])


def test_proofs_read_few_nodes() -> None:
    def node(level: int, position: int) -> bytes:
        nonlocal reads
        reads += 1
        return sha256(f"{level},{position}".encode()).digest()

    size = 2**40 - 1
    for make in (
        lambda: inclusion_proof(2**39 + 5, size, node),
        lambda: consistency_proof(12345, size, node),
    ):
        reads = 0
        make()
        assert reads <= 2 * 40


def test_every_flipped_bit_of_a_proof_is_refused(store: Store) -> None:
    index, size = 77, 200
    proof = inclusion_proof(index, size, store)
    leaf, root = leaf_hash(ENTRIES[index]), store.roots[size]
    for k, item in enumerate(proof):
        for bit in range(256):
            bad = (int.from_bytes(item, "big") ^ 1 << bit).to_bytes(32, "big")
            assert not verify_inclusion(leaf, index, size, [*proof[:k], bad, *proof[k + 1 :]], root)
    old, new = store.roots[77], store.roots[size]
    proof = consistency_proof(77, size, store)
    assert verify_consistency(77, size, old, new, proof)
    for k, item in enumerate(proof):
        for bit in range(256):
            bad = (int.from_bytes(item, "big") ^ 1 << bit).to_bytes(32, "big")
            assert not verify_consistency(77, size, old, new, [*proof[:k], bad, *proof[k + 1 :]])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_proof_holds_for_its_own_place_only(store: Store, data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 256))
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, store)
    leaf = leaf_hash(ENTRIES[index])
    assert verify_inclusion(leaf, other, size, proof, store.roots[size]) is (other == index)
    # A node is no leaf, and dropping, repeating or adding a hash is no proof.
    k = data.draw(st.integers(0, len(proof) - 1))
    for bad in ([*proof[:k], *proof[k + 1 :]], [*proof, proof[k]], [proof[k], *proof], [*proof, b"short"]):
        assert not verify_inclusion(leaf, index, size, bad, store.roots[size])
    m = data.draw(st.integers(1, size - 1))
    proof = consistency_proof(m, size, store)
    for bad in (proof[:-1], [*proof, proof[-1]], proof[1:] + proof[:1] if len(set(proof)) > 1 else []):
        assert not verify_consistency(m, size, store.roots[m], store.roots[size], bad)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2000))
def test_the_right_edge_of_tiles_gives_the_root(size: int) -> None:
    leaves = [sha256(bytes([i % 251, i // 251])).digest() for i in range(size)]
    full = size // 256 * 256
    above = [root_from_leaves(leaves[i : i + 256]) for i in range(0, full, 256)]
    assert root_from_levels([leaves[full:], above]) == root_from_leaves(leaves)


def test_places_outside_the_tree_are_refused(store: Store) -> None:
    for index, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="has no leaf"):
            inclusion_proof(index, size, store)
        assert not verify_inclusion(b"\0" * 32, index, size, [], b"\0" * 32)
    for size1, size2 in ((0, 3), (4, 3), (-1, 3)):
        with pytest.raises(ValueError, match="no earlier state"):
            consistency_proof(size1, size2, store)
        assert not verify_consistency(size1, size2, b"\0" * 32, b"\0" * 32, [])
    assert consistency_proof(7, 7, store) == []
    with pytest.raises(ValueError, match="negative"):
        root_at(-1, store)
    with pytest.raises(ValueError, match="32 bytes"):
        CompactTree().append(b"short")
