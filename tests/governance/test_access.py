"""Who may do what on what: scopes, groups, effectiveness, lapses, and every way of giving more than one has."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections
from django.db.utils import ProgrammingError
from django.test import Client
from django.utils import timezone

from audits.actors import Command, SubjectRef, authoriser, system_actor
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.ids import uuid7
from audits.models import Event
from audits.trail import events
from governance import access, scoping
from governance.actors import actor_of_person, actor_of_token
from governance.authority import roles_of_person
from governance.models import ApiToken, Grandfathered, Group, GroupMembership, RoleBinding, User
from governance.roles import GRANTS, ROLES
from governance.services import access as roles
from governance.services.aliases import set_alias
from governance.services.brownfield import Row, import_running
from governance.services.deployments import record_deployment
from governance.services.identity import Issued, issue_token
from governance.services.lapses import note_lapses
from registry import selectors
from registry.models import DatasetVersion, Model
from registry.services.models import register_model
from tests import scenario
from tests.cast import Cast
from tests.governance.watched import watched
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    """The cast, with Alma and Ugo, administrators, and Nina, who has no role."""
    cast = committed_cast
    for name in ("alma", "ugo", "nina"):
        cast.people[name] = User.objects.create_user(username=name, password=None, is_staff=True)
    for name in ("alma", "ugo"):
        give(cast, "shell", "administrator", person=cast.people[name])
    return cast


def shell(cast: Cast) -> Command:
    return Command(system_actor("shell", cast.workspace.id))


def give(cast: Cast, by: str, role: str, **more: Any) -> RoleBinding:
    command = shell(cast) if by == "shell" else cast.command(by)
    return roles.bind_role(command=command, role=role, **more).value


def may(cast: Cast, who: str, action: str, ref: SubjectRef | None = None) -> bool:
    return authoriser().may(cast.actor(who), action, ref)


def aged(binding: RoleBinding, days: float) -> None:
    """As if the binding had been given so long ago: what only the owner of the tables can do."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute(
            "UPDATE governance_role_binding SET created_at = created_at - %s WHERE id = %s",
            [timedelta(days=days), binding.id],
        )


# Effectiveness


def test_a_role_given_by_an_administrator_counts_once_published(cast: Cast) -> None:
    binding = give(cast, "alma", "validator", person=cast.people["nina"])
    assert not may(cast, "nina", "promotion.decide")
    assert roles_of_person(cast.workspace.id, cast.people["nina"].id) == frozenset()
    scenario.publish()
    assert may(cast, "nina", "promotion.decide")
    effective: Any = access.dated().get(id=binding.id)
    assert effective.effective_from > binding.created_at
    roles.unbind_role(command=cast.command("alma"), binding=binding)
    assert not may(cast, "nina", "promotion.decide"), "taking away waits for nothing"


def test_the_first_administrator_can_begin_before_any_notary(cast: Cast) -> None:
    assert may(cast, "alma", "role.bind")
    event = Event.objects.get(id=RoleBinding.objects.get(person=cast.people["alma"]).granted_event)
    assert (event.actor_kind, event.verb) == ("system", "role.bound")


@pytest.mark.past_the_door
def test_a_binding_without_its_event_or_with_a_quarantined_one_gives_nothing(cast: Cast) -> None:
    nina = cast.people["nina"]
    raw = {"workspace": cast.workspace, "role": "approver", "person": nina}
    RoleBinding.objects.create(**raw)
    assert not may(cast, "nina", "promotion.decide")
    other = give(cast, "shell", "validator", person=nina)
    assert may(cast, "nina", "promotion.decide")
    scenario.as_owner(
        "INSERT INTO audits_quarantine (event_id, code, found_at) VALUES (%s, 'mac', now())",
        other.granted_event,
    )
    assert not may(cast, "nina", "promotion.decide")


