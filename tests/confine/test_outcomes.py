"""What comes back, honest or not, is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from audits.checks.contract import Message
from audits.confine import Zygote
from audits.confine.frames import Frames, GarbledError, decode
from tests.confine.conftest import Run


def garbled(reason: str) -> Message:
    return Message("garbled_output", {"reason": reason})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"result":{"x":NaN}}', "not_a_number"),
        ('{"result":{"x":-Infinity}}', "not_a_number"),
        ('{"result":{"x":1e999}}', "not_a_number"),
        ('{"result":{"x":"\\u0000"}}', "unstorable_text"),
        ('{"result":{"\\ud800":1}}', "unstorable_text"),
        ('{"result":{"x":' + "9" * 5000 + "}}", "not_json"),
        ("[" * 100_000, "too_deep"),
        ("", "not_json"),
        ("\xff", "not_json"),
        ("[]", "not_an_object"),
        ('{"result":[]}', "not_an_answer"),
        ('{"result":{},"error":null}', "not_an_answer"),
        ('{"error":{"code":"Not A Code","params":{}}}', "not_an_answer"),
        ('{"error":{"code":"x","params":[]}}', "not_an_answer"),
    ],
)
def test_lying_child(probe: Run, text: str, reason: str) -> None:
    outcome = probe("says", {"text": text})
    assert outcome.result is None
    assert outcome.error == garbled(reason)


def test_astral_characters_pass(probe: Run) -> None:
    assert probe("says", {"text": '{"result":{"x":"\\ud83d\\ude00"}}'}).result == {"x": "😀"}


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("cut_off", garbled("truncated")),
        ("leaves", garbled("no_result")),
        ("second_report", garbled("more_than_one_answer")),
        ("not_json", garbled("not_json")),
        ("segfault", Message("killed_by_signal", {"signal": "SIGSEGV"})),
        ("aborts", Message("killed_by_signal", {"signal": "SIGABRT"})),
        ("answers_then_crashes", Message("killed_by_signal", {"signal": "SIGSEGV"})),
        ("raises", Message("check_crashed", {"exception": "ValueError", "where": ""})),
        ("raises_check_error", Message("missing_column", {"column": "age"})),
        ("exits", Message("check_crashed", {"exception": "SystemExit", "where": ""})),
        (
            "late_import",
            Message("check_crashed", {"exception": "ModuleNotFoundError", "where": "", "module": "this"}),
        ),
    ],
)
def test_named(probe: Run, entry: str, error: Message) -> None:
    outcome = probe(entry)
    assert outcome.error == error
    assert outcome.result is None
    assert outcome.confinement is not None


def test_result_of_a_child_that_ends_badly_does_not_count(probe: Run) -> None:
    outcome = probe("says", {"text": '{"result":{"passed":true}}', "end": 3})
    assert outcome.result is None
    assert outcome.error == Message("garbled_output", {"reason": "exit_status", "status": 3})


def test_entry_that_is_not_there(probe: Run) -> None:
    outcome = probe("no_such_function")
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.params["stage"]) == ("zygote_failed", "fork")


def test_outcome_carries_cost_and_versions(zygote: Zygote, artifact: Path) -> None:
    outcome = zygote.run({"é": [1, None]}, {"artifact": artifact}, entry="tests.confine.probes:echo")
    assert outcome.result == {"input": {"é": [1, None]}, "files": {"artifact": "hello"}}
    assert outcome.error is None
    assert 0 < outcome.seconds < 5
    assert outcome.max_rss_bytes > 1 << 20
    assert set(outcome.libraries) == {"python"}


def test_frames_in_single_bytes() -> None:
    stream = b"".join(len(part).to_bytes(8, "big") + part for part in (b"{}", b'{"a":1}'))
    frames = Frames(answer_limit=7)
    for index in range(len(stream)):
        frames.feed(stream[index : index + 1])
    assert frames.frames == [b"{}", b'{"a":1}']
    assert not frames.broken
    assert not frames.partial
    frames.feed(b"x")
    assert frames.extra


def test_frame_one_byte_over_the_limit() -> None:
    frames = Frames(answer_limit=7)
    frames.feed((2).to_bytes(8, "big") + b"{}" + (8).to_bytes(8, "big"))
    assert frames.too_large
    assert frames.frames == [b"{}"]


def test_decode_names_the_reason() -> None:
    with pytest.raises(GarbledError) as caught:
        decode(b'{"a": "\\u0000"}')
    assert caught.value.reason == "unstorable_text"
    assert decode(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}  # a backslash, not an escape
