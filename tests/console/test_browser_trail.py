"""The trail on a narrow screen: a note of what was pruned, exports, the state as of a moment: all of it fits."""

from __future__ import annotations

import pytest
from pytest_django.live_server_helper import LiveServer

from audits.checks.contract import Message
from audits.ledger import pruned
from audits.services.exports import request_export
from audits.trail import TrailQuery
from governance.models import Promotion
from tests.cast import PASSWORD, Cast
from tests.console.test_browser import Visit, browser, playwright, pytestmark, waiting

__all__ = ["browser", "pytestmark", "waiting"]
GONE = Message(
    "events_pruned",
    {
        "count": 18,
        "before": "2026-11-30T15:34:34.787921Z",
        "export": "01a22d17-00b4-7068-b89f-b28cea566617",
        "digest": "sha256:" + "fdb485df" * 8,
    },
)


@pytest.mark.parametrize("locale", ["en", "pt-BR"])
def test_the_trail_fits_a_telephone(
    browser: playwright.Browser,
    live_server: LiveServer,
    committed_cast: Cast,
    waiting: Promotion,
    monkeypatch: pytest.MonkeyPatch,
    locale: str,
) -> None:
    monkeypatch.setattr(pruned, "notes", lambda *_, **__: [GONE])
    clara = committed_cast.people["clara"]
    clara.set_password(PASSWORD)
    clara.save()
    export = request_export(command=committed_cast.command("clara"), query=TrailQuery()).value
    visit = Visit(
        browser, live_server.url, locale=locale, viewport={"width": 390, "height": 844}, color_scheme="dark"
    )
    visit.log_in("clara")
    version = waiting.version.label
    for path, shown in (
        ("/admin/trail", "2026-11-30 15:34 UTC"),
        ("/admin/trail/exports", str(export.id)),
        (f"/admin/trail/state?subject={version}", "Validator" if locale == "en" else "Validação"),
        ("/admin/roles/who-could", "UTC"),
    ):
        visit.page.goto(live_server.url + path)
        assert not visit.overflows(), path
        assert shown in visit.page.locator("main").inner_text(), path
    assert visit.said == []
