"""Whose word counts: tokens, roles that went away, other people's requests, and what a header may claim."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audits.actors import Command, system_actor
from audits.errors import Conflict, Forbidden, NotFound
from audits.models import Event
from governance.models import ApiToken, Decision, Promotion, User
from governance.roles import ROLES, SCOPES
from governance.services.identity import Issued, bind_role, issue_token, revoke_token, unbind_role
from governance.states import PromotionState
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def waiting(cast: Cast) -> Promotion:
    version = study.study(cast)
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    return study.finish_checks(study.ask(cast, version, "homologation"))


def post(client: Client, headers: dict[str, str], path: str, body: Any, **more: str) -> Any:
    given = {**headers, **more}
    return client.post(f"/api/v1/{path}", body, content_type="application/json", headers=given)


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def approval(promotion: Promotion) -> dict[str, str]:
    return {"verdict": "approve", "reason": "figures seen", "dossier_digest": promotion.dossier_digest}


def shell(cast: Cast) -> Command:
    return Command(system_actor("shell", cast.workspace.id))


def token(cast: Cast, person: User, kind: str, scopes: list[str]) -> tuple[ApiToken, dict[str, str]]:
    issued = Issued()
    row = issue_token(
        command=shell(cast), person=person, name="t", kind=kind, scopes=scopes,
        lifetime=timedelta(hours=1), issued=issued,
    ).value  # fmt: skip
    return row, {"Authorization": f"Bearer {issued.text}"}


def test_a_service_token_never_decides_whatever_it_was_given(
    cast: Cast, client: Client, waiting: Promotion
) -> None:
    row, headers = token(cast, cast.people["bruno"], "service", list(SCOPES))
    for role in ROLES:
        bind_role(command=shell(cast), role=role, token=row)
    with unchanged(refusals=1):
        client.get("/api/v1/me", headers=headers)
        answer = post(client, headers, f"promotions/{waiting.id}/decisions", approval(waiting))
        assert outcome(answer) == (403, "not_permitted")
    assert not Decision.objects.exists()


def test_a_token_without_the_scope_does_not_decide_for_its_person(
    cast: Cast, client: Client, waiting: Promotion
) -> None:
    narrow = [scope for scope in SCOPES if scope != "promotion:decide"]
    _, headers = token(cast, cast.people["bruno"], "personal", narrow)
    answer = post(client, headers, f"promotions/{waiting.id}/decisions", approval(waiting))
    assert outcome(answer) == (403, "not_permitted")


def test_a_role_taken_away_binds_the_next_request_of_every_token(
    cast: Cast, client: Client, waiting: Promotion
) -> None:
    headers = cast.headers("bruno")
    assert client.get(f"/api/v1/promotions/{waiting.id}", headers=headers).status_code == 200
    unbind_role(command=shell(cast), binding=cast.people["bruno"].bindings.get())
    answer = post(client, headers, f"promotions/{waiting.id}/decisions", approval(waiting))
    assert outcome(answer) == (404, "not_found")
    assert client.get("/api/v1/me", headers=headers).json()["roles"] == []


def test_a_person_who_left_has_no_tokens(cast: Cast, client: Client) -> None:
    personal, service = cast.headers("ana"), cast.headers("pipeline")
    User.objects.filter(id=cast.people["ana"].id).update(is_active=False)
    for headers in (personal, service):
        assert outcome(client.get("/api/v1/me", headers=headers)) == (401, "not_authenticated")


@pytest.mark.past_the_door
def test_expiry_and_revocation_at_the_edge(cast: Cast, client: Client) -> None:
    row, headers = token(cast, cast.people["ana"], "personal", ["registry:read"])
    ApiToken.objects.filter(id=row.id).update(expires_at=timezone.now())
    assert client.get("/api/v1/me", headers=headers).status_code == 401
    ApiToken.objects.filter(id=row.id).update(expires_at=timezone.now() + timedelta(minutes=1))
    assert client.get("/api/v1/me", headers=headers).status_code == 200
    revoke_token(command=cast.command("ana"), token=row)
    assert client.get("/api/v1/me", headers=headers).status_code == 401


@pytest.mark.parametrize("change", ["secret", "id", "short", "long"])
def test_a_token_that_is_almost_right(cast: Cast, client: Client, change: str) -> None:
    text = cast.token("ana")
    kind, public, secret = text.split("_", 2)
    flipped = "b" if secret[0] == "a" else "a"
    wrong = {
        "secret": f"{kind}_{public}_{flipped}{secret[1:]}",
        "id": f"{kind}_{cast.pipeline_token.public_id}_{secret}",
        "short": text[:-1],
        "long": text + "a",
    }[change]
    answer = client.get("/api/v1/me", headers={"Authorization": f"Bearer {wrong}"})
    assert answer.status_code == 401


def test_only_who_asked_withdraws(cast: Cast, client: Client, waiting: Promotion) -> None:
    """The pipeline asked; Ana answers for it. Otto, another data scientist, and reviewers have their own ways."""
    otto = User.objects.create_user(username="otto")
    bind_role(command=shell(cast), role="data_scientist", person=otto)
    _, his = token(cast, otto, "personal", list(SCOPES))
    path, body = f"promotions/{waiting.id}/withdrawal", {"reason": "not this one"}
    with unchanged(refusals=1):
        client.get("/api/v1/me", headers=his)
        assert outcome(post(client, his, path, body)) == (403, "not_the_requester")
    assert outcome(post(client, cast.headers("bruno"), path, body)) == (403, "not_permitted")
    assert post(client, cast.headers("ana"), path, body).status_code == 200
    waiting.refresh_from_db()
    assert waiting.state == PromotionState.WITHDRAWN


def test_the_pipeline_that_asked_withdraws(cast: Cast, client: Client, waiting: Promotion) -> None:
    answer = post(client, cast.headers("pipeline"), f"promotions/{waiting.id}/withdrawal", {"reason": "r"})
    assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn")


def test_a_key_belongs_to_its_principal_and_path(cast: Cast, client: Client) -> None:
    key = {"Idempotency-Key": "one"}
    first = post(client, cast.headers("pipeline"), "datasets", {"name": "mine"}, **key)
    assert first.status_code == 201
    # Another principal, and another path, with the same key: nothing of the first answer is shown or kept from them.
    other = post(client, cast.headers("ana"), "datasets", {"name": "hers"}, **key)
    assert (other.status_code, other.json()["name"]) == (201, "hers")
    model = post(client, cast.headers("pipeline"), "models", {"name": "mine"}, **key)
    assert (model.status_code, "latest" in model.json()) == (201, True)
    stranger = post(client, cast.headers("davi"), "datasets", {"name": "mine"}, **key)
    assert stranger.status_code == 201
    assert stranger.json()["id"] != first.json()["id"]


def test_a_request_id_is_a_name_not_a_key(cast: Cast, client: Client) -> None:
    """Somebody else's request id can be repeated: the trail still says who each of the two was."""
    named = str(uuid4())
    for who, name in (("pipeline", "one"), ("ana", "two")):
        answer = post(client, cast.headers(who), "datasets", {"name": name}, **{"X-Request-Id": named})
        assert answer.headers["X-Request-Id"] == named
    events = Event.objects.filter(request_id=UUID(named))
    assert {event.actor_id for event in events} == {cast.pipeline_token.id, cast.people["ana"].id}
    answer = client.get("/api/v1/me", headers={**cast.headers("ana"), "X-Request-Id": "../../etc\x7f"})
    assert UUID(answer.headers["X-Request-Id"])


