"""Answers about the past do not change when the decision log is pruned: none of them ever followed from it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from audits.models import Event, PrunedEvent
from audits.services.comparison import compare
from audits.services.exporting import run_export
from audits.services.exports import request_export
from audits.services.pruning import prune_log
from audits.trail import TrailQuery
from governance import as_of
from governance.models import Promotion
from tests import study
from tests.audits.pruning import nothing_is_too_young as nothing_is_too_young
from tests.audits.trail import verified, write_keys
from tests.cast import Cast
from tests.governance.test_as_of import life

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


def test_after_pruning_everything_that_may_go(committed_cast: Cast, nothing_is_too_young: None) -> None:
    cast = committed_cast
    recorder = life(cast)
    write_keys()
    export = request_export(command=cast.command("clara"), query=TrailQuery()).value
    study.sequence()
    run_export(export.id)
    study.sequence()
    before = Event.objects.count()
    decided = Event.objects.filter(verb="promotion.decided").count()
    event = prune_log(
        command=study.shell(cast), export_id=export.id, before=timezone.now(), reason="all that may go"
    ).value
    study.sequence()
    gone = event.detail["count"]
    assert gone == PrunedEvent.objects.count() >= decided > 2
    assert Event.objects.count() == before - gone + 1
    for at, recorded in recorder.answers:
        versions = [name[0] for name in recorded if isinstance(name, tuple)]
        assert recorder.replayed(at, list(dict.fromkeys(versions))) == recorded, at
    report = compare()
    assert (report.differences, report.holes, report.uncovered) == ([], [], 0)
    assert verified().verified
    promotion = Promotion.objects.filter(version__n=1, environment__name="production").get()
    then = as_of.state_of(cast.actor("clara"), f"promotion:{promotion.id}", timezone.now())
    assert then.state == "granted"
    assert [note.params["export"] for note in then.pruned] == [str(export.id)]
    assert then.pruned[0].params["count"] == promotion.decisions.count() > 0
    assert "promotion.decided" not in {told.event.verb for told in then.events}
