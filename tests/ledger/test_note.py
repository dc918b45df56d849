"""Signed notes, checkpoints and receipts against the published vectors, then against forgers."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.ledger.note import (
    Checkpoint,
    NoteError,
    Receipt,
    SignatureMismatchError,
    SignerKey,
    VerifierKey,
    make_receipt,
    parse_note,
    sign_checkpoint,
    sign_note,
    verify_checkpoint,
    verify_note,
    verify_receipt,
)
from audits.ledger.tree import inclusion_proof, leaf_hash
from audits.verifier import tile_path
from tests.ledger.support import ORIGIN, SIGNER, Log, vectors
from tests.ledger.test_tree import Store

OTHER = SignerKey.generate("witness.example/w1")


# --- published vectors -------------------------------------------------------------------------------------


def test_every_published_note() -> None:
    cases = vectors("signed_note.json")["notes"]
    assert len(cases) == 15
    for case in cases:
        note = base64.b64decode(case["note_b64"]) if "note_b64" in case else case["note"].encode()
        keys = [VerifierKey.parse(item) for item in case["vkeys"]]
        if case["expect_ok"]:
            text, names = verify_note(note, keys)
            assert names == case["verified"], case["name"]
            assert note.decode().startswith(text)
        else:
            with pytest.raises((NoteError, SignatureMismatchError)) as caught:
                verify_note(note, keys)
            mismatch = {"note has no verifiable signatures", "invalid signature for key"}
            assert isinstance(caught.value, SignatureMismatchError) is (case.get("go_error") in mismatch)


def test_every_published_verifier_key_and_its_corruptions() -> None:
    data = vectors("signed_note.json")["verifier_keys"]
    for case in data["keys"]:
        if case["ok"]:
            assert str(VerifierKey.parse(case["vkey"])) == case["vkey"]
        else:
            with pytest.raises(NoteError):
                VerifierKey.parse(case["vkey"])
    vkey = data["keys"][0]["vkey"]
    bad = {vkey[i:j] for i in range(len(vkey)) for j in range(i, len(vkey) + 1)} - {vkey}
    bad |= {vkey[:i] + chr(ord(vkey[i]) + 1) + vkey[i + 1 :] for i in range(len(vkey))}
    for text in bad:
        with pytest.raises(NoteError):
            VerifierKey.parse(text)


def test_published_signing() -> None:
    case = vectors("signed_note.json")["signing"]
    key = SignerKey.parse(case["skey"])
    assert sign_note(case["text"], key) == case["signed"].encode()
    assert key.skey() == case["skey"]
    assert case["skey"][-20:] not in repr(key)


def test_published_checkpoints() -> None:
    data = vectors("checkpoint.json")
    first, second = data["format"]
    for case in (first, second):
        checkpoint = Checkpoint.parse(case["body"])
        assert str(checkpoint) == case["body"]
        assert checkpoint.size == case["size"]
    text, signatures = parse_note(first["full_note"].encode())
    parsed = Checkpoint.parse(text)
    assert (parsed.origin, base64.b64encode(parsed.root).decode()) == (first["origin"], first["root_b64"])
    assert [item.name for item in signatures] == [first["origin"], "witness.example.com/w1"]
    assert Checkpoint.parse(second["body"]).root == leaf_hash(second["record_ascii"].encode())
    for case in data["reject"]:
        with pytest.raises(NoteError):
            Checkpoint.parse(case["body"])
    # The cosigned message is two lines and the checkpoint's text: only its form is ours to read.
    message = data["cosignature_v1_message"]
    assert Checkpoint.parse(message["text"].split("\n", 2)[2]) == Checkpoint.parse(first["body"])
    for case in data["tile_paths"]:
        assert tile_path("entries", case["index"]) == f"tile/entries/{case['path']}"


# --- notes -------------------------------------------------------------------------------------------------


def test_a_key_survives_storage() -> None:
    again = SignerKey.parse(OTHER.skey())
    assert again.vkey == OTHER.vkey == VerifierKey.parse(str(OTHER.vkey))
    assert verify_note(sign_note("a\n\nb\n", again), [OTHER.vkey]) == ("a\n\nb\n", [OTHER.vkey.name])


@pytest.mark.parametrize(
    "skey",
    [
        "",
        OTHER.skey().removeprefix("PRIVATE+KEY+"),
        OTHER.skey()[:-4],
        OTHER.skey().replace("w1", "w2"),
        str(OTHER.vkey),
        "PRIVATE+KEY+a+00000000+AAAA",
    ],
    ids=["empty", "no prefix", "cut", "renamed", "public", "no key"],  # keys differ from process to process
)
def test_broken_signer_keys_are_refused_and_not_repeated(skey: str) -> None:
    with pytest.raises(NoteError) as caught:
        SignerKey.parse(skey)
    assert OTHER.skey()[-30:] not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a\x01", "a\u2003"])
def test_names_no_signature_line_can_hold(name: str) -> None:
    with pytest.raises(NoteError):
        SignerKey.generate(name)


@pytest.mark.parametrize("text", ["", "no newline", "tab\there\n", "bell\x07\n"])
def test_texts_no_note_can_hold(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, SIGNER)
    with pytest.raises(NoteError):
        sign_note("unsigned\n")


def test_a_witness_signature_is_carried_along_and_a_second_one_replaced() -> None:
    first = sign_note("x\n", SIGNER, OTHER)
    again = sign_note("x\n", SIGNER, keep=parse_note(first)[1])
    assert again == first
    assert verify_note(again, [OTHER.vkey, SIGNER.vkey])[1] == [ORIGIN, "witness.example/w1"]


def test_the_same_name_with_another_key_is_unknown() -> None:
    impostor = SignerKey.generate(ORIGIN)
    with pytest.raises(SignatureMismatchError, match="none of the given keys"):
        verify_note(sign_note("x\n", impostor), [SIGNER.vkey])
    # Same name and id by collision: then the signature decides.
    forged = VerifierKey(ORIGIN, SIGNER.vkey.id, impostor.vkey.public)
    with pytest.raises(SignatureMismatchError, match="does not verify"):
        verify_note(sign_note("x\n", SIGNER), [forged])
    with pytest.raises(NoteError, match="two keys"):
        verify_note(sign_note("x\n", SIGNER), [SIGNER.vkey, forged])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=120).map(str.encode))
def test_any_bytes_are_refused_with_a_sentence(data: bytes) -> None:
    good = sign_note("x\n", SIGNER)
    for note in (data, good + data, data + b"\n\n" + good.split(b"\n\n")[1]):
        if note == good:
            continue
        with pytest.raises((NoteError, SignatureMismatchError)):
            verify_checkpoint(note, SIGNER.vkey)
        with pytest.raises(NoteError):
            Receipt.parse(note)


# --- checkpoints -------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_checkpoint_is_refused() -> None:
    note = Log.make(5).checkpoint()
    assert verify_checkpoint(note, SIGNER.vkey).size == 5
    for place in range(len(note)):
        for bit in range(8):
            bad = bytearray(note)
            bad[place] ^= 1 << bit
            with pytest.raises((NoteError, SignatureMismatchError)):
                verify_checkpoint(bytes(bad), SIGNER.vkey)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "o\n1\n",
        "o\n1\nAAAA\n",
        f"o\n01\n{'A' * 43}=\n",
        f"o\n+1\n{'A' * 43}=\n",
        f"o\n-1\n{'A' * 43}=\n",
        f"o\n١\n{'A' * 43}=\n",
        f"o\n9223372036854775808\n{'A' * 43}=\n",
        f"o\n{'9' * 5000}\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 42}B=\n",
        f"o\n1\n {'A' * 43}=\n",
        f"\n1\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 43}=",
        f"o\n1\n{'A' * 43}=\n\n",
        f"o\n1\n{'A' * 43}=\n\nextension\n",
    ],
)
def test_malformed_checkpoints(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


def test_a_checkpoint_is_signed_under_its_own_origin_only() -> None:
    checkpoint = Checkpoint(ORIGIN, 0, b"\0" * 32, ("extension",))
    note = sign_checkpoint(checkpoint, SIGNER, OTHER)
    assert verify_checkpoint(note, SIGNER.vkey) == checkpoint
    with pytest.raises(SignatureMismatchError, match="belongs to"):
        verify_checkpoint(note, OTHER.vkey)
    bad: list[Any] = [
        Checkpoint("elsewhere", 0, b"\0" * 32),
        Checkpoint(ORIGIN, -1, b"\0" * 32),
        Checkpoint(ORIGIN, 1, b"\0" * 31),
        Checkpoint(ORIGIN, 1, b"\0" * 32, ("",)),
        Checkpoint(ORIGIN, 1, b"\0" * 32, ("a\nb",)),
    ]
    for item in bad:
        with pytest.raises(NoteError):
            sign_checkpoint(item, SIGNER)


# --- receipts ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def receipt() -> tuple[bytes, bytes]:
    log = Log.make(40)
    entry = log.envelopes[11]
    proof = inclusion_proof(11, 40, Store(log.envelopes))
    return make_receipt(leaf_hash(entry), 11, proof, log.checkpoint(), extra=entry), entry


def test_a_receipt_has_the_published_form(receipt: tuple[bytes, bytes]) -> None:
    data, entry = receipt
    lines = data.decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(entry).decode()
    assert lines[2] == "index 11"
    assert [len(base64.b64decode(line)) for line in lines[3:9]] == [32] * 6
    assert lines[9:12] == ["", ORIGIN, "40"]
    assert bytes(Receipt.parse(data)) == data
    # About 1 KB with the entry, and again without it but in a log of a million.
    assert len(data) == 1100
    longer = Receipt(2**20 - 1, (b"\0" * 32,) * 20, Log.make(40).checkpoint())
    assert len(bytes(longer)) == 1120


def test_a_receipt_proves_its_entry_and_no_other(receipt: tuple[bytes, bytes]) -> None:
    data, entry = receipt
    parsed, checkpoint = verify_receipt(data, SIGNER.vkey)
    assert (parsed.index, parsed.extra, checkpoint.size) == (11, entry, 40)
    assert verify_receipt(data, SIGNER.vkey, entry)[1].origin == ORIGIN
    with pytest.raises(SignatureMismatchError, match="does not lead"):
        verify_receipt(data, SIGNER.vkey, entry[:-1] + b" ")
    without = bytes(Receipt(parsed.index, parsed.proof, parsed.checkpoint))
    assert verify_receipt(without, SIGNER.vkey, entry)[0].extra is None
    with pytest.raises(NoteError, match="holds no entry"):
        verify_receipt(without, SIGNER.vkey)
    with pytest.raises(SignatureMismatchError):
        verify_receipt(data, SignerKey.generate(ORIGIN).vkey)


def test_every_changed_byte_of_a_receipt_is_refused(receipt: tuple[bytes, bytes]) -> None:
    data, _ = receipt
    for place in range(len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[place] ^= 1 << bit
            with pytest.raises((NoteError, SignatureMismatchError)):
                verify_receipt(bytes(bad), SIGNER.vkey)


@pytest.mark.parametrize(
    "head",
    [
        "c2sp.org/tlog-proof@v2\nindex 11",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nindex 011",
        "c2sp.org/tlog-proof@v1\nindex -1",
        "c2sp.org/tlog-proof@v1\nindex 11\nAAAA",
        "c2sp.org/tlog-proof@v1\nindex 11\nextra AAAA",
        "c2sp.org/tlog-proof@v1\nextra !\nindex 11",
        "c2sp.org/tlog-proof@v1\nindex 11\n" + "\n".join(["A" * 43 + "="] * 64),
    ],
)
def test_malformed_receipts(head: str) -> None:
    with pytest.raises(NoteError):
        Receipt.parse(head.encode() + b"\n\n" + Log.make(3).checkpoint())


def test_no_receipt_leaves_that_does_not_verify() -> None:
    log = Log.make(8)
    proof = inclusion_proof(2, 8, Store(log.envelopes))
    with pytest.raises(SignatureMismatchError, match="does not lead"):
        make_receipt(leaf_hash(log.envelopes[3]), 2, proof, log.checkpoint())
