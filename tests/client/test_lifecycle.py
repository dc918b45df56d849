"""Commands after the grant against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from governance.client import Crivo, Refused
from governance.client.errors import Usage
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command, crivo_of  # noqa: F401
from tests.governance import lifecycle

Command = Callable[..., Ran]


@pytest.fixture
def versions(live_server: Any, committed_cast: Cast) -> list[ModelVersion]:
    found = [lifecycle.open_ways(committed_cast), lifecycle.another(committed_cast, 2)]
    for version in found:
        lifecycle.live(committed_cast, version)
    return found


def test_an_alias_stands_where_a_version_does(command: Command, versions: list[ModelVersion]) -> None:  # noqa: F811
    assert command("ana", "alias", "set", "progression", "champion", "2").code == 0
    assert command("ana", "alias", "set", "progression", "challenger", "champion").code == 0
    listed = json.loads(command("ana", "alias", "list", "progression", "--json").out)
    assert {(row["alias"], row["n"]) for row in listed} == {("champion", 2), ("challenger", 2)}
    for asked in (
        ("progression@champion",),
        ("progression", "champion"),
        ("progression@2",),
        ("progression", "2"),
    ):
        assert "progression@2: registered" in command("ana", "standing", *asked).out
        assert "production" in command("ana", "status", *asked).out
    ran = command("pipeline", "promote", "progression@champion", "--to", "production", "--reason", "again")
    assert (ran.code, "is not the next step" in ran.err) == (1, True)
    assert command("ana", "alias", "remove", "progression", "challenger").code == 0
    assert command("ana", "standing", "progression@challenger").code == 1
    assert command("ana", "standing", "progression").code == 2


def test_suspend_roll_back_retire(
    command: Command,  # noqa: F811
    versions: list[ModelVersion],
) -> None:
    ran = command(
        "rita", "suspend", "progression@2", "--environment", "production", "--reason", "odd answers"
    )
    assert (ran.code, "production: suspended" in ran.out) == (0, True)
    ran = command("rita", "reinstate", "progression@2", "--environment", "production", "--reason", "r")
    assert (ran.code, "not_permitted" in ran.err or "may not" in ran.err) == (1, True)
    ran = command("rita", "rollback", "progression", "--environment", "production", "--reason", "r", "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["n"], found["state"], found["allowed"]) == (0, 1, "live", False)
    study.sequence()
    assert json.loads(command("rita", "standing", "progression@1", "--json").out)["placements"][-1]["allowed"]
    ran = command("rita", "retire", "progression@2", "--reason", "bad", "--successor", "progression@1")
    assert (ran.code, "retired; use progression@1" in ran.out) == (0, True)
    assert "(archived)" in command("rita", "standing", "progression@2").out
    ran = command("rita", "withdraw", "progression@2", "--environment", "production", "--reason", "r")
    assert ran.code == 2
    assert command("rita", "suspend", "progression@1", "--reason", "everywhere").code == 0
    assert command("bia", "reinstate", "progression@1", "--reason", "fine").code == 0


def test_deployments_environments_comparison(command: Command, versions: list[ModelVersion]) -> None:  # noqa: F811
    record = ("deployment", "record", "progression@1", "--environment", "production")
    ran = command("bia", *record, "--location", "cluster a")
    assert (ran.code, "NOT ALLOWED: progression@1 was superseded in production." in ran.out) == (0, True)
    assert "NOT NOW" in command("bia", "deployment", "list").out
    row = json.loads(command("bia", "deployment", "list", "--json").out)[0]
    assert command("bia", "deployment", "end", row["id"]).code == 0
    assert command("bia", "deployment", "list").out == ""
    assert command("rita", "environment", "add", "pilot", "--position", "3", "--exclusive").code == 0
    assert command("rita", "environment", "change", "pilot", "--no-exclusive").code == 0
    listed = json.loads(command("rita", "environment", "list", "--json").out)
    assert [(row["name"], row["exclusive"]) for row in listed][3:] == [("pilot", False), ("production", True)]
    assert (
        "progression@1 beside progression@2 in production" in command("ana", "compare", "progression@1").out
    )
    assert "nothing to compare" in command("ana", "compare", "progression@2").out


def test_the_sdk(crivo_of: Callable[[str], Crivo], versions: list[ModelVersion]) -> None:  # noqa: F811
    crivo = crivo_of("bia")
    standing = crivo.standing("progression", 2)
    assert standing.placement_in("production").allowed
    with pytest.raises(Usage):
        standing.placement_in("moon")
    crivo.withdraw_placement(standing.placement_in("production").id, reason="over")
    with pytest.raises(Usage):
        crivo.standing("progression", 2).placement_in("production")
    placement = crivo.roll_back("progression", environment="production", reason="r", to=1)
    assert (placement.n, placement.allowed, placement.reasons[0].code) == (1, False, "not_effective_yet")
    with pytest.raises(Refused) as refusal:
        crivo.roll_back("progression", environment="production", reason="r")
    assert refusal.value.code == "rollback_not_effective_yet"