def test_the_service_itself_cannot_turn_one_binding_into_another(cast: Cast) -> None:
    binding = RoleBinding.objects.get(person=cast.people["bia"])
    for column, value in (
        ("role", "administrator"),
        ("granted_event", str(uuid7())),
        ("scope_kind", "service"),
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(f"UPDATE governance_role_binding SET {column} = %s", [value])
    binding.refresh_from_db()
    assert binding.role == "approver"


# Scopes


@pytest.fixture
def two(cast: Cast) -> tuple[Model, Model]:
    """Two models, each with a version, checks and a promotion: Nina may validate the first one only."""
    scenario.policies(cast)
    first = scenario.register(cast)
    other = scenario.register(
        cast, model="other", artifact=b"b", files={"training": scenario.HEADER + scenario.ROW * 3}
    )
    for version in (first, other):
        scenario.complete_checks(scenario.request(cast, version, "development"))
    give(cast, "shell", "validator", person=cast.people["nina"], scope="model", on=first.model.ref)
    return first.model, other.model


def test_a_role_for_one_model_covers_what_belongs_to_it_and_nothing_else(
    cast: Cast, two: tuple[Model, Model]
) -> None:
    from governance.models import Placement, Promotion

    mine, other = two
    for model, allowed in ((mine, True), (other, False)):
        version = model.versions.get()
        promotion = Promotion.objects.get(version=version)
        placement = Placement.objects.get(version=version)
        run = next(iter(scenario.runs_of(promotion).values()))
        for ref in (model.ref, version.ref, promotion.ref, placement.ref, run.ref):
            assert may(cast, "nina", "promotion.decide", ref) is allowed, ref
    for ref in (None, cast.workspace.ref, version.evaluation.ref, version.evaluation.dataset.ref):
        assert not may(cast, "nina", "promotion.decide", ref)
    assert not may(cast, "nina", "model.register")


def test_who_may_see_one_model_gets_404_for_the_other_everywhere(
    cast: Cast, two: tuple[Model, Model], client: Client
) -> None:
    from governance.models import Promotion

    mine, other = two

    def get(path: str) -> Any:
        return client.get(f"/api/v1/{path}", headers=cast.headers("nina"))

    for model, status in ((mine, 200), (other, 404)):
        version = model.versions.get()
        promotion = Promotion.objects.get(version=version)
        run = next(iter(scenario.runs_of(promotion).values()))
        training = version.training.get()
        paths = [
            f"models/{model.name}",
            f"models/{model.name}/versions",
            f"models/{model.name}/versions/1",
            f"promotions/{promotion.id}",
            f"check-runs/{run.id}",
            f"datasets/diabetes-training/versions/{training.n}",
            f"lineage?nodeId=model:crivo:{version.label}",
        ]
        assert [get(path).status_code for path in paths] == [status] * len(paths), model
        post = client.post(
            f"/api/v1/models/{model.name}/versions/1/promotions",
            {"to": "test", "reason": "r"},
            content_type="application/json",
            headers=cast.headers("nina"),
        )
        assert post.status_code == (403 if status == 200 else 404)
        gate = get(f"gate?digest={version.artifact_digest}&environment=development").json()
        assert [reason["code"] for reason in gate["reasons"]] == (
            ["not_effective_yet"] if status == 200 else ["unknown_digest"]
        )
    lists = {
        path: [row.get("name") or row.get("model") for row in get(path).json()["results"]]
        for path in ("models", "promotions", "use-cases", "datasets")
    }
    assert lists == {
        "models": ["diabetes"],
        "promotions": ["diabetes"],
        "use-cases": ["diabetes-progression"],
        "datasets": ["diabetes-evaluation", "diabetes-training"],
    }
    assert get("access/bindings").status_code == 403
    assert get("audit/events").status_code == 403


def test_lineage_is_cut_off_where_nothing_may_be_seen_and_says_so(
    cast: Cast, two: tuple[Model, Model], client: Client
) -> None:
    label = DatasetVersion.objects.get(dataset__name="diabetes-evaluation").label
    path = f"/api/v1/lineage?nodeId=dataset:crivo:{label}&direction=down"
    seen = {name: client.get(path, headers=cast.headers(name)).json() for name in ("nina", "ana")}
    assert [node["name"] for node in seen["nina"]["nodes"]] == [label, "diabetes@1"]
    assert seen["nina"]["truncated"] is True
    assert [node["name"] for node in seen["ana"]["nodes"]] == [label, "diabetes@1", "other@1"]
    assert seen["ana"]["truncated"] is False


def test_an_auditor_of_one_model_reads_its_events_only(cast: Cast, two: tuple[Model, Model]) -> None:
    mine, _ = two
    give(cast, "shell", "auditor", person=cast.people["nina"], scope="model", on=mine.ref)
    labels = {(row.subject_kind, row.subject_label) for row in events(cast.actor("nina"))}
    assert labels == {
        ("model", "diabetes"),
        ("model_version", "diabetes@1"),
        ("promotion", "diabetes@1 → development"),
        ("placement", "diabetes@1 in development"),
        *((row.subject_kind, row.subject_label) for row in events(cast.actor("clara")).filter(
            subject_kind="check_run", subject_label__contains="diabetes@1")),
        *(("role_binding", row.role) for row in RoleBinding.objects.filter(scope_id=mine.id)),
    }  # fmt: skip


def test_a_role_for_one_dataset(cast: Cast, two: tuple[Model, Model]) -> None:
    dataset = DatasetVersion.objects.filter(dataset__name="diabetes-training")[0].dataset
    davina = cast.people["davina"] = User.objects.create_user(username="davina")
    give(cast, "shell", "data_scientist", person=davina, scope="dataset", on=dataset.ref)
    actor = cast.actor("davina")
    assert [row.name for row in selectors.datasets(actor)] == ["diabetes-training"]
    assert selectors.dataset_versions(actor).count() == 2
    assert not selectors.models(actor).exists()
    assert may(cast, "davina", "dataset_version.register", dataset.ref)
    assert not may(cast, "davina", "dataset.register")
    assert not may(cast, "nina", "dataset_version.register", dataset.ref)


def test_a_role_for_the_service_holds_in_every_workspace(cast: Cast) -> None:
    give(cast, "shell", "auditor", person=cast.people["nina"], scope="service")
    for workspace in (cast.workspace, cast.elsewhere):
        assert authoriser().may(actor_of_person(cast.people["nina"], workspace), "audit.read")
    assert not authoriser().may(actor_of_person(cast.people["clara"], cast.elsewhere), "audit.read")


@pytest.mark.past_the_door
def test_every_kind_in_the_table_of_subjects_resolves(cast: Cast) -> None:
    scenario.policies(cast)
    placement = scenario.promoted(cast, scenario.register(cast), "homologation")
    model = ("model", placement.model_id)
    evaluation = placement.version.evaluation
    owners = {
        placement.model.ref: model,
        placement.version.ref: model,
        placement.promotion.ref: model,
        placement.ref: model,
        evaluation.ref: ("dataset", evaluation.dataset_id),
        evaluation.dataset.ref: ("dataset", evaluation.dataset_id),
        SubjectRef("decision", placement.promotion.decisions.get().id): model,
    }
    alias = set_alias(command=cast.command("rita"), model="diabetes", alias="champion", n=1).value
    deployed = record_deployment(
        command=cast.command("bia"), model="diabetes", n=1, environment="test", mode="live"
    ).value
    old = Row(model="diabetes", digest=f"sha256:{'1' * 64}", environment="production")
    import_running(command=cast.command("rita"), rows=[old])
    owners |= dict.fromkeys((alias.ref, deployed.ref, Grandfathered.objects.get().ref), model)
    rows = watched(cast, placement.version, placement.promotion).values()
    owners |= dict.fromkeys((row.ref for row in rows), model)
    assert {ref.kind for ref in owners} == set(scoping.SUBJECTS)
    for ref, owner in owners.items():
        assert scoping.owner_of(ref) == owner, ref
        assert scoping.owner_of(SubjectRef(ref.kind, uuid7())) is None


def test_every_kind_of_subject_is_somebodys_or_the_workspaces() -> None:
    """A kind that came later and is in neither table would be the workspace's by accident."""
    kinds = {"check_run", "explanation", "role_binding"}  # these ask their own subject
    for model in apps.get_models():
        ref = getattr(model, "ref", None)
        if isinstance(ref, property) and ref.fget is not None:
            (kind,) = re.findall(r'SubjectRef\(\s*"(\w+)"', inspect.getsource(ref.fget)) or [None]
            if kind:
                kinds.add(kind)
    known = set(scoping.SUBJECTS) | scoping.WORKSPACE_WIDE | {"check_run", "explanation", "role_binding"}
    assert kinds <= known, kinds - known
    assert not set(scoping.SUBJECTS) & scoping.WORKSPACE_WIDE


def test_a_validator_of_one_model_fills_a_slot_there_only(cast: Cast) -> None:
    scenario.policies(cast)
    version = scenario.register(cast)
    other = register_model(command=cast.command("pipeline"), name="other").value
    for name, model in (("nina", version.model), ("bia", other)):
        give(cast, "shell", "validator", person=cast.people[name], scope="model", on=model.ref)
    for environment in ("development", "test"):
        scenario.complete_checks(scenario.request(cast, version, environment))
        scenario.publish()
    promotion = scenario.complete_checks(scenario.request(cast, version, "homologation"))
    with unchanged(refusals=1), pytest.raises(Forbidden, match="role_without_slot"):
        scenario.word(cast, "bia", promotion)
    scenario.word(cast, "nina", promotion)
    assert promotion.state == "granted"


# Groups


def test_a_group_carries_its_roles_to_its_members_from_publication_to_removal(cast: Cast) -> None:
    nina = cast.people["nina"]
    group = roles.create_group(command=cast.command("alma"), name="validators").value
    give(cast, "alma", "validator", group=group)
    roles.add_member(command=cast.command("alma"), group=group, person=nina)
    assert not may(cast, "nina", "promotion.decide")
    scenario.publish()
    assert may(cast, "nina", "promotion.decide")
    before = timezone.now()
    roles.remove_member(command=cast.command("alma"), group=group, person=nina)
    assert not may(cast, "nina", "promotion.decide")
    assert access.of_person(nina.id, before).count() == 1
    verbs = Event.objects.filter(subject_kind="group").order_by("subject_seq").values_list("verb", flat=True)
    assert list(verbs) == ["group.created", "group.member_added", "group.member_removed"]
    again = roles.remove_member(command=cast.command("alma"), group=group, person=nina)
    assert (again.created, Event.objects.filter(subject_kind="group").count()) == (False, 3)


# Giving


def refuse(
    cast: Cast, by: str, error: type[Exception], code: str, role: str = "validator", **more: Any
) -> None:
    with unchanged(refusals=1), pytest.raises(error, match=code):
        give(cast, by, role, **more)


def test_nobody_gives_to_themselves_by_whatever_way(cast: Cast) -> None:
    alma = cast.people["alma"]
    group = roles.create_group(command=cast.command("ugo"), name="board").value
    roles.add_member(command=cast.command("ugo"), group=group, person=alma)
    token = issue_token(
        command=cast.command("alma"), person=alma, name="robot", kind="service",
        scopes=["gate:read"], lifetime=timedelta(days=1), issued=Issued(),
    ).value  # fmt: skip
    refuse(cast, "alma", Conflict, "own_role", person=alma)
    refuse(cast, "alma", Conflict, "own_role", group=group)
    refuse(cast, "alma", Conflict, "own_role", token=token)
    with unchanged(refusals=1), pytest.raises(Conflict, match="own_role"):
        roles.add_member(command=cast.command("alma"), group=group, person=alma)


def test_nobody_gives_what_they_do_not_hold_where_they_hold_it(cast: Cast) -> None:
    nina, bruno = cast.people["nina"], cast.people["bruno"]
    mine = register_model(command=cast.command("pipeline"), name="mine").value
    other = register_model(command=cast.command("pipeline"), name="other").value
    give(cast, "shell", "administrator", person=nina, scope="model", on=mine.ref)
    for name in ("bia", "ana", "clara", "rita", "pipeline"):
        refuse(cast, name, Forbidden, "not_permitted", person=bruno)
    refuse(cast, "nina", Forbidden, "not_permitted", person=bruno)
    refuse(cast, "nina", Forbidden, "not_permitted", person=bruno, scope="model", on=other.ref)
    refuse(cast, "nina", Forbidden, "not_permitted", person=bruno, scope="service")
    refuse(cast, "alma", Forbidden, "not_permitted", person=bruno, scope="service")
    assert give(cast, "nina", "approver", person=bruno, scope="model", on=mine.ref).scope_id == mine.id
    assert set(GRANTS) == {"administrator"}
    assert {slug for slug, role in ROLES.items() if "role.bind" in role.actions} == set(GRANTS)


def test_who_administers_one_model_puts_nobody_into_a_group_with_more(cast: Cast) -> None:
    mine = register_model(command=cast.command("pipeline"), name="mine").value
    give(cast, "shell", "administrator", person=cast.people["nina"], scope="model", on=mine.ref)
    group = roles.create_group(command=cast.command("alma"), name="board").value
    give(cast, "alma", "administrator", group=group)
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        roles.add_member(command=cast.command("nina"), group=group, person=cast.people["bruno"])
    binding = RoleBinding.objects.get(person=cast.people["bia"])
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        roles.unbind_role(command=cast.command("nina"), binding=binding)


@pytest.mark.past_the_door
def test_what_does_not_fit(cast: Cast) -> None:
    nina = cast.people["nina"]
    model = register_model(command=cast.command("pipeline"), name="mine").value
    refuse(cast, "alma", Unprocessable, "role_unknown", role="king", person=nina)
    refuse(cast, "alma", Unprocessable, "scope_subject", person=nina, scope="model")
    refuse(cast, "alma", Unprocessable, "scope_subject", person=nina, on=model.ref)
    refuse(cast, "alma", Unprocessable, "scope_kind_unknown", person=nina, scope="planet")
    refuse(cast, "alma", Unprocessable, "recertify_every_invalid", person=nina, recertify_every=timedelta(0))
    foreign = register_model(command=cast.command("davi"), name="theirs").value
    with unchanged(refusals=0), pytest.raises(NotFound):
        give(cast, "alma", "validator", person=nina, scope="model", on=foreign.ref)
    theirs = Group.objects.create(workspace=cast.elsewhere, name="theirs")
    with unchanged(refusals=0), pytest.raises(NotFound):
        give(cast, "alma", "validator", group=theirs)


def test_the_same_binding_again_changes_nothing(cast: Cast) -> None:
    give(cast, "alma", "validator", person=cast.people["nina"])
    with unchanged(refusals=0):
        again = roles.bind_role(command=cast.command("alma"), role="validator", person=cast.people["nina"])
    assert again.created is False


# Lapses


@pytest.mark.past_the_door
def test_a_role_lapses_unless_somebody_else_says_it_is_needed(cast: Cast) -> None:
    binding = RoleBinding.objects.get(person=cast.people["bia"])
    aged(binding, 364.9)
    assert may(cast, "bia", "promotion.decide")
    aged(binding, 0.2)
    assert not may(cast, "bia", "promotion.decide")
    for name, error, code in (("bia", Forbidden, "not_permitted"), ("clara", Forbidden, "not_permitted")):
        with unchanged(refusals=1), pytest.raises(error, match=code):
            roles.recertify_role(command=cast.command(name), binding=binding, reason="I like it.")
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="reason_missing"):
        roles.recertify_role(command=cast.command("alma"), binding=binding, reason=" ")
    roles.recertify_role(command=cast.command("alma"), binding=binding, reason="Bia still approves.")
    assert not may(cast, "bia", "promotion.decide"), "a recertification counts once published, like a grant"
    scenario.publish()
    assert may(cast, "bia", "promotion.decide")


