from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.client import Usage, cli, verifying
from governance.client.commands.policies import commit_of
from governance.client.commands.registering import sensitive_of
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


def test_a_dataset_is_made_and_its_file_announced(run: Run, double: Double, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sex,age\n1,50\n")
    version = {"name": "p", "n": 2, "reference": "p@2", "digest": "sha256:x", "size": 13, "rows": 1}
    double.replies = [answer(201, {"name": "p"}), answer(201, version)]
    ran = run("dataset", "register", path, "--name", "p", "--sensitive", "sex,age", "--bins", "age=50,65")
    assert ran.code == 0
    assert [asked.path for asked in double.asked] == ["/api/v1/datasets", "/api/v1/datasets/p/versions"]
    assert b'"sensitive": {"sex": {}, "age": {"bins": [50, 65]}}' in double.asked[1].body
    assert "dataset version p@2 registered" in ran.out


def test_nothing_is_made_for_a_file_that_is_not_there(run: Run, double: Double, tmp_path: Path) -> None:
    metadata = tmp_path / "m.json"
    metadata.write_text("{}")
    assert run("dataset", "register", tmp_path / "none", "--name", "p").code == 2
    assert run("model", "register", tmp_path / "none", "--name", "p", "--metadata", metadata).code == 2
    assert double.asked == []


@pytest.mark.parametrize(
    "bins", ["age", "height=1,2", "age=", "age=a", "age=2,1", "age=1,1", "age=nan", "age=inf", "=1"]
)
def test_bins_that_are_none(bins: str) -> None:
    with pytest.raises(Usage, match="--bins"):
        sensitive_of("sex,age", [bins])


def test_bins() -> None:
    assert sensitive_of(" sex , age", ["age=50,64.5"]) == {"sex": {}, "age": {"bins": [50, 64.5]}}
    assert sensitive_of("", []) == {}


@pytest.mark.parametrize("text", ["", "[]", "{", "NaN", '{"a": NaN}', "{" * 100_000])
def test_metadata_that_is_none(text: str, run: Run, double: Double, tmp_path: Path) -> None:
    model, metadata = tmp_path / "m", tmp_path / "m.json"
    model.write_bytes(b"x")
    metadata.write_text(text)
    assert run("model", "register", model, "--name", "m", "--metadata", metadata).code == 2
    assert double.asked == []


def test_a_folder_of_policies_is_planned_before_it_is_proposed(
    run: Run, double: Double, tmp_path: Path
) -> None:
    for name in ("b.yaml", "a.yml", "readme.md"):
        (tmp_path / name).write_text(f"policy: {name}")
    line = {"direction": "looser", "code": "x", "params": {}, "text": "Looser now."}

    def planned(path: str, status: str, **given: Any) -> dict[str, Any]:
        whole = {"path": str(tmp_path / path), "name": path[0], "status": status, "current": None,
                 "changes": [], "text": "", "problem": None}  # fmt: skip
        return whole | given

    plan = {
        "files": [
            planned("a.yml", "unchanged", current=1),
            planned("b.yaml", "changed", current=2, changes=[line]),
        ],
        "elsewhere": ["other"],
    }
    double.replies = [answer(200, plan)]
    ran = run("policy", "apply", tmp_path)
    assert [file["text"] for file in double.asked[0].json["files"]] == ["policy: a.yml", "policy: b.yaml"]
    assert (ran.code, len(double.asked)) == (0, 1), "nothing is proposed without --yes"
    assert ran.out.splitlines()[:4] == [
        "unchanged  a (version 1 is current)",
        "changed    b (version 2 is current)",
        "    - Looser now.",
        "elsewhere  other (current there, in none of these files; stays)",
    ]
    change = {"id": answers.ID, "name": "b", "state": "proposed", "digest": "sha256:1", "changes": [line]}
    double.asked.clear()
    double.replies = [answer(200, plan), answer(201, change)]
    ran = run("policy", "apply", tmp_path, "--yes", "--reason", "why")
    assert ran.code == 0
    assert double.asked[1].path == "/api/v1/policies"
    assert double.asked[1].json == {"text": "policy: b.yaml", "reason": "why", "commit": ""}
    double.asked.clear()
    problem_found = {"code": "policy_invalid", "text": "Not valid.", "params": {}}
    plan["files"][0] |= {"status": "invalid", "problem": problem_found}  # type: ignore[index]
    double.replies = [answer(200, plan)]
    ran = run("policy", "apply", tmp_path, "--yes", "--reason", "why")
    assert (ran.code, len(double.asked)) == (1, 1), "one file that is none: nothing is proposed"
    assert "    Not valid." in ran.out.splitlines()
    assert run("policy", "apply", tmp_path, "--yes").code == 2


def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "a.yaml").write_text("a")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert commit_of(tmp_path) == head
    (tmp_path / "a.yaml").write_text("b")
    assert commit_of(tmp_path / "a.yaml") == f"{head}-dirty"


