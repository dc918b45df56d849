"""Every role × every address of the API and of the console: what the table of roles says is what happens.

The addresses come from the URL resolver: one that is missing here fails the test. Nothing answers 5xx, and what is
refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from django.contrib import admin
from django.test import Client

from audits.actors import Command, system_actor
from governance.models import Promotion, User
from governance.roles import ROLES, SCOPES
from governance.services.access import bind_role
from tests.cast import Cast
from tests.governance.addresses import CALLS, PUBLIC
from tests.governance.ground import Ground, Principal, code_of, lay, made, principal, routes
from tests.governance.screens import SCREENS, address_of, one_of
from tests.snapshot import assert_unchanged, digests, unchanged

# What watches over a version is put there as rows: no one service makes all of it without weeks going by.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]
FEW = 5


@pytest.fixture
def ground(committed_cast: Cast) -> Ground:
    return lay(committed_cast)


def check_refused(client: Client, ground: Ground, who: Principal) -> int:
    """Everything `who` may not: 404 or nothing for what they may not see, else 403. Returns the events due."""
    events = 0
    for route, call in CALLS.items():
        what = f"{who.name}: {route}"
        if not call.seen_by(who.actions):
            answer = made(client, ground, route, who.headers)
            if call.listed:
                assert (answer.status_code, answer.json()["results"]) == (200, []), what
            else:
                assert answer.status_code == 404, (what, answer.content)
                assert code_of(answer) in ("not_found", "node_unknown"), what
        elif not call.done_by(who.actions):
            answer = made(client, ground, route, who.headers)
            assert (answer.status_code, code_of(answer)) == (403, "not_permitted"), (what, answer.content)
            events += call.remembered
    return events


def check_permitted(client: Client, ground: Ground, who: Principal, routes: Iterable[str]) -> None:
    """Whatever else is wrong with it, it is not for want of permission."""
    for route in routes:
        call = CALLS[route]
        if call.seen_by(who.actions) and call.done_by(who.actions):
            answer = made(client, ground, route, who.headers)
            what = (who.name, route, answer.status_code, getattr(answer, "content", b"")[:300])
            assert answer.status_code < 500, what
            assert answer.status_code != 401, what
            if not call.removes:
                assert code_of(answer) not in ("not_permitted", "not_found", "node_unknown"), what
            if call.listed:
                assert answer.json()["results"], what


def test_every_address_has_its_row() -> None:
    """An address nobody wrote a row for, or a public one nobody named, is a red test."""
    assert set(routes()) == set(CALLS) | PUBLIC
    assert not set(CALLS) & PUBLIC


def test_what_is_public_answers_without_a_token_and_nothing_else_does(
    committed_cast: Cast, ground: Ground
) -> None:
    client = Client()
    for route in sorted(PUBLIC):
        method, address = ground.address(route)
        assert method == "GET"
        assert client.get(address).status_code in (200, 404), route
    for path in ("/healthz", "/readyz", "/.well-known/jwks.json", "/api/v1/schema", "/admin/login/"):
        assert client.get(path).status_code in (200, 503), path


def test_every_role_on_every_address(committed_cast: Cast, ground: Ground) -> None:
    client = Client(raise_request_exception=False)
    every = list(ROLES)
    people = [principal(committed_cast, slug.replace("_", "-"), [slug]) for slug in every]
    people += [
        principal(committed_cast, "nobody", []),
        principal(committed_cast, "service", every, kind="service"),
        *(  # every scope in one of them, beside scopes it has nothing to do with
            principal(committed_cast, f"only-{n}", every, scopes=frozenset(list(SCOPES)[n::FEW]))
            for n in range(FEW)
        ),
    ]
    before = digests()
    due = sum(check_refused(client, ground, who) for who in people)
    assert_unchanged(before, digests(), refusals=due)
    staying = [route for route, call in CALLS.items() if not call.removes]
    for who in people:
        check_permitted(client, ground, who, staying)
    for route in sorted(set(CALLS) - set(staying)):
        able = [
            who for who in people if CALLS[route].does in who.actions and CALLS[route].seen_by(who.actions)
        ]
        assert made(client, ground, route, able[0].headers).status_code == 204, route
        assert made(client, ground, route, able[1].headers).status_code == 404, route


def test_another_workspace_and_nobody(committed_cast: Cast, ground: Ground) -> None:
    """With every role elsewhere, nothing here is there; without a token, nothing at all."""
    client = Client(raise_request_exception=False)
    stranger = principal(committed_cast, "stranger", list(ROLES), elsewhere=True)
    with unchanged(refusals=0):
        for route in CALLS:
            answer = made(client, ground, route, {})
            assert answer.status_code == 401, route
            if "<" in route:
                answer = made(client, ground, route, stranger.headers)
                assert answer.status_code == 404, (route, answer.content)
    promotion = Promotion.objects.get(id=ground.ids["promotion_id"])
    assert promotion.state == "awaiting_approval"


def test_every_page_of_the_console_has_its_row() -> None:
    assert {pattern.name for pattern in admin.site.extra_urls()} == set(SCREENS)


def test_the_console(committed_cast: Cast, ground: Ground) -> None:
    """Anonymous: to the login. Without a role: 403. What may not be seen is not found; what may not be done, 403."""

    def visit(person: User | None) -> dict[str, int]:
        client = Client(raise_request_exception=False)
        if person is not None:
            client.force_login(person)
        found = {}
        for name, screen in SCREENS.items():
            address = address_of(name, ground)
            answer = client.get(address) if screen.post is None else client.post(address, screen.post)
            found[name] = answer.status_code
        return found

    assert set(visit(None).values()) == {302}
    for slug, role in [("", None), *ROLES.items()]:
        person = User.objects.create_user(username=f"visits-{slug}", is_staff=True)
        if role is None:
            assert set(visit(person).values()) == {403}
            continue
        bind_role(
            command=Command(system_actor("shell", committed_cast.workspace.id)), role=slug, person=person
        )
        for name, status in visit(person).items():
            screen, what = SCREENS[name], (slug, name, status)
            if screen.sees and not one_of(screen.sees, role.actions):
                assert status == 404, what
            elif screen.does and not one_of(screen.does, role.actions):
                assert status == screen.refused, what
            else:
                assert status in (200, 302, 409, 422, *screen.also), what
    assert Promotion.objects.get(id=ground.ids["promotion_id"]).state == "awaiting_approval"