def test_nobody_recertifies_their_own(cast: Cast) -> None:
    own = RoleBinding.objects.get(person=cast.people["alma"])
    with unchanged(refusals=1), pytest.raises(Conflict, match="own_recertification"):
        roles.recertify_role(command=cast.command("alma"), binding=own, reason="Me.")
    roles.recertify_role(command=cast.command("ugo"), binding=own, reason="Alma still administers.")
    roles.unbind_role(command=cast.command("ugo"), binding=own)
    with unchanged(refusals=1), pytest.raises(Conflict, match="role_revoked"):
        roles.recertify_role(command=cast.command("ugo"), binding=own, reason="Late.")


@pytest.mark.past_the_door
def test_a_lapsed_role_is_given_anew_and_the_sweep_tells_once(cast: Cast) -> None:
    binding = RoleBinding.objects.get(person=cast.people["bia"])
    aged(binding, 366)
    assert note_lapses() == 1
    assert note_lapses() == 0
    event = Event.objects.get(verb="role.lapsed")
    assert (event.subject_id, event.actor_kind) == (binding.id, "system")
    again = give(cast, "alma", "approver", person=cast.people["bia"])
    assert again.id != binding.id
    scenario.publish()
    assert may(cast, "bia", "promotion.decide")
    binding.refresh_from_db()
    assert binding.revoked_at is not None


