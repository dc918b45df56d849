"""Back to what was live before: one call, two events, and a gap in which nothing is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audits.errors import Conflict, Forbidden, NotFound, Problem, Unprocessable
from audits.models import Event
from governance.models import Placement
from governance.services.decisions import decide
from governance.services.identity import bind_role
from governance.services.retirements import retire_version
from governance.services.rollbacks import roll_back
from governance.services.suspensions import reinstate_placement, suspend_placement, suspend_version
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
def versions(cast: Cast) -> list[ModelVersion]:
    """Three versions that were live in production one after the other."""
    found = [lifecycle.open_ways(cast), lifecycle.another(cast, 2), lifecycle.another(cast, 3)]
    for version in found:
        lifecycle.live(cast, version)
    return found


def back(cast: Cast, name: str = "rita", to: int | None = None, environment: str = "production") -> Placement:
    return roll_back(
        command=cast.command(name),
        model="progression",
        environment=environment,
        reason="too many alarms",
        to=to,
    ).value


def answers(cast: Cast, versions: list[ModelVersion]) -> list[str]:
    return [says(cast, version) for version in versions]


def states() -> list[str]:
    rows = Placement.objects.filter(environment__name="production").order_by("version__n")
    return list(rows.values_list("state", flat=True))


def test_one_call_and_a_gap_in_which_nothing_is_allowed(cast: Cast, versions: list[ModelVersion]) -> None:
    assert answers(cast, versions) == ["superseded", "superseded", "allowed"]
    before = Event.objects.count()
    assert back(cast).version_id == versions[1].id
    assert Event.objects.count() == before + 2
    # The first one must not come back for a moment, though its successor is granted and not effective.
    assert answers(cast, versions) == ["superseded", "not_effective_yet", "placement_withdrawn"]
    study.sequence()
    assert answers(cast, versions) == ["superseded", "allowed", "placement_withdrawn"]
    last = list(Event.objects.order_by("at").values_list("verb", "outcome"))[-2:]
    assert last == [("placement.withdrawn", "done"), ("placement.restored", "done")]
    gapless()


def test_one_step_after_the_other(cast: Cast, versions: list[ModelVersion]) -> None:
    back(cast)
    with unchanged(refusals=1), pytest.raises(Conflict, match="rollback_not_effective_yet"):
        back(cast)
    study.sequence()
    assert back(cast).version_id == versions[0].id
    study.sequence()
    assert answers(cast, versions) == ["allowed", "placement_withdrawn", "placement_withdrawn"]
    with unchanged(refusals=1), pytest.raises(Conflict, match="nothing_to_roll_back_to"):
        back(cast)


def test_to_a_named_version_and_forward_again_by_a_new_request(
    cast: Cast, versions: list[ModelVersion]
) -> None:
    assert back(cast, to=1).version_id == versions[0].id
    study.sequence()
    assert answers(cast, versions) == ["allowed", "superseded", "placement_withdrawn"]
    with unchanged(refusals=1), pytest.raises(Conflict, match="placement_withdrawn"):
        back(cast, to=3)
    with unchanged(refusals=1), pytest.raises(Conflict, match="never_live_there"):
        back(cast, to=1)
    with unchanged(refusals=1), pytest.raises(Conflict, match="never_live_there"):
        back(cast, to=9)
    lifecycle.live(cast, versions[2], effective=False)
    assert answers(cast, versions) == ["allowed", "superseded", "not_effective_yet"]
    study.sequence()
    assert answers(cast, versions) == ["superseded", "superseded", "allowed"]
    assert back(cast).version_id == versions[0].id, "what was live last, not what has the next number"


def test_suspended_first_and_rolled_back_then(cast: Cast, versions: list[ModelVersion]) -> None:
    current = Placement.objects.get(version=versions[2], environment__name="production")
    suspend_placement(command=cast.command("bruno"), placement_id=current.id, reason="odd")
    back(cast)
    study.sequence()
    assert answers(cast, versions) == ["superseded", "allowed", "placement_withdrawn"]
    with unchanged(refusals=1), pytest.raises(Conflict, match="placement_transition"):
        reinstate_placement(command=cast.command("bia"), placement_id=current.id, reason="r")


def test_a_grant_that_does_not_count_yet_is_taken_back(cast: Cast, versions: list[ModelVersion]) -> None:
    fourth = lifecycle.another(cast, 4)
    lifecycle.live(cast, fourth, effective=False)
    assert says(cast, versions[2]) == "allowed", "it stands in"
    assert back(cast).version_id == versions[2].id
    assert answers(cast, [*versions, fourth])[2:] == ["not_effective_yet", "placement_withdrawn"]
    study.sequence()
    assert answers(cast, [*versions, fourth])[2:] == ["allowed", "placement_withdrawn"]


def test_what_never_counted_is_no_way_back(cast: Cast) -> None:
    """Two are granted before one checkpoint: the first was never live for a moment."""
    versions = [lifecycle.open_ways(cast), lifecycle.another(cast, 2), lifecycle.another(cast, 3)]
    lifecycle.live(cast, versions[0])
    waiting = [lifecycle.step_to(cast, version, "production") for version in versions[1:]]
    for promotion in waiting:
        lifecycle.approve(cast, promotion)
    study.sequence()
    assert answers(cast, versions) == ["superseded", "superseded", "allowed"]
    with unchanged(refusals=1), pytest.raises(Conflict, match="never_live_there"):
        back(cast, to=2)
    assert back(cast).version_id == versions[0].id


@pytest.mark.parametrize("stopped", ["suspended", "retired"])
def test_only_to_what_may_still_be_used(cast: Cast, versions: list[ModelVersion], stopped: str) -> None:
    command = cast.command("rita")
    if stopped == "suspended":
        suspend_version(command=command, version_id=versions[1].id, reason="r")
    else:
        retire_version(command=command, version_id=versions[1].id, reason="r")
    with unchanged(refusals=1), pytest.raises(Conflict, match=f"version_{stopped}"):
        back(cast, to=2)
    assert back(cast).version_id == versions[0].id


def test_not_to_a_suspended_placement(cast: Cast, versions: list[ModelVersion]) -> None:
    older = Placement.objects.get(version=versions[1], environment__name="production")
    suspend_placement(command=cast.command("rita"), placement_id=older.id, reason="r")
    with unchanged(refusals=1), pytest.raises(Conflict, match="placement_suspended"):
        back(cast, to=2)
    reinstate_placement(command=cast.command("bia"), placement_id=older.id, reason="r")
    with unchanged(refusals=1), pytest.raises(Conflict, match="reinstatement_not_effective_yet"):
        back(cast, to=2)
    study.sequence()
    assert back(cast, to=2).version_id == versions[1].id


def test_who_may_and_where(cast: Cast, versions: list[ModelVersion]) -> None:
    for name in ("bruno", "pipeline", "clara"):
        with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
            back(cast, name)
    with unchanged(refusals=0), pytest.raises(NotFound):
        back(cast, "davi")
    with unchanged(refusals=1), pytest.raises(Conflict, match="environment_not_exclusive"):
        back(cast, environment="test")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="environment_unknown"):
        back(cast, environment="moon")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        roll_back(command=cast.command("rita"), model="progression", environment="production", reason=" ")


def test_a_deployer_rolls_back_without_reading_the_registry(cast: Cast, versions: list[ModelVersion]) -> None:
    shell = cast.command("rita")
    from audits.actors import Command, system_actor

    bind_role(
        command=Command(system_actor("shell", shell.actor.workspace)),
        role="deployer",
        person=cast.people["davi"],
    )
    from governance.actors import actor_of_person

    deployer = Command(actor_of_person(cast.people["davi"], cast.workspace))
    placement = roll_back(
        command=deployer, model="progression", environment="production", reason="on call"
    ).value
    assert placement.version_id == versions[1].id


def outcome(call: Callable[[], Any]) -> Callable[[], str]:
    def run() -> str:
        try:
            call()
        except Problem as problem:
            return problem.code
        return "done"

    return run


def test_two_rollbacks_at_once_are_one_step(cast: Cast, versions: list[ModelVersion]) -> None:
    found = at_once(*[outcome(lambda name=name: back(cast, name)) for name in ("rita", "bia", "rita", "bia")])
    assert sorted(found).count("done") == 1
    assert set(found) <= {"done", "changed_meanwhile", "rollback_not_effective_yet"}
    assert states() == ["superseded", "live", "withdrawn"]
    assert Event.objects.filter(verb="placement.restored", outcome="done").count() == 1
    assert Event.objects.filter(verb="placement.restored", outcome="refused").count() == 3
    gapless()
    study.sequence()
    assert answers(cast, versions) == ["superseded", "allowed", "placement_withdrawn"]


def test_a_rollback_and_a_grant_at_once(cast: Cast, versions: list[ModelVersion]) -> None:
    """Either order leaves one live placement, and never two answers."""
    fourth = lifecycle.another(cast, 4)
    promotion = lifecycle.step_to(cast, fourth, "production")
    promotion.refresh_from_db()

    def grant() -> None:
        decide(
            command=cast.command("bruno"),
            promotion_id=promotion.id,
            verdict="approve",
            reason="read",
            dossier_digest=promotion.dossier_digest,
        )

    found = at_once(outcome(grant), outcome(lambda: back(cast)))
    assert found[0] == "done"
    assert found[1] in ("done", "changed_meanwhile")
    assert states().count("live") == 1
    gapless()
    study.sequence()
    assert answers(cast, [*versions, fourth]).count("allowed") == 1


def test_a_suspension_during_the_grant(cast: Cast) -> None:
    """The version is suspended while its last approval comes in: whoever is second meets the other's result."""
    version = lifecycle.open_ways(cast)
    promotion = lifecycle.step_to(cast, version, "production")
    promotion.refresh_from_db()

    def grant() -> None:
        decide(
            command=cast.command("bruno"),
            promotion_id=promotion.id,
            verdict="approve",
            reason="read",
            dossier_digest=promotion.dossier_digest,
        )

    def stop() -> None:
        suspend_version(command=cast.command("rita"), version_id=version.id, reason="r")

    found = at_once(outcome(grant), outcome(stop))
    assert found[1] == "done"
    assert found[0] in ("done", "promotion_not_awaiting")
    promotion.refresh_from_db()
    assert promotion.state == ("granted" if found[0] == "done" else "refused")
    assert says(cast, version) in ("version_suspended", "not_promoted")
    study.sequence()
    assert says(cast, version) in ("version_suspended", "not_promoted")
    gapless()


def test_suspend_and_roll_back_at_once(cast: Cast, versions: list[ModelVersion]) -> None:
    current = Placement.objects.get(version=versions[2], environment__name="production")

    def stop() -> None:
        suspend_placement(command=cast.command("bruno"), placement_id=current.id, reason="r")

    found = at_once(outcome(stop), outcome(lambda: back(cast)))
    assert "done" in found
    assert set(found) <= {"done", "changed_meanwhile", "placement_transition"}
    study.sequence()
    assert says(cast, versions[2]) != "allowed"
    assert answers(cast, versions).count("allowed") <= 1
    gapless()
