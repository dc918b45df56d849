"""The commands on findings, waivers, conditions and broken glass: what they send, and what they refuse to send."""

from __future__ import annotations

import argparse
import io
from typing import Any

import pytest

from governance.client import cli
from governance.client.commands.common import Context
from governance.client.commands.watching import conditions_of, moment
from governance.client.console import Console
from governance.client.errors import Usage
from governance.client.watching import Watching

ID = "0197e2a4-0000-7000-8000-000000000001"


class Answering:
    status = 200

    def json(self) -> dict[str, Any]:
        return {"id": ID, "state": "open"}


class Recorder(Watching):
    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def _post(self, path: str, body: Any, *, key: str | None = None) -> Any:
        self.sent.append((path, body))
        return Answering()

    def _pages(self, path: str, limit: int, **query: Any) -> Any:
        self.sent.append((path, query))
        return iter([{"id": ID, "state": "open", "model": "credit", "n": 3, "severity": "high"}])


def run(*arguments: str) -> tuple[int, list[tuple[str, Any]], str]:
    options: argparse.Namespace = cli.parser().parse_args(arguments)
    out, recorder = io.StringIO(), Recorder()
    console = Console(as_json=False, out=out)
    code = options.command(Context(lambda: recorder, console, options))  # type: ignore[arg-type, return-value]
    return code, recorder.sent, out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (
            "finding open credit 3 --severity high --owner ana --due 2027-01-31 --text Look",
            (
                "models/credit/versions/3/findings",
                {"severity": "high", "owner": "ana", "due": "2027-01-31T23:59:59+00:00", "text": "Look"},
            ),
        ),
        (f"finding answer {ID} --text Done", (f"findings/{ID}/answer", {"text": "Done"})),
        (f"finding verify {ID} --text No --send-back", (f"findings/{ID}/verification", {"text": "No", "holds": False})),
        (f"finding close {ID} --text Yes", (f"findings/{ID}/closing", {"text": "Yes", "holds": True})),
        ("finding list --state open", ("findings", {"model": None, "state": "open"})),
        (f"waiver approve {ID} --reason r", (f"waivers/{ID}/approval", {"reason": "r"})),
        (f"waiver refuse {ID} --reason r", (f"waivers/{ID}/refusal", {"reason": "r"})),
        (f"waiver revoke {ID} --reason r", (f"waivers/{ID}/revocation", {"reason": "r"})),
        (f"condition list {ID}", (f"promotions/{ID}/conditions", {})),
        (f"condition report {ID} --text t", (f"conditions/{ID}/report", {"text": "t"})),
        (f"condition verify {ID} --text t", (f"conditions/{ID}/verification", {"text": "t", "holds": True})),
        (f"review complete {ID} --reason r", (f"reviews/{ID}/completion", {"reason": "r"})),
        (
            "glass break credit 3 --environment production --hours 4 --reason r",
            ("models/credit/versions/3/break-glass", {"environment": "production", "reason": "r", "hours": 4}),
        ),
        (f"glass end {ID} --reason r", (f"break-glass/{ID}/end", {"reason": "r"})),
        ("alarm list --state open", ("alarms", {"state": "open"})),
        (f"alarm sign-off {ID} --reason r", (f"alarms/{ID}/sign-off", {"reason": "r"})),
    ],
)  # fmt: skip
def test_what_is_sent(arguments: str, sent: tuple[str, Any]) -> None:
    code, requests, said = run(*arguments.split())
    assert (code, requests) == (0, [sent])
    assert ID in said


def test_dates_need_to_be_dates_and_times_a_zone() -> None:
    assert moment("2027-01-31T12:00:00-03:00") == "2027-01-31T12:00:00-03:00"
    for wrong in ("tomorrow", "2027-02-30", "2027-01-31T12:00:00"):
        with pytest.raises(Usage):
            moment(wrong)


def test_conditions_are_a_date_and_words() -> None:
    found = conditions_of(["2027-01-31: recalibrate: by site"])
    assert found == [{"due": "2027-01-31T23:59:59+00:00", "text": "recalibrate: by site"}]
    for wrong in ("recalibrate", "2027-01-31: ", "soon: recalibrate"):
        with pytest.raises(Usage):
            conditions_of([wrong])


def test_names_do_not_change_the_address() -> None:
    recorder = Recorder()
    recorder.answer_finding("../alarms", text="x")
    assert recorder.sent[0][0] == "findings/..%2Falarms/answer"
    with pytest.raises(Usage):
        recorder.answer_finding("..", text="x")


def test_a_gate_behind_broken_glass_says_so() -> None:
    from governance.client.shapes import GateAnswer

    told = {
        "allowed": True,
        "digest": "sha256:" + "0" * 64,
        "environment": "production",
        "reasons": [{"code": "glass_was_broken", "text": "Somebody broke the glass.", "params": {}}],
        "placements": [{"model": "credit", "n": 3, "effective_at": None, "promotion": ID}],
        "attestation": None,
        "receipt": None,
        "break_glass": True,
        "until": "2027-01-31T12:00:00Z",
    }
    out = io.StringIO()
    Console(as_json=False, out=out).gate(GateAnswer.read(told))
    said = out.getvalue()
    assert "broken glass, until 2027-01-31T12:00:00Z" in said
    assert "Somebody broke the glass." in said
    assert "effective since" not in said
