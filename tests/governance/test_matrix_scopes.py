"""Every kind of scope × every kind of principal × every address and page, from the table of roles.

What is expected is worked out of three things: which actions a role has (governance.roles), what an address belongs
to (tests.governance.addresses), and the rule that a binding reaches its workspace, or its one model or dataset and no
other. A row there says what is asked, never what comes of it.

Nobody's refusals change a row, so all of them are made for good, between two looks at every table. What is permitted
would: each of those is asked of the same state, and rolled back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from audits.actors import SubjectRef
from governance import tokens
from governance.authority import NEVER_BY_SERVICE_TOKEN
from governance.models import ApiToken, Group, GroupMembership, RoleBinding, User
from governance.roles import ROLES, SCOPES
from registry.models import DatasetVersion, ModelVersion
from tests.cast import Cast
from tests.governance.addresses import ANYWHERE, CALLS, DATASET, MODEL, Call, belongs, shown_with
from tests.governance.ground import Ground, code_of, lay, made
from tests.governance.screens import SCREENS, address_of
from tests.snapshot import assert_unchanged, digests

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]

PLACES = ("service", "workspace", "this model", "another model", "this dataset", "another dataset")
WIDE = frozenset(PLACES[:2])
HERE = {MODEL: "this model", DATASET: "this dataset"}
ELSEWHERE = ("another model", "another dataset")
KINDS = ("person", "group", "token")
NOT_FOUND = ("not_found", "node_unknown")


def covering(*on: str) -> frozenset[str]:
    """The places from which a binding reaches what belongs to one of these."""
    return frozenset(PLACES) if ANYWHERE in on else WIDE | {HERE[each] for each in on if each in HERE}


@dataclass(frozen=True)
class Bearer:
    """Somebody with roles, each at its place."""

    name: str
    kind: str
    held: tuple[tuple[str, str], ...]  # (role, place)
    person: User
    headers: dict[str, str]

    def may(self, action: str, places: frozenset[str]) -> bool:
        if self.kind == "token" and action in NEVER_BY_SERVICE_TOKEN:
            return False
        return any(place in places and action in ROLES[role].actions for role, place in self.held)

    def reaches(self, *places: str) -> bool:
        return any(place in (*WIDE, *places) for _, place in self.held)

    def sees(self, wanted: str | tuple[str, ...] | None, on: tuple[str, ...]) -> bool:
        actions = (wanted,) if isinstance(wanted, str) else wanted
        return actions is None or any(self.may(action, covering(*on)) for action in actions)

    def expected(self, sees: Any, shown: tuple[str, ...], does: Any, on: str) -> int:
        """404 for what may not be seen, 403 for what may not be done, else 0."""
        if not self.sees(sees, shown):
            return 404
        return 0 if self.sees(does, (on,)) else 403

    def at(self, route: str) -> int:
        call = CALLS[route]
        found = self.expected(call.sees, shown_with(route, call), call.does, belongs(route, call))
        return found or (0 if self.sees(call.names, (MODEL,)) else 404)

    def on_page(self, name: str) -> int:
        screen = SCREENS[name]
        return self.expected(screen.sees, screen.shown, screen.does, screen.belongs)


@dataclass
class Registrar:
    """Gives roles in every way there is: as rows, since each by its service would take longer than all questions."""

    cast: Cast
    ground: Ground

    def bearer(self, kind: str, *held: tuple[str, str]) -> Bearer:
        """In force at once: the event of each grant is one of the operator's shell."""
        given = RoleBinding.objects.get(id=self.ground.ids["binding_id"]).granted_event
        name = "-".join(
            (kind, *sorted({place.replace(" ", "-") for _, place in held}), str(len(held)), held[0][0])
        )
        name, here = name.replace("_", "-"), self.cast.workspace
        person = User.objects.create(username=name, is_staff=True)
        text, public_id, secret_hash = tokens.new_token()
        token = ApiToken.objects.create(
            workspace=here, public_id=public_id, secret_hash=secret_hash, name=name, person=person,
            kind="service" if kind == "token" else "personal", scopes=sorted(SCOPES),
            expires_at=timezone.now() + timedelta(hours=1), last_used_at=timezone.now(),
        )  # fmt: skip
        principal: dict[str, Any] = {"person": person} if kind == "person" else {"token": token}
        if kind == "group":
            principal = {"group": Group.objects.create(workspace=here, name=name)}
            GroupMembership.objects.create(group=principal["group"], person=person, added_event=given)
        rows = []
        for role, place in held:
            on = self.subjects.get(place)
            far = (
                place == "service" and kind == "person"
            )  # for the whole service, in whatever workspace given
            rows.append(
                RoleBinding(
                    workspace=self.cast.elsewhere if far else here,
                    role=role,
                    granted_event=given,
                    scope_kind=on.kind if on else place,
                    scope_id=on.id if on else None,
                    **principal,
                )
            )
        RoleBinding.objects.bulk_create(rows)
        return Bearer(name, kind, held, person, {"Authorization": f"Bearer {text}"})

    @property
    def subjects(self) -> dict[str, SubjectRef]:
        ground = self.ground
        return dict(
            zip(
                PLACES[2:],
                (ground.model, ground.other_model, ground.dataset, ground.other_dataset),
                strict=True,
            )
        )

    def with_every_role(self, kinds: tuple[str, ...] = KINDS) -> list[Bearer]:
        """What all roles together do not permit at a place, none of them does."""
        return [self.bearer(kind, *((role, place) for role in ROLES)) for place in PLACES for kind in kinds]

    def with_one_role(self) -> list[Bearer]:
        """Each role on this model and on this dataset, by one kind of principal after the other."""
        pairs = [(role, place) for place in HERE.values() for role in ROLES]
        return [self.bearer(KINDS[n % len(KINDS)], pair) for n, pair in enumerate(pairs)]

    def with_more_elsewhere(self, kinds: tuple[str, ...] = KINDS) -> list[Bearer]:
        """Who may read here, and do everything elsewhere: that does not count here."""
        more = [(role, place) for role in ROLES for place in ELSEWHERE]
        return [self.bearer(kind, ("auditor", "this model"), *more) for kind in kinds]


