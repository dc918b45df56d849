"""The page of a check that is divided among workers, in a real browser: how far it is, and the way to end it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from audits.models import CheckRun
from audits.services import mapping
from governance.models import Promotion
from tests.audits.test_check_parts import Child, child, laid_out, run, sent
from tests.cast import PASSWORD, Cast
from tests.console.test_browser import Visit, browser, playwright, pytestmark

__all__ = ["Child", "browser", "child", "pytestmark", "run", "sent"]
SHOTS = os.environ.get("CRIVO_SHOTS")  # a folder for pictures of the pages, to look at


@pytest.mark.parametrize(("width", "scheme", "locale"), [(1280, "light", "en"), (390, "dark", "pt-BR")])
def test_how_far_it_is_and_the_way_to_end_it(
    browser: playwright.Browser,
    live_server: LiveServer,
    committed_cast: Cast,
    run: CheckRun,
    sent: list[tuple[str, str]],
    width: int,
    scheme: str,
    locale: str,
) -> None:
    for part in laid_out(run)[:2]:
        mapping.run_part(part.id)
    ana = committed_cast.people["ana"]
    ana.set_password(PASSWORD)
    ana.save()
    view = {"width": width, "height": 844}
    visit = Visit(browser, live_server.url, locale=locale, viewport=view, color_scheme=scheme)
    visit.log_in("ana")
    page = visit.page

    def shot(name: str) -> None:
        assert not visit.overflows(), name
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{width}.png"), full_page=True)

    page.goto(f"{live_server.url}/admin/promotions/{Promotion.objects.latest('id').id}")
    box = page.locator(".check progress").bounding_box()
    assert box is not None
    assert 100 < box["width"] < width
    told = "2 of 3 parts, 600 of 1,000 rows" if locale == "en" else "2 de 3 partes, 600 de 1.000 linhas"
    assert page.get_by_text(told).count() == 1
    page.locator(".check summary").focus()
    page.keyboard.press("Enter")
    shot("running")
    page.fill(".check textarea", "The wrong data.")
    page.locator(".check button").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".check .error")
    shot("cancelled")
    run.refresh_from_db()
    assert run.result["error"]["code"] == "check_cancelled"
    assert visit.said == []
