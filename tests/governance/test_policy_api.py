"""Policies as callers of the API see them; what only looks writes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from governance.models import PolicyVersion
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.test_api import Caller, problem
from tests.governance.test_policy_changes import ACKNOWLEDGED, STRICTER
from tests.governance.test_promotions import by, to_homologation
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    return study.study(cast)


def test_from_proposal_to_force(cast: Cast, version: ModelVersion) -> None:
    rita, bia = Caller(cast, "rita"), Caller(cast, "bia")
    made = rita.post("policies", {"text": STRICTER, "reason": "stricter", "commit": "abc"})
    assert made.status_code == 201, made.content
    change = made.json()
    assert (change["state"], change["base"], change["version"], change["effective"]) == (
        "proposed", 1, None, False,
    )  # fmt: skip
    assert change["changes"][0]["text"] == (
        "bias.group_disparity: the limit on demographic_parity_ratio  is tightened from 0.8 to 0.85."
    )
    assert change["excluded"] == [str(cast.people["rita"].id)]
    assert rita.post("policies", {"text": STRICTER, "reason": "again"}).status_code == 200
    path = f"policies/changes/{change['id']}"
    decision = {"verdict": "approve", "reason": "agreed", "digest": change["digest"]}
    problem(rita.post(f"{path}/decisions", decision), 403, "policy_change_own")
    assert bia.post(f"{path}/decisions", decision).json()["version"] == 2
    assert bia.get("policies/study-homologation/versions/2").json()["in_force"] is False
    study.sequence()
    found = bia.get("policies/study-homologation/versions/2").json()
    assert found["in_force"] is True
    assert found["effective_at"] is not None
    assert bia.get(path).json()["effective"] is True
    assert [row["n"] for row in bia.get("policies/study-homologation/versions").json()["results"]] == [2, 1]
    assert bia.get("policies/changes?state=proposed").json()["results"] == []
    problem(bia.get("policies/changes?state=sure"), 400, "invalid")
    problem(rita.post(f"{path}/withdrawal", {"reason": "x"}), 409, "policy_change_settled")


def test_the_difference_of_two_versions(cast: Cast, version: ModelVersion) -> None:
    study.put_in_force(cast, STRICTER)
    bia = Caller(cast, "bia")
    found = bia.get("policies/study-homologation/versions/2/diff/1").json()
    assert (found["before"], found["after"]) == ("study-homologation@2", "study-homologation@1")
    assert [(line["direction"], line["code"]) for line in found["changes"]] == [
        ("looser", "policy_limit_loosened")
    ]
    assert "-      - {metric: demographic_parity_ratio, min: 0.85, bound: point}" in found["text"]
    assert bia.get("policies/study-homologation/versions/1/diff/9").status_code == 404
    assert Caller(cast, "davi").get("policies/study-homologation/versions/2/diff/1").status_code == 404


def test_what_another_policy_would_say(cast: Cast, version: ModelVersion) -> None:
    bia, davi = Caller(cast, "bia"), Caller(cast, "davi")
    asked = {"model": "progression", "n": 1}

    def rehearsed(**given: Any) -> dict[str, Any]:
        with unchanged(refusals=0):
            answer = bia.post("policies/dry-run", {**asked, **given})
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    found = rehearsed(policy="study-homologation", version=1)
    assert (found["passed"], [line["verdict"] for line in found["requirements"]]) == (False, ["pending"])
    to_homologation(cast, version)
    found = rehearsed(policy="study-homologation", version=1)
    assert (found["applies"], found["passed"]) == (True, True)
    assert found["requirements"][0]["value"] == 0.86
    assert found["approvals"] == [{"role": "validator", "needed": 1, "given": 0}]
    # Another limit is another parameter of this check: nothing was measured with it yet.
    assert [line["verdict"] for line in rehearsed(text=STRICTER)["requirements"]] == ["pending"]
    conservative = study.HOMOLOGATION.replace("bound: point", "bound: conservative")
    (line,) = rehearsed(text=conservative)["requirements"]
    assert (line["verdict"], line["reason"]["code"]) == ("inconclusive", "sample_cannot_decide")
    elsewhere = rehearsed(text=study.HOMOLOGATION.replace("use_case: care", "use_case: other"))
    assert elsewhere["applies"] is False
    refused = rehearsed(text=study.HOMOLOGATION + "artifact_formats: [onnx]\n")
    assert (refused["format_accepted"], refused["passed"]) == (False, False)
    assert rehearsed(policy="study-homologation", version=1)["lock_accepted"] is True
    unlocked = rehearsed(text=study.HOMOLOGATION + "environment_lock: kept\n")
    assert (unlocked["lock_accepted"], unlocked["passed"]) == (False, False)
    with unchanged(refusals=0):
        problem(bia.post("policies/dry-run", asked), 422, "policy_source_missing")
        both = {**asked, "text": STRICTER, "policy": "x", "version": 1}
        problem(bia.post("policies/dry-run", both), 422, "policy_source_missing")
        problem(bia.post("policies/dry-run", {**asked, "text": "a: ["}), 422, "policy_not_yaml")
        unknown = {"model": "nothing", "n": 1, "text": STRICTER}
        assert bia.post("policies/dry-run", unknown).status_code == 404
        stranger = davi.post("policies/dry-run", {**asked, "text": STRICTER})
        assert stranger.status_code == 404


def test_a_plan_says_what_would_change(cast: Cast, version: ModelVersion) -> None:
    files = [
        {"path": "a.yaml", "text": STRICTER},
        {"path": "b.yaml", "text": study.PRODUCTION},
        {"path": "c.yaml", "text": study.PRODUCTION.replace("study-production", "fresh")},
        {"path": "d.yaml", "text": "a: ["},
        {"path": "e.yaml", "text": STRICTER},
    ]
    rita = Caller(cast, "rita")
    with unchanged(refusals=0):
        found = rita.post("policies/plan", {"files": files}).json()
    assert [(file["path"], file["status"], file["current"]) for file in found["files"]] == [
        ("a.yaml", "changed", 1),
        ("b.yaml", "unchanged", 1),
        ("c.yaml", "new", None),
        ("d.yaml", "invalid", None),
        ("e.yaml", "invalid", None),
    ]
    assert found["files"][3]["problem"]["code"] == "policy_not_yaml"
    assert found["files"][4]["problem"]["code"] == "policy_twice"
    assert set(found["elsewhere"]) == set(
        PolicyVersion.objects.filter(workspace=cast.workspace, current=True)
        .exclude(name__in=["study-homologation", "study-production"])
        .values_list("name", flat=True)
    )


def test_who_has_not_acknowledged(cast: Cast, version: ModelVersion) -> None:
    study.put_in_force(cast, ACKNOWLEDGED)
    bia = Caller(cast, "bia")
    bruno, path = Caller(cast, "bruno"), "policies/study-homologation/versions/2/acknowledgements"
    names = [row["name"] for row in bruno.get(path).json()["missing"]]
    assert names == ["Ana", "Bruno"]
    assert bruno.post(path, {}).status_code == 201
    assert bruno.post(path, {}).status_code == 200
    found = bruno.get(path).json()
    assert [row["name"] for row in found["missing"]] == ["Ana"]
    assert [row["person"] for row in found["given"]] == [str(cast.people["bruno"].id)]
    with unchanged(refusals=1):
        problem(bia.post(path, {}), 422, "acknowledgement_not_asked")


def test_what_is_live_under_an_old_version(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    by(cast, "bruno", promotion)
    study.sequence()
    bia = Caller(cast, "bia")
    assert bia.get("policies/outdated").json()["results"] == []
    assert bia.get(f"promotions/{promotion.id}").json()["policy_outdated"] is False
    study.put_in_force(cast, STRICTER)
    (row,) = bia.get("policies/outdated").json()["results"]
    assert (row["model"], row["n"], row["environment"]) == ("progression", 1, "homologation")
    assert (row["pinned"], row["in_force"]) == ("study-homologation@1", "study-homologation@2")
    assert bia.get(f"promotions/{promotion.id}").json()["policy_outdated"] is True
    assert Caller(cast, "davi").get("policies/outdated").json()["results"] == []