def asked_of(registrar: Registrar) -> list[tuple[Bearer, str]]:
    """Who asks what: everybody with every role everything; of each role alone, and of who may more elsewhere, in turn
    one who may and one who may not, so that every role, place and kind has its share of every kind of address."""
    asked = [(who, route) for who in registrar.with_every_role() for route in CALLS]
    alone, torn = registrar.with_one_role(), registrar.with_more_elsewhere()
    for n, route in enumerate(CALLS):
        asked.append((torn[n % len(torn)], route))
        for place in HERE.values():
            those = [who for who in alone if who.held[0][1] == place]
            those = those[n % len(those) :] + those[: n % len(those)]
            answers = {who.at(route): (who, route) for who in those}
            asked.extend(answers.values())
    return asked


@contextmanager
def rolled_back() -> Iterator[None]:
    """What a service commits inside is gone afterwards: it takes this for the transaction of a test case."""
    outer = transaction.atomic()
    outer._from_testcase = True
    with outer:
        yield
        transaction.set_rollback(True)


def body_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(content.decode("utf-8", "replace"))


@dataclass
class Secrets:
    """Ids and names that stand in no answer to who cannot reach what they belong to."""

    ground: Ground

    def __post_init__(self) -> None:
        ids, ground = self.ground.ids, self.ground
        rows = [
            "promotion",
            "finding",
            "waiver",
            "condition",
            "review",
            "glass",
            "alarm",
            "explanation",
            "run",
        ]
        rows += ["reproduction", "deployment", "placement", "invitation", "entry"]
        versions = ModelVersion.objects.values_list("model_id", "id")
        datasets = DatasetVersion.objects.values_list("dataset_id", "id")
        self.of: list[tuple[tuple[str, ...], list[str]]] = [
            (("this model",), [ids[f"{row}_id"] for row in rows]),
            (("another model",), ["zz-another-model", "zz-another-use"]),
            (("this dataset", "this model"), ["patients"]),
            (("another dataset", "another model"), ["zz-another-dataset"]),
        ]
        for place, model in (("this model", ground.model), ("another model", ground.other_model)):
            self.of.append(((place,), [str(model.id), *(str(id) for of, id in versions if of == model.id)]))
        for name, dataset in (("this", ground.dataset), ("another", ground.other_dataset)):
            found = [str(dataset.id), *(str(id) for of, id in datasets if of == dataset.id)]
            self.of.append(((f"{name} dataset", f"{name} model"), found))

    def told(self, who: Bearer, asked: str, body: str) -> list[str]:
        hidden = [text for places, texts in self.of if not who.reaches(*places) for text in texts]
        return [text for text in hidden if text in body and text not in asked]


