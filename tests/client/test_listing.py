"""`crivo list`, `show`, `withdraw-request` and `mail`, and the methods behind them, against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from governance.client import Crivo
from governance.client.commands.listing import LISTS, OF, SHOWN
from governance.models import Promotion
from tests import study
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command, crivo_of  # noqa: F401 - fixtures
from tests.governance.ground import Ground, lay
from tests.snapshot import unchanged

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]
Command = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _tokens(committed_cast: Cast) -> None:
    """Made beforehand: a token is a row, too."""
    for name in ("bia", "bruno", "clara", "davi", "rita"):
        committed_cast.token(name)


@pytest.fixture
def ground(committed_cast: Cast) -> Ground:
    return lay(committed_cast)


def test_whatever_there_is_can_be_listed_and_shown(
    command: Command,  # noqa: F811
    ground: Ground,
    crivo_of: Callable[[str], Crivo],  # noqa: F811
) -> None:
    ids = ground.ids
    study.sequence()  # for the proof
    of = {
        "versions": "progression",
        "dataset-versions": "patients",
        "history": "care",
        "policy-versions": "study-homologation",
        "signoffs": ids["promotion_id"],
    }
    assert set(of) == set(OF)
    for what in LISTS:
        ran = command("clara", "list", what, *([of[what]] if what in of else []), "--json")
        assert ran.code == 0, (what, ran.err)
        rows = json.loads(ran.out)
        assert rows, what
        assert all(set(columns := LISTS[what][1]) <= set(row) for row in rows), (what, columns, rows[0])
    ran = command("clara", "list", "versions", "progression", "--where", "state=retired", "--json")
    assert [row["n"] for row in json.loads(ran.out)] == [2]
    shown: dict[str, Any] = {
        "model": ("progression", "name", "progression"),
        "version": ("progression@champion", "n", 1),
        "retirement": ("progression@2", "n", 2),
        "dataset": ("patients", "name", "patients"),
        "dataset-version": ("patients@1", "reference", "patients@1"),
        "environment": ("archive", "name", "archive"),
        "policy-version": ("study-homologation@2", "n", 2),
        "acknowledgements": ("study-homologation@2", "asked", ["validator"]),
        **{
            what: (ids[f"{key}_id"], "id", ids[f"{key}_id"])
            for what, key in (
                ("finding", "finding"),
                ("waiver", "waiver"),
                ("check-run", "run"),
                ("reconciliation", "reconciliation"),
                ("binding", "binding"),
                ("hold", "hold"),
            )
        },
        "group": ("board", "name", "board"),
        "person": ("bystander", "username", "bystander"),
    }
    assert set(shown) == set(SHOWN)
    for what, (which, member, value) in shown.items():
        ran = command("clara", "show", what, which, "--json")
        assert ran.code == 0, (what, ran.err)
        assert json.loads(ran.out)[member] == value, what
    crivo = crivo_of("clara")
    assert [row["id"] for row in crivo.reproductions(ids["run_id"])] == [ids["reproduction_id"]]
    assert [row["id"] for row in crivo.deployments_of("progression", 1)] == [ids["deployment_id"]]
    assert "progression" in str(crivo.outdated()) or crivo.outdated() == {"results": []}
    assert crivo.proof(ids["event_id"]).startswith(b"c2sp.org/tlog-proof@v1")
    assert "promotion.granted" in crivo_of("clara").webhook_verbs()


def test_a_request_is_taken_back_by_who_asked(command: Command, ground: Ground) -> None:  # noqa: F811
    promotion = ground.ids["promotion_id"]
    with unchanged(refusals=1):
        ran = command("bruno", "withdraw-request", promotion, "--reason", "not mine")
        assert (ran.code, "Refused" in ran.err) == (1, True), ran.err
    ran = command("pipeline", "withdraw-request", promotion, "--reason", "a newer one follows")
    assert ran.code == 0, ran.err
    assert Promotion.objects.get(id=promotion).state == "withdrawn"


def test_a_link_is_taken_back_and_what_ran_before_ends(
    crivo_of: Callable[[str], Crivo],  # noqa: F811
    ground: Ground,
) -> None:
    ids = ground.ids
    assert crivo_of("bia").revoke_signoff(ids["promotion_id"], ids["invitation_id"])["state"] == "revoked"
    ended = crivo_of("rita").end_grandfathered(ids["entry_id"], reason="replaced")
    assert (ended["id"], ended["state"]) == (ids["entry_id"], "ended")


def test_how_mail_comes(command: Command) -> None:  # noqa: F811
    ran = command("bruno", "mail", "daily", "--language", "pt-br", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, {"mode": "daily", "language": "pt-br"}), ran.err
    ran = command("bruno", "mail", "--json")
    assert json.loads(ran.out)["mode"] == "daily"


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "versions"),
        ("list", "models", "progression"),
        ("list", "models", "--limit", "0"),
        ("list", "models", "--where", "name"),
        ("list", "imports", "--where", "name=x"),
        ("show", "dataset-version", "patients"),
        ("mail", "--language", "en"),
    ],
)
def test_called_wrongly_ends_with_2(command: Command, arguments: tuple[str, ...]) -> None:  # noqa: F811
    with unchanged(refusals=0):
        assert command("clara", *arguments).code == 2


def test_an_unknown_filter_is_not_ignored(command: Command) -> None:  # noqa: F811
    ran = command("clara", "list", "models", "--where", "colour=red")
    assert (ran.code, "Refused" in ran.err) == (1, True), ran.err


def test_what_may_not_be_seen_is_not_found(command: Command, ground: Ground) -> None:  # noqa: F811
    ran = command("davi", "show", "model", "progression")
    assert (ran.code, "Refused" in ran.err) == (1, True)
    assert json.loads(command("davi", "list", "models", "--json").out) == []
