"""Somebody outside signs off through a link: once, on the dossier they saw, and with no more rights than that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import ProgrammingError, connections, transaction
from django.test import Client
from django.utils import timezone

from audits.actors import Command
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.models import Event
from audits.sealing import texts_of
from governance import selectors
from governance.models import Decision, Promotion, SignoffInvitation, User
from governance.services.access import bind_role
from governance.services.settling import settle_waiting
from governance.services.signoffs import (
    Link,
    decide_by_link,
    guest,
    invitation_of,
    invite_signoff,
    revoke_signoff,
)
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.console.markup import read
from tests.governance.test_promotions import by, concurrently
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
OUTSIDE = study.HOMOLOGATION.replace(
    "{role: validator, count: 1}", "{role: validator, count: 1}, {role: customer, count: 1}"
)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def promotion(cast: Cast) -> Promotion:
    version = study.study(cast)
    study.put_in_force(cast, OUTSIDE)
    return waiting(cast, version)


def waiting(cast: Cast, version: ModelVersion) -> Promotion:
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    return study.finish_checks(study.ask(cast, version, "homologation"))


def invited(cast: Cast, promotion: Promotion, who: str = "bia", **given: Any) -> str:
    link = Link()
    given = {"role": "customer", "name": "Eva Lima", "email": "eva@example.org", **given}
    invite_signoff(
        command=cast.command(who),
        promotion_id=promotion.id,
        lifetime=given.pop("lifetime", timedelta(days=7)),
        link=link,
        **given,
    )
    return link.text


def signed(link: str, digest: str, verdict: str = "approve") -> Decision:
    return decide_by_link(
        command=Command(guest(invitation_of(link))),
        link=link,
        verdict=verdict,
        reason="as agreed",
        dossier_digest=digest,
    ).value


def test_the_customer_completes_the_quorum(cast: Cast, promotion: Promotion) -> None:
    by(cast, "bruno", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval"
    decision = signed(invited(cast, promotion), promotion.dossier_digest)
    promotion.refresh_from_db()
    assert promotion.state == "granted"
    invitation = SignoffInvitation.objects.get()
    assert (decision.role, decision.person_id) == ("customer", invitation.actor_id)
    event = Event.objects.get(id=decision.event_id)
    assert (event.verb, event.actor_kind, event.actor_id) == (
        "promotion.decided",
        "person",
        invitation.actor_id,
    )
    assert selectors.names_of([invitation.actor_id]) == {invitation.actor_id: "Eva Lima"}


def test_who_has_an_account_signs_off_by_role(cast: Cast, promotion: Promotion) -> None:
    """A customer or business owner with an account decides like a reviewer, in that slot, on that model alone."""
    for name in ("eva", "olga"):
        cast.people[name] = User.objects.create_user(
            username=name, is_staff=True, email=f"{name}@example.org"
        )
    model = promotion.version.model.ref
    for name, role in (("eva", "customer"), ("olga", "business_owner")):
        bind_role(command=study.shell(cast), role=role, person=cast.people[name], scope="model", on=model)
    by(cast, "bruno", promotion)
    with unchanged(refusals=2):
        with pytest.raises(Unprocessable) as inside:
            invited(cast, promotion, email="eva@example.org")
        with pytest.raises(Forbidden) as without:
            by(cast, "olga", promotion)  # the policy asks for a customer, not for the business
    assert (inside.value.code, without.value.code) == ("signoff_person_inside", "role_without_slot")
    assert by(cast, "eva", promotion).role == "customer"
    promotion.refresh_from_db()
    assert promotion.state == "granted"


def test_who_they_are_stays_outside_the_leaf(cast: Cast, promotion: Promotion) -> None:
    link = invited(cast, promotion)
    event = Event.objects.get(verb="signoff.invited")
    texts = {name: text for (_, name), text in texts_of([event.id]).items()}
    assert texts == {"name": "Eva Lima", "email": "eva@example.org"}
    assert set(event.texts) == {"name", "email"}
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT to_jsonb(e)::text FROM audits_event e WHERE id = %s", [event.id])
        leaf = cursor.fetchone()[0]
        cursor.execute("SELECT to_jsonb(i)::text FROM governance_signoff_invitation i")
        row = cursor.fetchone()[0]
    for secret in ("Eva", "eva@", link, link[12:52]):
        assert secret not in leaf
        assert secret not in row


@pytest.mark.parametrize(
    ("name", "given", "error", "code"),
    [
        ("bia", {"role": "business_owner"}, Unprocessable, "signoff_not_asked"),
        ("bia", {"role": "validator"}, Unprocessable, "signoff_not_asked"),
        ("bia", {"name": " "}, Unprocessable, "signoff_person_invalid"),
        ("bia", {"name": "x" * 201}, Unprocessable, "signoff_person_invalid"),
        ("bia", {"email": "nobody"}, Unprocessable, "signoff_person_invalid"),
        ("bia", {"email": "ANA@example.org"}, Unprocessable, "signoff_person_inside"),
        ("bia", {"lifetime": timedelta(0)}, Unprocessable, "signoff_lifetime"),
        ("bia", {"lifetime": timedelta(days=31)}, Unprocessable, "signoff_lifetime"),
        ("bruno", {}, Forbidden, "not_permitted"),
        ("pipeline", {}, Forbidden, "not_permitted"),
        ("davi", {}, NotFound, "not_found"),
    ],
)
def test_invitations_that_are_refused(
    cast: Cast, promotion: Promotion, name: str, given: dict[str, Any], error: Any, code: str
) -> None:
    cast.people["ana"].email = "ana@example.org"
    cast.people["ana"].save()
    with unchanged(refusals=0 if name == "davi" else 1), pytest.raises(error, match=code):
        invited(cast, promotion, name, **given)


def test_whoever_had_a_hand_in_it_invites_nobody(cast: Cast, promotion: Promotion) -> None:
    from governance.services.identity import bind_role

    bind_role(command=study.shell(cast), role="approver", person=cast.people["ana"])
    with unchanged(refusals=1), pytest.raises(Forbidden, match="separation_of_duties"):
        invited(cast, promotion, "ana")


def test_a_link_works_once(cast: Cast, promotion: Promotion) -> None:
    link = invited(cast, promotion)
    signed(link, promotion.dossier_digest)
    with unchanged(refusals=1), pytest.raises(Conflict, match="signoff_used"):
        signed(link, promotion.dossier_digest)


def test_two_clicks_at_once_are_one_decision(cast: Cast, promotion: Promotion) -> None:
    link = invited(cast, promotion)
    outcomes = concurrently(lambda: signed(link, promotion.dossier_digest), times=4)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 3 + ["Decision"]
    assert Decision.objects.count() == 1


def test_an_expired_link_and_a_revoked_one(
    cast: Cast, promotion: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, other = invited(cast, promotion), invited(cast, promotion, email="rui@example.org")
    revoked = invitation_of(other)
    given = {"promotion_id": promotion.id, "invitation_id": revoked.id}
    revoke_signoff(command=cast.command("bia"), **given)
    with unchanged(refusals=0):
        assert not revoke_signoff(command=cast.command("bia"), **given).created
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        revoke_signoff(command=cast.command("bruno"), **given)
    with unchanged(refusals=1), pytest.raises(Conflict, match="signoff_revoked"):
        signed(other, promotion.dossier_digest)
    later = timezone.now() + timedelta(days=8)
    monkeypatch.setattr("governance.services.signoffs.timezone.now", lambda: later)
    with unchanged(refusals=1), pytest.raises(Conflict, match="signoff_expired"):
        signed(link, promotion.dossier_digest)
    assert Client().get(f"/signoff/{link}").status_code == 410


def test_a_tampered_link_is_none(cast: Cast, promotion: Promotion) -> None:
    link = invited(cast, promotion)
    swapped = "B" if link[20] == "A" else "A"
    with unchanged(refusals=0):
        for text in (
            link[:-1] + ("0" if link[-1] != "0" else "1"),
            link[:20] + swapped + link[21:],
            link[1:],
            link + "0",
            "a" * 68,
            "x",
        ):
            with pytest.raises(NotFound):
                invitation_of(text)
            assert Client().get(f"/signoff/{text}").status_code == 404


@pytest.mark.past_the_door
@pytest.mark.parametrize("change", ["expires_at = expires_at + interval '9 days'", "role = 'business_owner'",
                                    "actor_id = gen_random_uuid()"])  # fmt: skip
def test_an_invitation_changed_in_the_database_is_void(cast: Cast, promotion: Promotion, change: str) -> None:
    link = invited(cast, promotion)
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        SignoffInvitation.objects.update(expires_at=timezone.now())
    with connections["migrator"].cursor() as cursor:
        cursor.execute(f"UPDATE governance_signoff_invitation SET {change}")
    with pytest.raises(NotFound):
        invitation_of(link)


def test_the_decision_is_pinned_to_the_dossier(cast: Cast, promotion: Promotion) -> None:
    link = invited(cast, promotion)
    seen = promotion.dossier_digest
    study.put_in_force(cast, OUTSIDE.replace("min: 0.8", "min: 0.81"))
    with unchanged(refusals=1), pytest.raises(Conflict, match="policy_changed"):
        signed(link, seen)
    settle_waiting()
    promotion.refresh_from_db()
    with unchanged(refusals=1), pytest.raises(Conflict, match="promotion_not_awaiting"):
        signed(link, seen)
    study.finish_checks(promotion)
    with unchanged(refusals=1), pytest.raises(Conflict, match="dossier_changed"):
        signed(link, seen)
    assert signed(link, promotion.dossier_digest).role == "customer"


def test_one_address_fills_one_slot(cast: Cast, promotion: Promotion) -> None:
    study.put_in_force(cast, OUTSIDE.replace("{role: customer, count: 1}", "{role: customer, count: 2}"))
    settle_waiting()
    promotion.refresh_from_db()
    study.finish_checks(promotion)
    first, second = invited(cast, promotion), invited(cast, promotion, email=" EVA@example.org")
    signed(first, promotion.dossier_digest)
    with unchanged(refusals=1), pytest.raises(Conflict, match="already_decided"):
        signed(second, promotion.dossier_digest)


def test_a_link_is_nobody_elses(cast: Cast, promotion: Promotion) -> None:
    link = invited(cast, promotion)
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        decide_by_link(
            command=cast.command("ana"),
            link=link,
            verdict="approve",
            reason="mine",
            dossier_digest=promotion.dossier_digest,
        )
    actor = guest(invitation_of(link))
    assert not selectors.promotions(actor).exists(), "a guest sees nothing but the page behind the link"


def test_the_page_shows_what_is_signed_and_takes_the_word(cast: Cast, promotion: Promotion) -> None:
    link, client = invited(cast, promotion), Client(enforce_csrf_checks=True)
    answer = client.get(f"/signoff/{link}")
    assert answer.status_code == 200
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer["Cache-Control"]
    page = read(answer)
    assert "progression@1 → homologation" in page.text
    assert "Bruno" not in page.text
    assert "Ana" not in page.text
    given = {name: page.value_of(name) for name in ("dossier_digest", "key", "csrfmiddlewaretoken")}
    assert given["dossier_digest"] == promotion.dossier_digest
    given |= {"verdict": "approve", "reason": "as agreed"}
    with unchanged(refusals=0):
        forged = {name: value for name, value in given.items() if name != "csrfmiddlewaretoken"}
        assert client.post(f"/signoff/{link}", forged).status_code == 403
    with unchanged(refusals=1):
        refused = client.post(f"/signoff/{link}", {**given, "reason": " ", "key": ""})
    assert refused.status_code == 422
    assert "Give a reason" in read(refused).text
    for _ in range(2):  # a double click
        assert "Your decision is recorded." in read(client.post(f"/signoff/{link}", given)).text
    assert Decision.objects.get().role == "customer"
    assert client.get(f"/signoff/{link}").status_code == 410


def test_over_http(cast: Cast, promotion: Promotion) -> None:
    client, path = Client(), f"/api/v1/promotions/{promotion.id}/signoffs"
    body = {"role": "customer", "name": "Eva Lima", "email": "eva@example.org"}

    def post(name: str, where: str = path, **headers: str) -> Any:
        return client.post(
            where, body, content_type="application/json", headers={**cast.headers(name), **headers}
        )

    made = post("bia", **{"Idempotency-Key": "one"})
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    assert client.get(made.json()["url"]).status_code == 200
    again = post("bia", **{"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["id"], again.json()["url"]) == (201, made.json()["id"], None)
    (listed,) = client.get(path, headers=cast.headers("bruno")).json()["results"]
    assert (listed["state"], listed["name"], listed["url"]) == ("open", "Eva Lima", None)
    revocation = f"{path}/{made.json()['id']}/revocation"
    assert post("bia", revocation).json()["state"] == "revoked"
    assert client.get(made.json()["url"]).status_code == 410
    assert post("davi").status_code == 404
