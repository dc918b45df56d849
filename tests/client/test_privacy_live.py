"""`crivo person` and `crivo hold` against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.db import transaction

from audits.actors import Command, system_actor
from audits.ledger.record import record
from audits.sealing import text_of
from governance.client import Crivo, Refused
from governance.models import User
from governance.services.identity import bind_role
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command, crivo_of  # noqa: F401 - fixtures
from tests.snapshot import unchanged


@pytest.fixture
def admin(committed_cast: Cast) -> Cast:
    cast = committed_cast
    cast.people["alma"] = User.objects.create_user(username="alma", password=None)
    shell = Command(system_actor("shell", cast.workspace.id))
    bind_role(command=shell, role="administrator", person=cast.people["alma"])
    for name in ("alma", "rita", "bruno"):
        cast.token(name)
    return cast


def test_from_a_hold_to_an_erasure(
    admin: Cast,
    command: Callable[..., Ran],  # noqa: F811
    crivo_of: Callable[[str], Crivo],  # noqa: F811
) -> None:
    with transaction.atomic():
        event = record(
            admin.command("ana"), verb="promotion.withdrawn", subject=admin.workspace.ref,
            texts={"reason": "umbrella"},
        )  # fmt: skip
    held = command("rita", "hold", "place", "ana", "--reason", "case 12", "--json")
    assert held.code == 0, held.err
    hold = json.loads(held.out)["id"]
    erase = ("person", "erase", "ana", "--reason", "letter of 3 May", "--confirm")
    refused = command("alma", *erase, "ana")
    assert (refused.code, "legal hold forbids" in refused.err) == (1, True)
    listed = command("rita", "hold", "list", "--standing")
    assert hold in listed.out
    assert "case 12" in listed.out
    assert hold not in command("rita", "hold", "list", "--lifted", "--person", "ana").out
    preview = command("alma", "person", "preview", "ana")
    assert preview.code == 0
    for words in ("texts    1", "holds    1", "A legal hold forbids"):
        assert words in preview.out, preview.out
    assert "legal hold on ana lifted" in command("rita", "hold", "lift", hold, "--reason", "settled").out
    assert command("rita", "hold", "lift", hold, "--reason", "settled").code == 1
    with unchanged(refusals=0):
        wrong = command("alma", *erase, "anna")
        assert (wrong.code, "nothing was erased" in wrong.err) == (2, True)
        with pytest.raises(SystemExit) as usage:
            command("alma", *erase[:-1])
        assert usage.value.code == 2
        assert command("bruno", "person", "preview", "ana").code == 1
        assert command("bruno", "hold", "list", "--json").out.strip() == "[]"
    done = command("alma", *erase, "ana")
    assert done.code == 0, done.err
    assert "erased: 1 texts, and their account is closed without a name" in done.out
    assert text_of(event.id, "reason") == ""
    assert command("alma", "person", "preview", "ana").code == 1, "nobody is called so"
    seen = crivo_of("alma").personal_data(str(admin.people["ana"].id))
    assert (seen["texts"], seen["allowed"]) == (0, True)
    crivo = crivo_of("rita")
    first = crivo.place_hold("bruno", reason="case 13", key="case-13")
    assert crivo.place_hold("bruno", reason="case 13", key="case-13") == first
    assert crivo.hold(first["id"])["standing"] is True
    assert [row["id"] for row in crivo.holds(standing=True)] == [first["id"]]
    with pytest.raises(Refused) as error:
        crivo.erase_person("bruno", reason="r")
    assert error.value.code == "not_permitted"