def refused_well(call: Call, expected: int, answer: Any) -> bool:
    if expected == 403:
        return (answer.status_code, code_of(answer)) == (403, "not_permitted")
    if call.listed:  # nothing of this; what it has of what else they may see is theirs
        return bool(answer.status_code == 200)
    return answer.status_code == 404 and code_of(answer) in NOT_FOUND


def test_every_address_from_every_place(committed_cast: Cast) -> None:
    ground = lay(committed_cast)
    asked, secrets = asked_of(Registrar(committed_cast, ground)), Secrets(ground)
    client, wrong = Client(raise_request_exception=False), list[str]()

    def answer_to(who: Bearer, route: str) -> tuple[Any, str]:
        call = CALLS[route]
        answer = made(client, ground, route, who.headers)
        body = body_of(answer)
        said = f"{ground.address(route)} {call.query} {json.dumps(call.body)}"
        if told := secrets.told(who, said, body):
            wrong.append(f"{who.name}: {route} tells {told}")
        return answer, body

    before, due = digests(), 0
    for who, route in asked:
        if expected := who.at(route):
            answer, body = answer_to(who, route)
            due += CALLS[route].remembered and expected == 403
            if not refused_well(CALLS[route], expected, answer):
                wrong.append(f"{who.name}: {route}: {answer.status_code} for {expected}: {body[:150]}")
    assert not wrong, "\n".join(wrong)
    assert_unchanged(before, digests(), refusals=due)
    usual: dict[tuple[bool, str], int] = {}
    for who, route in asked:
        if not who.at(route):
            with rolled_back():
                answer, body = answer_to(who, route)
            what = f"{who.name}: {route}: {answer.status_code}: {body[:150]}"
            if code_of(answer) in ("not_permitted", *NOT_FOUND) or answer.status_code >= 500:
                wrong.append(f"{what}, though permitted")
            elif CALLS[route].listed and not answer.json()["results"]:
                wrong.append(f"{what}: an empty list")
            # Whoever has every role meets the same answer, wherever from; tokens their own.
            alike = (who.kind == "token", route)
            if len(who.held) == len(ROLES) and answer.status_code != usual.setdefault(
                alike, answer.status_code
            ):
                wrong.append(f"{what}, from the service: {usual[alike]}")
    assert not wrong, "\n".join(wrong)
    assert {route for _, route in usual} == set(CALLS), "somebody may do each"


def test_every_page_from_every_place(committed_cast: Cast) -> None:
    """Tokens have no pages."""
    ground = lay(committed_cast)
    registrar, secrets, wrong = Registrar(committed_cast, ground), Secrets(ground), list[str]()
    people = [*registrar.with_every_role(KINDS[:2]), *registrar.with_more_elsewhere(KINDS[:1])]
    clients = {who.name: Client(raise_request_exception=False) for who in people}
    for who in people:
        clients[who.name].force_login(who.person)

    def visit(who: Bearer, name: str) -> int:
        screen, address = SCREENS[name], address_of(name, ground)
        client = clients[who.name]
        answer = client.get(address) if screen.post is None else client.post(address, screen.post)
        if told := secrets.told(who, f"{address} {screen.post}", body_of(answer)):
            wrong.append(f"{who.name}: {name} tells {told}")
        return int(answer.status_code)

    asked = [(who, name) for who in people for name in SCREENS]
    before = digests()
    for who, name in asked:
        if expected := who.on_page(name):
            status = visit(who, name)
            if status != (404 if expected == 404 else SCREENS[name].refused):
                wrong.append(f"{who.name}: {name}: {status} for {expected}")
    assert not wrong, "\n".join(wrong)
    after = digests()
    assert_unchanged(before, after, refusals=int(after["refusals"]) - int(before["refusals"]))
    usual: dict[str, int] = {}
    for who, name in asked:
        if not who.on_page(name):
            with rolled_back():
                status = visit(who, name)
            if status not in (200, 302, 409, 422, *SCREENS[name].also):
                wrong.append(f"{who.name}: {name}: {status}, though permitted")
            if len(who.held) == len(ROLES) and status != usual.setdefault(name, status):
                wrong.append(f"{who.name}: {name}: {status}, from the service: {usual[name]}")
    assert not wrong, "\n".join(wrong)
    assert set(usual) == set(SCREENS), "somebody may open each"
