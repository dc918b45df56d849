"""Tiles, bundles and the export as files: the published shapes, and the bytes of C2SP tlog-tiles by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.ledger.note import SignatureMismatchError, SignerKey
from audits.ledger.tiles import (
    Disclosure,
    TileWriter,
    event_line,
    expected_tiles,
    split_bundle,
    tile_path,
    write_export,
    write_tiles,
)
from audits.ledger.tree import leaf_hash, root_from_leaves
from audits.verifier import parse_line
from tests.ledger.support import STATED, VKEY, Log, vectors


def entries(size: int) -> list[bytes]:
    return [f"entry {i}".encode() for i in range(size)]


def files(folder: Path) -> set[str]:
    return {str(item.relative_to(folder)) for item in folder.rglob("*") if item.is_file()}


def test_paths() -> None:
    assert tile_path(0, 0) == "tile/0/000"
    assert tile_path(1, 999, 17) == "tile/1/999.p/17"
    assert tile_path("entries", 1000) == "tile/entries/x001/000"
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path(2, 70_000_001, 1) == "tile/2/x070/x000/001.p/1"


@given(st.integers(0, 2**54), st.integers(0, 2**54))
def test_every_index_has_its_own_path(a: int, b: int) -> None:
    assert (tile_path(0, a) == tile_path(0, b)) is (a == b)
    assert int(tile_path(0, a).removeprefix("tile/0/").replace("x", "").replace("/", "")) == a


def test_published_shapes() -> None:
    for case in vectors("checkpoint.json")["tile_shape"]:
        shape = expected_tiles(case["size"])
        assert {str(level): full for level, (full, _) in shape.items() if full} == case["full"]
        assert {str(level): width for level, (_, width) in shape.items() if width} == case["partial"]


def test_the_published_shape_of_70000_on_disk(tmp_path: Path) -> None:
    leaves = entries(70_000)
    root = write_tiles(tmp_path, leaves, 70_000)
    assert root == root_from_leaves([leaf_hash(item) for item in leaves])
    expected = {tile_path(kind, n) for kind in (0, "entries") for n in range(273)}
    expected |= {tile_path(kind, 273, 112) for kind in (0, "entries")}
    expected |= {"tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"}
    assert files(tmp_path) == expected
    hashes = [leaf_hash(item) for item in leaves[256:512]]
    assert (tmp_path / "tile/0/001").read_bytes() == b"".join(hashes)
    assert (tmp_path / "tile/1/000").read_bytes()[32:64] == root_from_leaves(hashes)
    first = (tmp_path / "tile/1/000").read_bytes()
    above = root_from_leaves([first[i : i + 32] for i in range(0, 8192, 32)])
    assert (tmp_path / "tile/2/000.p/1").read_bytes() == above


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600])
def test_small_logs_on_disk(tmp_path: Path, size: int) -> None:
    leaves = entries(size)
    assert write_tiles(tmp_path, iter(leaves), size) == root_from_leaves([leaf_hash(item) for item in leaves])
    found = b"".join(
        (tmp_path / tile_path("entries", n, min(256, size - 256 * n))).read_bytes()
        for n in range((size + 255) // 256)
    )
    assert split_bundle(found) == leaves
    assert found == b"".join(len(item).to_bytes(2, "big") + item for item in leaves)
    shape = expected_tiles(size)
    expected = {tile_path(level, n) for level, (full, _) in shape.items() for n in range(full)}
    expected |= {tile_path(level, full, width) for level, (full, width) in shape.items() if width}
    assert {name for name in files(tmp_path) if "entries" not in name} == expected


def test_limits_of_entries(tmp_path: Path) -> None:
    writer = TileWriter(tmp_path)
    writer.add(b"x" * 65535)
    with pytest.raises(ValueError, match="at most"):
        writer.add(b"x" * 65536)
    with pytest.raises(ValueError, match="only 2 entries of 3"):
        write_tiles(tmp_path, entries(2), 3)
    for bad in (b"\x00", b"\x00\x05abcd", b"\x00\x01ab"):
        with pytest.raises(ValueError):
            split_bundle(bad)
    assert split_bundle(b"") == []


def test_an_export_streams(tmp_path: Path) -> None:
    """No more than a bundle is ever held: the source may forget what it gave."""
    log = Log.make(3)
    alive = 0

    def source() -> Iterator[tuple[bytes, Disclosure | None]]:
        nonlocal alive
        for item in log:
            alive += 1
            yield item
        raise AssertionError("read beyond the checkpoint")  # what was appended since is not exported

    write_export(
        tmp_path / "x",
        checkpoint=log.checkpoint(),
        vkey=VKEY,
        events=source(),
        scope={"kind": "log"},
        filter={},
        stated=STATED,
    )
    assert alive == 3


def test_the_manifest_and_the_files(tmp_path: Path) -> None:
    log = Log.make(300)
    seen: list[int] = []
    manifest = write_export(
        tmp_path / "x",
        checkpoint=log.checkpoint(),
        vkey=VKEY,
        events=log,
        scope={"kind": "log"},
        filter={"verb": ["promotion.granted"]},
        stated=STATED,
        progress=seen.append,
    )
    assert seen == [256]
    assert json.loads((tmp_path / "x" / "export.json").read_text()) == manifest
    assert {name: manifest[name] for name in ("completeness", "heads", "matches", "counts", "stated")} == {
        "completeness": "filtered",
        "heads": 300,
        "matches": 75,
        "counts": {"promotion.granted": 75},
        "stated": STATED,
    }
    assert manifest["log"]["size"] == 300
    assert (tmp_path / "x" / "vkey").read_text() == VKEY + "\n"
    assert {name for name in files(tmp_path / "x") if "/" not in name} == {
        "checkpoint",
        "events.jsonl",
        "export.json",
        "vkey",
    }
    lines = [parse_line(item) for item in (tmp_path / "x" / "events.jsonl").read_bytes().splitlines()]
    assert [line.entry for line in lines] == list(range(300))
    assert [line.entry for line in lines if line.rest_text is not None] == list(range(2, 300, 4))


def test_no_export_that_would_not_verify(tmp_path: Path) -> None:
    log = Log.make(5)
    good: dict[str, object] = {
        "checkpoint": log.checkpoint(),
        "vkey": VKEY,
        "events": log,
        "scope": {"kind": "log"},
        "filter": {},
        "stated": {},
    }
    other = Log.make(5, subjects=2)
    bad: list[tuple[dict[str, object], str]] = [
        ({"events": other}, "not those the checkpoint signs"),
        ({"events": list(log)[:4]}, "not those the checkpoint signs"),
        ({"events": [(item, None) for item in log.envelopes]}, "its head is missing"),
        ({"scope": None}, "a scope and a filter"),
        ({"filter": None}, "a scope and a filter"),
        ({"scope": None, "filter": None}, "a scope and a filter"),
        ({"choose": lambda index, disclosure: "rest"}, "a scope and a filter"),
        ({"scope": {"kind": "planet"}}, "kind is not"),
        ({"filter": {"colour": ["red"]}}, "may only hold"),
    ]
    for number, (change, sentence) in enumerate(bad):
        folder = tmp_path / str(number)
        with pytest.raises(ValueError, match=sentence):
            write_export(folder, **{**good, **change})  # type: ignore[arg-type]
        assert not (folder / "export.json").exists()
    with pytest.raises(SignatureMismatchError):
        write_export(tmp_path / "key", **{**good, "vkey": str(SignerKey.generate("x").vkey)})  # type: ignore[arg-type]
    log.export(tmp_path / "full")
    with pytest.raises(ValueError, match="not empty"):
        log.export(tmp_path / "full")


def test_lines_too_long_or_without_their_rest() -> None:
    disclosure = Log.make(1).disclosures[0]
    bare = Disclosure(
        disclosure.head, disclosure.head_salt, disclosure.subject_salt, disclosure.workspace_salt
    )
    assert parse_line(event_line(7, bare, with_rest=False)[:-1]).entry == 7
    with pytest.raises(ValueError, match="its rest"):
        event_line(7, bare, with_rest=True)
    huge = Disclosure(**{**vars(disclosure), "texts": {"comment": ("x" * (4 << 20), b"s" * 16)}})
    with pytest.raises(ValueError, match="does not fit"):
        event_line(7, huge, with_rest=True)
