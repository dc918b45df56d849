"""Retirement, aliases, environments and records of deployments: by services."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.models import Event
from governance.deployments import standing_of
from governance.models import Alias, Deployment, Environment, Placement, Promotion, Retirement
from governance.services.aliases import remove_alias, set_alias
from governance.services.deployments import end_deployment, record_deployment
from governance.services.environments import add_environment, change_environment
from governance.services.retirements import retire_version
from governance.services.rollbacks import roll_back
from governance.services.suspensions import suspend_version
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance import lifecycle
from tests.governance.lifecycle import says
from tests.governance.test_at_once import at_once, gapless
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    return lifecycle.open_ways(cast)


# Retirement


def retire(cast: Cast, version: ModelVersion, name: str = "rita", successor: str = "") -> Retirement:
    return retire_version(
        command=cast.command(name), version_id=version.id, reason="replaced", successor=successor
    ).value


def test_retired_is_the_end(cast: Cast, version: ModelVersion) -> None:
    lifecycle.live(cast, version)
    second = lifecycle.another(cast, 2)
    set_alias(command=cast.command("ana"), model="progression", alias="champion", n=1)
    retirement = retire(cast, version, successor="progression@2")
    assert retirement.successor == second
    version.refresh_from_db()
    assert version.state == "retired"
    assert set(Placement.objects.filter(version=version).values_list("state", flat=True)) == {"withdrawn"}
    for environment in ("development", "test", "homologation", "production"):
        assert says(cast, version, environment) == "version_retired"
    assert Alias.objects.get().version is None
    assert Event.objects.filter(verb="placement.withdrawn").count() == 4
    with unchanged(refusals=1), pytest.raises(Conflict, match="version_not_registered"):
        study.ask(cast, version, "development")
    with unchanged(refusals=1), pytest.raises(Conflict, match="version_transition"):
        retire(cast, version)
    with unchanged(refusals=1), pytest.raises(Conflict, match="version_transition"):
        suspend_version(command=cast.command("rita"), version_id=version.id, reason="r")
    with pytest.raises(DatabaseError), transaction.atomic():
        Retirement.objects.filter(id=retirement.id).update(successor=None)


def test_retirement_ends_what_waits(cast: Cast, version: ModelVersion) -> None:
    waiting = lifecycle.step_to(cast, version, "production")
    retire(cast, version)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.outcome["code"]) == ("refused", "version_retired")
    assert Promotion.objects.filter(state="awaiting_approval").count() == 0


@pytest.mark.parametrize(
    ("successor", "code"),
    [
        ("progression@1", "successor_is_itself"),
        ("progression@7", "successor_unknown"),
        ("progression", "successor_unknown"),
        ("progression@²", "successor_unknown"),
        ("@", "successor_unknown"),
    ],
)
def test_a_successor_is_another_version(cast: Cast, version: ModelVersion, successor: str, code: str) -> None:
    with unchanged(refusals=1), pytest.raises(Unprocessable, match=code):
        retire(cast, version, successor=successor)


def test_a_retired_version_succeeds_nothing(cast: Cast, version: ModelVersion) -> None:
    retire(cast, lifecycle.another(cast, 2))
    with unchanged(refusals=1), pytest.raises(Conflict, match="successor_retired"):
        retire(cast, version, successor="progression@2")
    for name in ("ana", "bruno", "pipeline"):
        with unchanged(refusals=1), pytest.raises(Forbidden):
            retire(cast, version, name)


# Aliases


def point(cast: Cast, alias: str, n: int, name: str = "ana") -> Alias:
    return set_alias(command=cast.command(name), model="progression", alias=alias, n=n).value


def test_an_alias_is_set_moved_and_taken_away(cast: Cast, version: ModelVersion) -> None:
    lifecycle.another(cast, 2)
    first = point(cast, "champion", 1)
    with unchanged(refusals=0):
        point(cast, "champion", 1)
    moved = point(cast, "champion", 2, "bia")
    assert (moved.id, moved.version.n) == (first.id, 2)
    remove_alias(command=cast.command("ana"), model="progression", alias="champion")
    with unchanged(refusals=0), pytest.raises(NotFound):
        remove_alias(command=cast.command("ana"), model="progression", alias="champion")
    point(cast, "champion", 1)
    events = Event.objects.filter(subject_id=first.id).order_by("subject_seq")
    assert [(event.verb, event.detail["version"]) for event in events] == [
        ("alias.set", "progression@1"),
        ("alias.set", "progression@2"),
        ("alias.removed", "progression@2"),
        ("alias.set", "progression@1"),
    ]
    assert events[0].subject_label == "progression@champion"


@pytest.mark.parametrize(
    "alias", ["", "3", "latest", "v3", "Champion", "a b", "a/b", "a" * 101, "champion\n"]
)
def test_names_an_alias_cannot_have(cast: Cast, version: ModelVersion, alias: str) -> None:
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="alias_invalid"):
        point(cast, alias, 1)


def test_what_an_alias_cannot_point_to(cast: Cast, version: ModelVersion) -> None:
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="version_unknown"):
        point(cast, "champion", 9)
    retire(cast, version)
    with unchanged(refusals=1), pytest.raises(Conflict, match="alias_to_retired"):
        point(cast, "champion", 1)
    with unchanged(refusals=1), pytest.raises(Forbidden):
        point(cast, "champion", 1, "bruno")


def test_one_alias_set_by_several_at_once(cast: Cast, version: ModelVersion) -> None:
    numbers = [1, *(lifecycle.another(cast, n).n for n in range(2, 5))]
    at_once(*[lambda n=n: point(cast, "champion", n) for n in numbers])
    assert Alias.objects.count() == 1
    gapless()


# Environments


def names(cast: Cast) -> list[tuple[str, int, bool]]:
    rows = Environment.objects.filter(workspace=cast.workspace).order_by("position")
    return [(row.name, row.position, row.exclusive) for row in rows]


def test_a_step_is_added_and_asked_for(cast: Cast, version: ModelVersion) -> None:
    lifecycle.live(cast, version)
    command = cast.command("rita")
    add_environment(command=command, name="pilot", exclusive=True, position=3)
    with unchanged(refusals=0):
        add_environment(command=command, name="pilot", exclusive=True, position=3)
    assert names(cast) == [
        ("development", 0, False),
        ("test", 1, False),
        ("homologation", 2, False),
        ("pilot", 3, True),
        ("production", 4, True),
    ]
    assert says(cast, version) == "allowed", "what is live stays"
    second = lifecycle.another(cast, 2)
    for environment in ("development", "test", "homologation"):
        study.ask(cast, second, environment)
        study.sequence()
    with unchanged(refusals=1), pytest.raises(Conflict, match="not_the_next_environment"):
        study.ask(cast, second, "production")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="no_policy"):
        study.ask(cast, second, "pilot")


def test_what_was_used_keeps_its_place(cast: Cast, version: ModelVersion) -> None:
    command = cast.command("rita")
    study.ask(cast, version, "development")
    for change in ({"position": 2}, {"exclusive": True}):
        with unchanged(refusals=1), pytest.raises(Conflict, match="environment_in_use"):
            change_environment(command=command, name="development", **change)
    with unchanged(refusals=0):
        change_environment(command=command, name="development", position=0, exclusive=False)
    change_environment(command=command, name="homologation", position=1, exclusive=True)
    assert [name for name, _, _ in names(cast)] == ["development", "homologation", "test", "production"]
    assert names(cast)[1] == ("homologation", 1, True)
    event = Event.objects.get(verb="environment.changed", outcome="done")
    assert event.detail["order"] == ["development", "homologation", "test", "production"]


def test_environments_that_cannot_be(cast: Cast) -> None:
    command = cast.command("rita")
    for name in ("", "Pilot", "a b", "x" * 61):
        with unchanged(refusals=1), pytest.raises(Unprocessable, match="name_invalid"):
            add_environment(command=command, name=name)
    for position in (-1, 5):
        with unchanged(refusals=1), pytest.raises(Unprocessable, match="position_invalid"):
            add_environment(command=command, name="pilot", position=position)
    with unchanged(refusals=1), pytest.raises(Conflict, match="environment_differs"):
        add_environment(command=command, name="production", exclusive=False)
    with unchanged(refusals=0), pytest.raises(NotFound):
        change_environment(command=command, name="moon", exclusive=True)
    for name in ("bia", "pipeline"):
        with unchanged(refusals=1), pytest.raises(Forbidden):
            add_environment(command=cast.command(name), name="pilot")
    for n in range(16):
        add_environment(command=command, name=f"step{n}")
    with unchanged(refusals=1), pytest.raises(Conflict, match="too_many_environments"):
        add_environment(command=command, name="pilot")


# Deployments


def deploy(cast: Cast, n: int, mode: str, environment: str = "production", **more: object) -> Deployment:
    return record_deployment(
        command=cast.command("bia"),
        model="progression",
        n=n,
        environment=environment,
        mode=mode,
        **more,
    ).value


def test_a_record_says_what_the_gate_said(cast: Cast, version: ModelVersion) -> None:
    outlaw = deploy(cast, 1, "live", location="https://scoring.example")
    assert (outlaw.allowed, outlaw.basis["code"]) == (False, "not_promoted")
    lifecycle.live(cast, version)
    assert deploy(cast, 1, "live", location="https://other.example").allowed
    outlaw.refresh_from_db()
    assert not outlaw.allowed, "what was recorded is what was true then"
    assert standing_of(version, outlaw.environment, "live")[0], "now it is allowed"
    suspend_version(command=cast.command("rita"), version_id=version.id, reason="r")
    found = deploy(cast, 1, "live", location="https://third.example")
    assert (found.allowed, found.basis["code"]) == (False, "version_suspended")


def test_what_only_listens_may_be_one_step_ahead(cast: Cast, version: ModelVersion) -> None:
    assert deploy(cast, 1, "shadow").basis["code"] == "not_promoted"
    lifecycle.step_to(cast, version, "homologation")
    assert deploy(cast, 1, "challenger").allowed is False, "the step before is not effective"
    study.sequence()
    for mode in ("shadow", "challenger"):
        found = deploy(cast, 1, mode, share=0.0)
        assert (found.allowed, found.basis["code"]) == (True, "listens_one_step_ahead")
    for mode in ("live", "canary", "ab", "blue_green"):
        assert not deploy(cast, 1, mode, share=0.5).allowed, "its answers reach people"


def test_a_roll_out_shares_with_the_one_before(cast: Cast, version: ModelVersion) -> None:
    lifecycle.live(cast, version)
    second = lifecycle.another(cast, 2)
    lifecycle.live(cast, second)
    assert deploy(cast, 2, "canary", share=0.1).basis["code"] == "allowed"
    assert deploy(cast, 1, "canary", share=0.9).basis["code"] == "rolled_over_from"
    assert deploy(cast, 1, "live").basis["code"] == "superseded"
    roll_back(command=cast.command("rita"), model="progression", environment="production", reason="r")
    found = deploy(cast, 2, "canary", share=0.2)
    assert (found.allowed, found.basis["code"]) == (False, "placement_withdrawn")


def test_the_same_is_recorded_once_and_ended_once(cast: Cast, version: ModelVersion) -> None:
    since = timezone.now() - timedelta(days=3)
    first = deploy(cast, 1, "live", location="cluster a", since=since, share=1.0)
    with unchanged(refusals=0):
        assert deploy(cast, 1, "live", location="cluster a", share=1.0).id == first.id
    command = cast.command("bia")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="until_before_since"):
        end_deployment(command=command, deployment_id=first.id, until=since - timedelta(seconds=1))
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="time_in_the_future"):
        end_deployment(command=command, deployment_id=first.id, until=timezone.now() + timedelta(days=1))
    with unchanged(refusals=1), pytest.raises(Forbidden):
        end_deployment(command=cast.command("bruno"), deployment_id=first.id)
    with unchanged(refusals=0), pytest.raises(NotFound):
        end_deployment(command=cast.command("davi"), deployment_id=first.id)
    assert end_deployment(command=command, deployment_id=first.id).value.until is not None
    with unchanged(refusals=1), pytest.raises(Conflict, match="deployment_over"):
        end_deployment(command=command, deployment_id=first.id)
    assert deploy(cast, 1, "live", location="cluster a", share=1.0).id != first.id


def test_records_that_cannot_be(cast: Cast, version: ModelVersion) -> None:
    for share in (-0.1, 1.1, float("nan"), float("inf")):
        with unchanged(refusals=1), pytest.raises(Unprocessable, match="share_invalid"):
            deploy(cast, 1, "canary", share=share)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="deployment_mode_unknown"):
        deploy(cast, 1, "dark")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="environment_unknown"):
        deploy(cast, 1, "live", "moon")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="time_in_the_future"):
        deploy(cast, 1, "live", since=timezone.now() + timedelta(hours=1))
    with unchanged(refusals=0), pytest.raises(NotFound):
        deploy(cast, 9, "live")
    found = deploy(cast, 1, "live")
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.filter(id=found.id).update(share=2)
