"""`crivo` on datasets, models, policies and lineage."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.client import Usage
from governance.client.commands.policies import commit_of
from governance.client.commands.registering import sensitive_of
from tests.client import answers
from tests.client.double import Double, answer, problem

Run = Callable[..., Any]


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