def test_nobody_gives_themselves_a_role(cast: Cast) -> None:
    bind_role(command=shell(cast), role="administrator", person=cast.people["ana"])
    with pytest.raises(Conflict):
        bind_role(command=cast.command("ana"), role="approver", person=cast.people["ana"])
    with pytest.raises(Forbidden):
        bind_role(command=cast.command("bruno"), role="approver", person=cast.people["ana"])


def test_nobody_gets_a_token_to_act_as_somebody_else(cast: Cast) -> None:
    """Not even an administrator: with Bruno's token they could decide in Bruno's place."""
    bind_role(command=shell(cast), role="administrator", person=cast.people["clara"])
    given = {"name": "t", "scopes": ["promotion:decide"], "lifetime": timedelta(hours=1)}
    for kind in ("personal", "service"):
        issued, clara = Issued(), cast.command("clara")
        if kind == "personal":
            with unchanged(refusals=1), pytest.raises(Forbidden, match="personal_token_of_another"):
                issue_token(command=clara, person=cast.people["bruno"], kind=kind, issued=issued, **given)
            assert issued.text == ""
            issue_token(command=clara, person=cast.people["clara"], kind=kind, issued=issued, **given)
        else:
            issue_token(command=clara, person=cast.people["bruno"], kind=kind, issued=issued, **given)
        assert issued.text.startswith("crv_")


def test_an_administrator_reaches_no_other_workspace(cast: Cast) -> None:
    bind_role(command=shell(cast), role="administrator", person=cast.people["clara"])
    theirs = cast.people["davi"].bindings.get()
    issued = Issued()
    foreign = issue_token(
        command=Command(system_actor("shell", cast.elsewhere.id)), person=cast.people["davi"], name="t",
        kind="personal", scopes=["registry:read"], lifetime=timedelta(hours=1), issued=issued,
    ).value  # fmt: skip
    with pytest.raises(NotFound):
        unbind_role(command=cast.command("clara"), binding=theirs)
    with pytest.raises(NotFound):
        revoke_token(command=cast.command("clara"), token=foreign)
    with pytest.raises(NotFound):
        bind_role(command=cast.command("clara"), role="auditor", token=foreign)
    foreign.refresh_from_db()
    theirs.refresh_from_db()
    assert (foreign.revoked_at, theirs.revoked_at) == (None, None)


@pytest.mark.parametrize(
    "given",
    [
        {"reason": "a\x00b", "verdict": "approve"},
        {"reason": "r", "verdict": "x" * 100_000},
        {"reason": "r" * 5000, "verdict": "approve"},
        {"reason": "r", "verdict": "approve", "dossier_digest": "\x00" * 200},
        {},
    ],
)
def test_a_bent_form_changes_nothing(
    cast: Cast, client: Client, waiting: Promotion, given: dict[str, str]
) -> None:
    client.force_login(cast.people["bruno"])
    with unchanged(refusals=1):
        answer = client.post(reverse("admin:decide", args=[waiting.id]), given)
        assert answer.status_code in (403, 409, 422), answer.content
