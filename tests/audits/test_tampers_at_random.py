"""Hundreds of random tampers by somebody who owns the database: each found and named. Untouched logs never alarm."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import connections

from audits.actors import SubjectRef
from audits.checks.contract import Message
from audits.ids import uuid7
from audits.ledger.notary import Notary
from audits.models import Event, Leaf
from tests.audits.attacker import Attacker, owner_of_everything
from tests.audits.trail import verified, workspace, write

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "migrator"]),
    pytest.mark.past_the_door,
]
ROUNDS = 250
POLICY = {"id": "credit", "version": 3, "digest": "sha256:" + "ab" * 32}


def busy_log(notary: Notary, seed: int) -> None:
    """Some subjects in two workspaces, with everything an event can hold, over several checkpoints."""
    chance = random.Random(seed)
    subjects = [SubjectRef("dataset", uuid7(), f"s{n}", "sha256:" + "0" * 64) for n in range(4)]
    elsewhere = workspace("elsewhere").id
    for _ in range(5):
        for _ in range(chance.randrange(1, 4)):
            more: dict[str, Any] = {}
            if chance.random() < 0.5:
                more["texts"] = {"reason": f"porque {chance.random()}", "comment": "visto"}
            if chance.random() < 0.5:
                more["detail"] = {"a": [1, 2.5, None, True, "é"], "b": {"c": chance.random()}}
            if chance.random() < 0.5:
                more["reason"] = Message("invalid", {"reason": "x"})
            if chance.random() < 0.5:
                more |= {"policy": POLICY, "evidence": [{"kind": "dossier", "digest": POLICY["digest"]}]}
            if chance.random() < 0.3:
                more |= {"before": "sha256:" + "1" * 64, "after": "sha256:" + "2" * 64}
            if chance.random() < 0.2:
                more["outcome"] = "refused"
            if chance.random() < 0.2:
                write(1, None, elsewhere, **more)
            else:
                write(1, chance.choice(subjects), **more)
        notary.run_pass()


@pytest.mark.parametrize("seed", range(4))
def test_every_tamper_is_found_and_named(notary: Notary, seed: int) -> None:
    busy_log(notary, seed)
    assert verified().count == 0
    done, missed = 0, []
    with owner_of_everything():
        attacker = Attacker(seed)
        while done < ROUNDS:
            tamper = attacker.any()
            if tamper is None:
                continue
            report = verified()
            told = "\n".join(map(str, report.findings))
            if report.verified:
                missed.append(f"not found: {tamper.what}")
            elif not any(place in told for place in tamper.where):
                missed.append(f"not named: {tamper.what} {tamper.where}\n{told[:300]}")
            attacker.undo()
            done += 1
        assert missed == []
        assert verified().findings == [], "what was undone leaves no alarm"
    connections["migrator"].close()  # its temporary tables with it


@pytest.mark.parametrize("seed", range(2))
def test_untouched_logs_never_alarm(notary: Notary, seed: int) -> None:
    """Whatever is written, however passes fall between: nothing to find at any moment."""
    for step in range(6):
        busy_log(notary, seed * 100 + step)
        if step % 2:
            write(step, texts={"reason": "ainda espera"})
        assert verified().findings == []
    assert Leaf.objects.count() <= Event.objects.count()
