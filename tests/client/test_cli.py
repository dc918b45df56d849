"""`crivo` on promotions and the gate, and what holds for every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.client import cli
from tests.client import answers
from tests.client.double import Double, answer, problem, reset

PROJECT = Path(__file__).resolve().parents[2]
Run = Callable[..., Any]


def test_asked_is_done(run: Run, double: Double) -> None:
    double.replies = [answer(201, answers.promotion())]
    ran = run("promote", "scoring", 3, "--to", "homologation", "--reason", "nightly")
    assert ran.code == 0
    assert double.asked[0].path == "/api/v1/models/scoring/versions/3/promotions"
    assert double.asked[0].json == {"to": "homologation", "reason": "nightly"}
    assert f"crivo status {answers.ID}" in ran.out


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (answers.EFFECTIVE, 0),
        (answers.REFUSED, 1),
        (answers.promotion("withdrawn"), 1),
        (answers.promotion("expired"), 1),
        (answers.promotion("awaiting_approval"), 4),
    ],
)
def test_waiting_ends_with(last: dict[str, Any], code: int, run: Run, double: Double) -> None:
    double.replies = [answer(201, answers.promotion()), answer(200, answers.promotion()), answer(200, last)]
    ran = run("promote", "scoring", 3, "--to", "homologation", "--reason", "r", "--wait")
    assert ran.code == code
    assert double.asked[1].path == f"/api/v1/promotions/{answers.ID}"
    assert double.asked[2].path == f"/api/v1/promotions/{answers.ID}?wait=1.0"


@pytest.mark.parametrize("state", ["checking", "granted", "awaiting_approval"])
def test_patience_ends(state: str, run: Run, double: Double) -> None:
    double.replies = [answer(201, answers.promotion())] + [answer(200, answers.promotion(state))] * 50
    ran = run("promote", "s", 3, "--to", "t", "--reason", "r", "--wait", "--for-people", "--timeout", "0.3")
    assert ran.code == 4
    assert "Still pending" in ran.out
    assert 2 <= len(double.asked) <= 6  # a server that answers at once is not asked in a rush


def test_for_people(run: Run, double: Double) -> None:
    waiting = answers.promotion("awaiting_approval")
    double.replies = [answer(201, answers.promotion()), answer(200, waiting), answer(200, answers.EFFECTIVE)]
    assert run("promote", "s", 3, "--to", "t", "--reason", "r", "--wait", "--for-people").code == 0


@pytest.mark.parametrize("timeout", ["-1", "nan"])
def test_a_timeout_that_is_none(timeout: str, run: Run, double: Double) -> None:
    assert run("promote", "s", 3, "--to", "t", "--reason", "r", "--wait", f"--timeout={timeout}").code == 2
    assert double.asked == []


def test_a_refusal_reads_as_a_person_reads_it(run: Run, double: Double) -> None:
    double.replies = [answer(200, answers.REFUSED)]
    ran = run("status", answers.ID)
    assert ran.code == 1
    assert ran.out == (
        "scoring@3 to homologation: refused\n"
        f"  promotion  {answers.ID}\n"
        f"  policy     homologation-high@2 sha256:{'9' * 64}\n"
        f"  dossier    {answers.DOSSIER}\n"
        "\n"
        "  MISSED  bias.group_disparity  demographic_parity_ratio of sex  0.6283 [0.4406, 0.8812]  "
        "at least 0.8 (point)\n"
        "  approvals: validator 0 of 1\n"
        "  - Requirements of the policy that are not met: 1.\n"
        "  - bias.group_disparity, demographic_parity_ratio sex: 0.6283 is below the limit of 0.8.\n"
    )


def test_all_reasons_of_a_closed_gate_are_printed(run: Run, double: Double) -> None:
    reasons = [answers.reason("a", "First."), answers.reason("b", "Second.")]
    errors = [{"field": "to", "code": "x", "detail": "y"}]
    double.replies = [problem(422, "closed", "The gate is closed.", reasons=reasons, errors=errors)]
    ran = run("promote", "s", 3, "--to", "t", "--reason", "r")
    assert ran.code == 1
    assert ran.err == "Refused: The gate is closed.\n  - First.\n  - Second.\n  (in to)\n"
    assert ran.out == ""


def test_nothing_of_a_server_commands_our_terminal(run: Run, double: Double) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\r\n"
    double.replies = [problem(422, "closed", evil, reasons=[answers.reason("a", evil)])]
    assert "\x1b" not in run("status", answers.ID).err
    double.replies = [
        answer(200, answers.promotion("refused", reasons=[answers.reason("a", evil)], model=evil))
    ]
    out = run("status", answers.ID).out
    assert not set("\x1b\x07\u202e\r") & set(out)
    double.replies = [answer(200, answers.gate(False) | {"reasons": [answers.reason("a", evil)]})]
    assert not set("\x1b\x07\u202e\r") & set(run("gate", answers.ARTIFACT, "--environment", "production").out)


def test_status_of_a_version(run: Run, double: Double) -> None:
    rows = [answers.promotion(n=4), answers.EFFECTIVE, answers.promotion("refused")]
    double.replies = [answer(200, {"next": None, "results": rows})]
    ran = run("status", "scoring", 3)
    assert ran.code == 0  # the newest of version 3 is effective
    assert double.asked[0].path == "/api/v1/promotions?page_size=500&model=scoring"
    assert ran.out.splitlines()[:3] == [
        "  version    to            state      promotion",
        f"  scoring@3  homologation  effective  {answers.ID}",
        f"  scoring@3  homologation  refused    {answers.ID}",
    ]


def test_the_gate_with_a_file(run: Run, double: Double, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(b"abc")
    digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    double.replies = [answer(200, answers.gate(True, digest))]
    ran = run("gate", path, "--environment", "production")
    assert (ran.code, ran.out) == (0, f"yes: {digest} in production\n")
    assert double.asked[0].path == (
        "/api/v1/gate?digest=sha256%3Aba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        "&environment=production"
    )


def test_the_gate_says_no(run: Run, double: Double) -> None:
    double.replies = [answer(200, answers.gate(False))]
    ran = run("gate", answers.ARTIFACT, "--environment", "production")
    assert ran.code == 1
    assert ran.out.endswith("  - No version with this artefact was promoted.\n")


@pytest.mark.parametrize(
    "changed",
    [{"allowed": "yes"}, {"allowed": 1}, {"allowed": None}, {"digest": "sha256:" + "b" * 64}, {"environment": "test"},
     {"reasons": None}],
)  # fmt: skip
def test_only_an_exact_yes_opens_the_gate(changed: dict[str, Any], run: Run, double: Double) -> None:
    double.replies = [answer(200, answers.gate(True) | changed)]
    assert run("gate", answers.ARTIFACT, "--environment", "production").code == 3


def test_no_server_is_no_yes(run: Run, double: Double) -> None:
    double.replies = [reset] * 20
    ran = run("gate", answers.ARTIFACT, "--environment", "production")
    assert ran.code == 3
    assert "Traceback" not in ran.err
    assert ran.err.startswith("Failed: ")


@pytest.mark.parametrize(
    "digest", ["sha256:abc", "sha256:" + "A" * 64, "sha256:" + "a" * 65, "md5:x", "nofile"]
)
def test_what_is_neither_digest_nor_file(digest: str, run: Run, double: Double) -> None:
    assert run("gate", digest, "--environment", "production").code == 2
    assert double.asked == []


def test_deciding_pins_the_dossier_that_was_shown(run: Run, double: Double) -> None:
    waiting = answers.promotion("awaiting_approval")
    decision = {"id": answers.ID, "verdict": "approve", "role": "validator", "promotion": waiting}
    double.replies = [answer(200, waiting), answer(201, decision)]
    ran = run("approve", answers.ID, "--reason", "read it")
    assert ran.code == 0
    assert double.asked[1].json == {
        "verdict": "approve",
        "reason": "read it",
        "dossier_digest": answers.DOSSIER,
    }
    assert f"approve as validator, on the dossier {answers.DOSSIER}" in ran.out


def test_a_pinned_dossier_is_the_one_sent(run: Run, double: Double) -> None:
    pinned = "sha256:" + "e" * 64
    double.replies = [
        answer(200, answers.promotion("awaiting_approval")),
        problem(409, "dossier_changed", "Changed."),
    ]
    ran = run("request-changes", answers.ID, "--reason", "x", "--dossier", pinned)
    assert (ran.code, double.asked[1].json["dossier_digest"]) == (1, pinned)
    assert double.asked[1].json["verdict"] == "request_changes"


def test_while_checks_run_there_is_nothing_to_decide(run: Run, double: Double) -> None:
    double.replies = [answer(200, answers.promotion("checking"))]
    assert run("reject", answers.ID, "--reason", "x").code == 4
    assert len(double.asked) == 1


def test_an_attestation_is_printed_as_it_came(run: Run, double: Double) -> None:
    double.replies = [answer(200, b'{"payload":"e30="}\n'), problem(404, "attestation_pending", "Not yet.")]
    ran = run("attestation", answers.ID)
    assert (ran.code, ran.out) == (0, '{"payload":"e30="}\n')
    ran = run("attestation", answers.ID)
    assert (ran.code, ran.out) == (4, "")


def test_json_before_and_after_the_command(run: Run, double: Double) -> None:
    for order in (["--json", "whoami"], ["whoami", "--json"]):
        double.replies = [answer(200, answers.ME)]
        assert json.loads(run(*order).out) == answers.ME


def test_a_refusal_as_json_is_the_problem_itself(run: Run, double: Double) -> None:
    double.replies = [problem(403, "separation_of_duties", "You had a hand in it.")]
    ran = run("whoami", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["type"] == "urn:crivo:problem:separation_of_duties"


def test_without_an_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CRIVO_URL", raising=False)
    monkeypatch.delenv("CRIVO_TOKEN", raising=False)
    assert cli.main(["whoami"]) == 2
    assert "CRIVO_URL is not set" in capsys.readouterr().err
    monkeypatch.setenv("CRIVO_URL", "http://localhost:1")
    assert cli.main(["whoami"]) == 2
    assert "CRIVO_TOKEN is not set" in capsys.readouterr().err


def test_called_wrongly_ends_with_2() -> None:
    for arguments in (
        [],
        ["no-such"],
        ["promote", "m", "one", "two", "--to", "t", "--reason", "r"],
        ["gate", "x"],
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2


def test_a_defect_of_the_client_shows_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRIVO_DEBUG", raising=False)
    monkeypatch.setattr("governance.client.api.Crivo.whoami", lambda self: 1 / 0)
    ran = run("whoami")
    assert ran.code == 3
    assert "ZeroDivisionError" in ran.err
    assert "Traceback" not in ran.err


def test_the_client_needs_the_standard_library_only(tmp_path: Path) -> None:
    """In an interpreter without site-packages, from a folder with a `governance` of somebody else."""
    (tmp_path / "governance").mkdir()
    (tmp_path / "governance" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    ended = subprocess.run(
        [sys.executable, "-S", "-P", "-m", "governance.client", "--help"],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "CRIVO_TOKEN" in ended.stdout


def test_a_reader_that_has_gone(double: Double) -> None:
    double.replies = [answer(200, {"next": None, "results": [{"verb": "x" * 900}] * 500})]
    read, write = os.pipe()
    os.close(read)
    environ = {"PYTHONPATH": str(PROJECT), "CRIVO_URL": double.url, "CRIVO_TOKEN": "crv_t"}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "governance.client", "audit", "events", "--limit", "500"],
        stdout=write, stderr=subprocess.PIPE, env=environ, check=False,
    )  # fmt: skip
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_what_was_seen_is_told_while_waiting(run: Run, double: Double) -> None:
    """Else a change between two looks is slept over."""
    double.replies = [
        answer(201, answers.promotion()),
        answer(200, answers.promotion(), ETag='"one"'),
        answer(304, b""),
        answer(200, answers.EFFECTIVE, ETag='"two"'),
    ]
    ran = run("promote", "s", 3, "--to", "t", "--reason", "r", "--wait")
    assert ran.code == 0
    assert [asked.headers.get("if-none-match") for asked in double.asked] == [None, None, '"one"', '"one"']
    assert [asked.path.partition("?")[2] for asked in double.asked[1:]] == ["", "wait=1.0", "wait=2.0"]
