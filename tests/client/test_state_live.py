"""`crivo audit state` against the real service: what was so then, and what is so now."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from governance.models import Placement
from governance.services.suspensions import suspend_version
from tests import study
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command as command  # the fixture: a command against the live server


def test_then_and_now(command: Callable[..., Ran], committed_cast: Cast) -> None:
    cast = committed_cast
    version = study.study(cast)
    study.finish_checks(study.ask(cast, version, "development"))
    study.sequence()
    assert Placement.objects.get().environment.name == "development"
    then = datetime.now(UTC).isoformat()
    suspend_version(command=cast.command("bia"), version_id=version.id, reason="recall")

    ran = command("clara", "audit", "state", version.label, "--at", then, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["state"] == "registered"
    assert {row["environment"]: row["allowed"] for row in told["gate"]} == {
        "development": True, "test": False, "homologation": False, "production": False,
    }  # fmt: skip
    assert told["policies"][0]["policy"] is not None
    assert {"approver", "validator"} <= {row["role"] for row in told["roles"]}

    now = command("clara", "audit", "state", version.label)
    assert now.code == 0
    assert "suspended" in now.out
    assert "development: no." in now.out
    at_then = command("clara", "audit", "state", version.label, "--at", then)
    assert "development: allowed" in at_then.out
    long_ago = command("clara", "audit", "state", version.label, "--at", "2020-01-31")
    assert "0 (the log had 0 entries)" in long_ago.out
    assert command("ana", "audit", "state", version.label).code == 1
    assert command("clara", "audit", "state", version.label, "--at", "yesterday").code == 1