@pytest.mark.past_the_door
def test_a_membership_past_the_door_gives_nothing(cast: Cast) -> None:
    group = roles.create_group(command=shell(cast), name="validators").value
    give(cast, "shell", "validator", group=group)
    GroupMembership.objects.create(group=group, person=cast.people["nina"], added_event=uuid7())
    assert not may(cast, "nina", "promotion.decide")


# Tokens


@pytest.mark.past_the_door
def test_a_token_issues_no_token_that_can_more(cast: Cast) -> None:
    token = ApiToken.objects.create(
        workspace=cast.workspace, public_id="narrow", secret_hash="x", name="narrow", kind="personal",
        person=cast.people["alma"], scopes=["admin"], expires_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    command = Command(actor_of_token(token), token=token.id)
    about = {"person": cast.people["alma"], "name": "t", "lifetime": timedelta(days=1), "issued": Issued()}
    with unchanged(refusals=1), pytest.raises(Forbidden, match="scopes_beyond_own"):
        issue_token(command=command, kind="personal", scopes=["admin", "audit:read"], **about)
    issue_token(command=command, kind="personal", scopes=["admin"], **about)
    with unchanged(refusals=1), pytest.raises(Forbidden, match="personal_token_of_another"):
        issue_token(
            command=command, kind="personal", scopes=["admin"], **{**about, "person": cast.people["bia"]}
        )
