"""Stopping and letting go on: what the gate says at each moment, who may, and that a refusal changes nothing."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from audits.actors import Command
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.models import Event
from governance.models import Placement, Promotion, Suspension
from governance.services.identity import bind_role
from governance.services.suspensions import (
    reinstate_placement,
    reinstate_version,
    suspend_placement,
    suspend_version,
    withdraw_placement,
)
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance import lifecycle
from tests.governance.lifecycle import says
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    return lifecycle.open_ways(cast)


@pytest.fixture
def placement(cast: Cast, version: ModelVersion) -> Placement:
    return lifecycle.live(cast, version)


def suspend(cast: Cast, placement: Placement, name: str = "rita") -> Placement:
    return suspend_placement(
        command=cast.command(name), placement_id=placement.id, reason="odd answers"
    ).value


def reinstate(cast: Cast, placement: Placement, name: str = "bia") -> Placement:
    return reinstate_placement(
        command=cast.command(name), placement_id=placement.id, reason="looked at it"
    ).value


def test_a_suspension_binds_at_commit_and_a_reinstatement_once_published(
    cast: Cast, version: ModelVersion, placement: Placement
) -> None:
    assert says(cast, version) == "allowed"
    suspend(cast, placement)
    assert says(cast, version) == "placement_suspended"
    assert says(cast, version, "homologation") == "allowed", "only where it was suspended"
    study.sequence()
    assert reinstate(cast, placement).state == "live"
    assert says(cast, version) == "reinstatement_not_effective_yet"
    study.sequence()
    assert says(cast, version) == "allowed"
    suspension = Suspension.objects.get()
    assert suspension.person_id == cast.people["rita"].id
    assert suspension.lifted_by == cast.people["bia"].id
    verbs = (
        Event.objects.filter(subject_id=placement.id).order_by("subject_seq").values_list("verb", flat=True)
    )
    assert list(verbs) == ["placement.granted", "placement.suspended", "placement.reinstated"]


def test_it_can_be_suspended_again_before_the_reinstatement_counts(
    cast: Cast, version: ModelVersion, placement: Placement
) -> None:
    suspend(cast, placement)
    reinstate(cast, placement)
    suspend(cast, placement, "bia")
    study.sequence()
    assert says(cast, version) == "placement_suspended"
    reinstate(cast, placement, "bruno")
    assert says(cast, version) == "reinstatement_not_effective_yet"
    study.sequence()
    assert says(cast, version) == "allowed"


def test_whoever_suspended_does_not_let_it_go_on(cast: Cast, placement: Placement) -> None:
    suspend(cast, placement, "bruno")
    with unchanged(refusals=1), pytest.raises(Forbidden, match="own_suspension"):
        reinstate(cast, placement, "bruno")
    with unchanged(refusals=1), pytest.raises(Forbidden, match="separation_of_duties"):
        reinstate(cast, placement, "ana")  # a validator, but the author
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        reinstate(cast, placement, "rita")
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        reinstate(cast, placement, "pipeline")
    assert reinstate(cast, placement, "bia").state == "live"


def test_even_past_the_service_a_suspension_is_lifted_once_and_by_another(
    cast: Cast, placement: Placement
) -> None:
    suspend(cast, placement, "bruno")
    row = Suspension.objects.get()
    for change in (
        {"lifted_event": row.event_id, "lifted_by": row.person_id},
        {"person_id": cast.people["bia"].id},
        {"lifted_by": cast.people["bia"].id},
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            Suspension.objects.filter(id=row.id).update(**change)
    reinstate(cast, placement, "bia")
    with pytest.raises(DatabaseError), transaction.atomic():
        Suspension.objects.filter(id=row.id).update(lifted_event=None, lifted_by=None)


@pytest.mark.parametrize("name", ["pipeline", "clara"])
def test_who_may_not_suspend(cast: Cast, placement: Placement, name: str) -> None:
    with unchanged(refusals=1), pytest.raises(Forbidden, match=r"not_permitted .*placement.suspend"):
        suspend(cast, placement, name)
    with unchanged(refusals=1), pytest.raises(Forbidden, match=r"not_permitted .*placement.withdraw"):
        withdraw_placement(command=cast.command(name), placement_id=placement.id, reason="r")
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        suspend_version(command=cast.command(name), version_id=placement.version_id, reason="r")


def test_from_another_workspace_there_is_nothing(cast: Cast, placement: Placement) -> None:
    bind_role(
        command=Command(cast.command("davi").actor.__class__("system", placement.id, cast.elsewhere.id)),
        role="risk_manager",
        person=cast.people["davi"],
    )
    with unchanged(refusals=0), pytest.raises(NotFound):
        suspend(cast, placement, "davi")
    with unchanged(refusals=0), pytest.raises(NotFound):
        suspend_version(command=cast.command("davi"), version_id=placement.version_id, reason="r")


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 4001])
def test_a_reason_is_given(cast: Cast, placement: Placement, reason: str) -> None:
    command = cast.command("bia")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        suspend_placement(command=command, placement_id=placement.id, reason=reason)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        withdraw_placement(command=command, placement_id=placement.id, reason=reason)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        suspend_version(command=command, version_id=placement.version_id, reason=reason)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        reinstate_placement(command=command, placement_id=placement.id, reason=reason)


def test_twice_is_refused(cast: Cast, placement: Placement) -> None:
    with unchanged(refusals=1), pytest.raises(Conflict, match="placement_transition"):
        reinstate(cast, placement)
    suspend(cast, placement)
    with unchanged(refusals=1), pytest.raises(Conflict, match="placement_transition"):
        suspend(cast, placement)
    suspend_version(command=cast.command("bia"), version_id=placement.version_id, reason="r")
    with unchanged(refusals=1), pytest.raises(Conflict, match="version_transition"):
        suspend_version(command=cast.command("bia"), version_id=placement.version_id, reason="r")


def test_withdrawn_is_for_good_and_the_way_back_is_a_new_request(
    cast: Cast, version: ModelVersion, placement: Placement
) -> None:
    withdraw_placement(command=cast.command("bia"), placement_id=placement.id, reason="contract ended")
    assert says(cast, version) == "placement_withdrawn"
    with unchanged(refusals=1), pytest.raises(Conflict, match="placement_transition"):
        reinstate(cast, placement)
    again = lifecycle.live(cast, version, effective=False)
    assert again.id != placement.id
    assert says(cast, version) == "not_effective_yet"
    study.sequence()
    assert says(cast, version) == "allowed"


def test_a_suspended_version_is_stopped_everywhere_and_so_are_its_requests(
    cast: Cast, version: ModelVersion
) -> None:
    waiting = lifecycle.step_to(cast, version, "production")
    assert waiting.state == "awaiting_approval"
    suspend_version(command=cast.command("rita"), version_id=version.id, reason="wrong labels")
    for environment in ("development", "test", "homologation"):
        assert says(cast, version, environment) == "version_suspended"
    waiting.refresh_from_db()
    assert (waiting.state, waiting.outcome["code"]) == ("refused", "version_suspended")
    with unchanged(refusals=1), pytest.raises(Conflict, match="promotion_not_awaiting"):
        lifecycle.approve(cast, waiting)
    with unchanged(refusals=1), pytest.raises(Conflict, match="version_not_registered"):
        study.ask(cast, version, "production")
    with unchanged(refusals=1), pytest.raises(Forbidden, match="separation_of_duties"):
        reinstate_version(command=cast.command("ana"), version_id=version.id, reason="mine")
    reinstate_version(command=cast.command("bruno"), version_id=version.id, reason="labels were right")
    assert says(cast, version, "test") == "reinstatement_not_effective_yet"
    study.sequence()
    assert says(cast, version, "test") == "allowed"
    assert lifecycle.step_to(cast, version, "production").state == "awaiting_approval"


def test_a_suspended_step_ends_the_requests_that_rest_on_it(cast: Cast, version: ModelVersion) -> None:
    waiting = lifecycle.step_to(cast, version, "production")
    suspend(cast, Placement.objects.get(version=version, environment__name="homologation"))
    waiting.refresh_from_db()
    assert (waiting.state, waiting.outcome["code"]) == ("refused", "placement_suspended")
    with unchanged(refusals=1), pytest.raises(Conflict, match="suspended_there"):
        study.ask(cast, version, "homologation")
    assert Promotion.objects.filter(state="granted").count() == 3


def test_reinstated_behind_the_one_that_took_its_place(
    cast: Cast, version: ModelVersion, placement: Placement
) -> None:
    suspend(cast, placement)
    second = lifecycle.another(cast, 2)
    lifecycle.live(cast, second)
    assert reinstate(cast, placement).state == "superseded"
    study.sequence()
    assert (says(cast, version), says(cast, second)) == ("superseded", "allowed")


def test_a_suspended_predecessor_does_not_come_back_live(
    cast: Cast, version: ModelVersion, placement: Placement
) -> None:
    """Superseded, then suspended; its successor is withdrawn. Reinstated it is what it was: superseded."""
    second = lifecycle.live(cast, lifecycle.another(cast, 2))
    suspend(cast, placement)
    withdraw_placement(command=cast.command("bia"), placement_id=second.id, reason="r")
    assert reinstate(cast, placement).state == "superseded"
    study.sequence()
    assert says(cast, version) == "superseded"


def test_the_same_artefact_live_and_suspended_is_ambiguous(cast: Cast, version: ModelVersion) -> None:
    lifecycle.live(cast, version)
    twin = study.model_version(cast, artifact=b"a model", name="screening")
    assert twin.artifact_digest == version.artifact_digest
    lifecycle.live(cast, twin)
    assert says(cast, version) == "allowed"
    suspend_version(command=cast.command("rita"), version_id=version.id, reason="r")
    assert says(cast, version) == "ambiguous"
    reinstate_version(command=cast.command("bia"), version_id=version.id, reason="r")
    assert says(cast, version) == "ambiguous", "until it is effective"
    study.sequence()
    assert says(cast, version) == "allowed"


def test_suspended_before_the_grant_counts(cast: Cast, version: ModelVersion) -> None:
    placement = lifecycle.live(cast, version, effective=False)
    suspend(cast, placement)
    study.sequence()
    assert says(cast, version) == "placement_suspended"