def test_deciding_on_a_change_pins_what_was_shown(run: Run, double: Double) -> None:
    line = {"direction": "tighter", "code": "x", "params": {}, "text": "Tighter now."}
    change = {"id": answers.ID, "name": "b", "state": "proposed", "digest": "sha256:1", "changes": [line]}
    double.replies = [answer(200, change), answer(200, change | {"state": "approved"})]
    ran = run("policy", "approve", answers.ID, "--reason", "agreed")
    assert double.asked[1].path == f"/api/v1/policies/changes/{answers.ID}/decisions"
    assert double.asked[1].json == {"verdict": "approve", "reason": "agreed", "digest": "sha256:1"}
    assert ran.out == "b sha256:1\n    + Tighter now.\nb: approved\n"


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_a_policy_is_rehearsed(passed: bool, code: int, run: Run, double: Double, tmp_path: Path) -> None:
    line = {"check": "c", "metric": "m", "attribute": "sex", "verdict": "failed",
            "reason": answers.reason("x", "Below.")}  # fmt: skip
    found = {"applies": True, "format_accepted": True, "passed": passed, "requirements": [line]}
    double.replies = [answer(200, found), answer(200, found)]
    ran = run("policy", "test", "strict@4", "scoring", 3)
    assert double.asked[0].json == {"model": "scoring", "n": 3, "policy": "strict", "version": 4}
    assert (ran.code, ran.out) == (code, "failed       c m of sex: Below.\n")
    (tmp_path / "p.yaml").write_text("policy: p")
    run("policy", "test", tmp_path / "p.yaml", "scoring", 3)
    assert double.asked[1].json == {"model": "scoring", "n": 3, "text": "policy: p"}


def test_lineage_of_a_version_of_ours(run: Run, double: Double) -> None:
    graph = {
        "nodes": [
            {"id": "model:crivo:s@1", "type": "model", "name": "s@1", "depth": 0},
            {"id": "dataset:crivo:d@1", "type": "dataset", "name": "d@1", "depth": 1},
        ],
        "edges": [{"origin": "dataset:crivo:d@1", "destination": "model:crivo:s@1"}],
        "truncated": True,
    }
    double.replies = [problem(404, "node_unknown"), answer(200, graph)]
    ran = run("lineage", "s@1", "--direction", "up")
    assert ran.code == 0
    assert "dataset:crivo:d@1 → model:crivo:s@1" in ran.out
    assert "There is more than this" in ran.out
    assert run("lineage", "record").code == 2


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


def test_an_export_that_would_write_elsewhere(run: Run, double: Double, tmp_path: Path) -> None:
    from tests.client.test_unpack import archive

    export = {"id": answers.ID, "state": "done"}
    double.replies = [
        answer(202, {**export, "state": "queued"}),
        answer(200, export),
        answer(200, archive(("../evil", b"x")).getvalue()),
    ]
    ran = run("audit", "export", tmp_path / "in" / "export")
    assert ran.code == 3
    assert list(tmp_path.rglob("evil")) == []


def test_an_export_in_order(run: Run, double: Double, tmp_path: Path) -> None:
    from tests.client.test_unpack import archive

    double.replies = [
        answer(202, {"id": answers.ID, "state": "queued"}),
        answer(200, {"id": answers.ID, "state": "running"}),
        answer(200, {"id": answers.ID, "state": "done"}),
        answer(200, archive(("checkpoint", b"x")).getvalue()),
    ]
    ran = run("audit", "export", tmp_path / "export")
    assert ran.code == 0
    assert double.asked[0].json == {"filter": {}}
    assert (tmp_path / "export/checkpoint").read_bytes() == b"x"
    assert run("audit", "export", tmp_path / "export").code == 2


def test_an_export_that_failed(run: Run, double: Double, tmp_path: Path) -> None:
    failed = {"id": answers.ID, "state": "failed", "reason": answers.reason("x", "Entry 7 is not genuine.")}
    double.replies = [answer(202, failed), answer(200, failed)]
    ran = run("audit", "export", tmp_path / "export")
    assert (ran.code, "Entry 7 is not genuine." in ran.err) == (3, True)
    assert not (tmp_path / "export").exists()


def test_the_verifier_is_the_one_source() -> None:
    assert verifying.verifier_path() == PROJECT / "audits" / "verifier.py"


def test_a_missing_verifier_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    monkeypatch.setattr(verifying, "PLACES", (tmp_path / "none",))
    ran = run("verify", tmp_path)
    assert ran.code == 2
    assert "audits/verifier.py" in ran.err


def test_what_is_no_export_is_unreadable(run: Run, tmp_path: Path) -> None:
    assert run("verify", tmp_path).code == 2
    assert run("verify", tmp_path, "--json").code == 2


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


def test_what_is_not_found_because_it_was_pruned(run: Run, double: Double) -> None:
    note = answers.reason("events_pruned", "3 events from before 2016 were pruned; they are in the export e.")
    double.replies = [answer(200, {"next": None, "results": [], "pruned": [note]})]
    ran = run("audit", "events", "--limit", "5")
    assert (ran.code, "they are in the export e." in ran.out) == (0, True), ran.err
    assert len(double.asked) == 1


def test_events_are_searched_as_they_are_exported(run: Run, double: Double, tmp_path: Path) -> None:
    given = ["--verb", "promotion.refused", "--verb", "promotion.granted", "--outcome", "done",
             "--from", "2026-01-01T00:00:00Z"]  # fmt: skip
    double.replies = [answer(200, {"next": None, "results": []}), problem(403, "not_permitted")]
    assert run("audit", "events", *given, "--limit", "5").code == 0
    assert double.asked[0].path == (
        "/api/v1/audit/events?page_size=5&verb=promotion.refused&verb=promotion.granted&outcome=done"
        "&from=2026-01-01T00%3A00%3A00Z"
    )
    assert run("audit", "export", tmp_path / "export", *given).code == 1
    assert double.asked[1].json == {
        "filter": {
            "verb": ["promotion.refused", "promotion.granted"],
            "outcome": "done",
            "from": "2026-01-01T00:00:00Z",
        }
    }
