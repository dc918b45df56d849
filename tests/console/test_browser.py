"""In a real browser: Bruno logs in, reads and approves; Ana is refused; nothing is blocked by the strict policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from pytest_django.live_server_helper import LiveServer

from governance.models import Promotion
from tests import scenario
from tests.cast import PASSWORD, Cast
from tests.console.conftest import decide_at, page_of

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REQUIRED = os.environ.get("CRIVO_REQUIRE_BROWSER") == "1"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not CHROMIUM.exists() and not REQUIRED,
        reason=f"{CHROMIUM} is not installed (CRIVO_REQUIRE_BROWSER=1 makes this a failure)",
    ),
]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[playwright.Browser]:
    # Playwright's loop makes Django believe that it is called from async code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    # The threads of the live server give their connections back, or the test database could not be dropped.
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield running
        running.close()
        connections.close_all()  # those opened while Playwright's loop ran: Django keeps them apart


@pytest.fixture
def waiting(committed_cast: Cast) -> Promotion:
    for name in ("ana", "bruno"):
        person = committed_cast.people[name]
        person.set_password(PASSWORD)
        person.save()
    return scenario.awaiting_production(committed_cast)


class Visit:
    """One person's browser window. Everything the console said and every failed request is kept."""

    def __init__(self, browser: playwright.Browser, server: str, **context: object) -> None:
        self.server = server
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("requestfailed", lambda request: self.said.append(f"failed: {request.url}"))

    def log_in(self, name: str) -> None:
        self.page.goto(f"{self.server}/admin/inbox")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("#login-form button")
        self.page.wait_for_url("**/admin/inbox")

    def overflows(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def test_bruno_approves(browser: playwright.Browser, live_server: LiveServer, waiting: Promotion) -> None:
    visit = Visit(browser, live_server.url)
    visit.log_in("bruno")
    page = visit.page
    assert page.locator("h1").inner_text() == "Inbox"
    page.click(".group-you >> text=diabetes@1")
    page.wait_for_url(f"**{page_of(waiting)}")
    assert "All 9 requirements are met." in page.locator(".answer").inner_text()
    assert page.locator("svg.plot").count() == 11
    assert page.locator("svg.plot").first.bounding_box()["width"] > 300
    assert page.locator(".line-passed").count() == 9
    # the style sheets of the page and of the figures were let in
    assert page.evaluate("getComputedStyle(document.querySelector('.answer')).display") == "flex"
    assert page.evaluate("getComputedStyle(document.querySelector('.plot-bar')).fill") == "rgb(31, 111, 178)"
    page.check("input[value=approve]")
    page.fill("textarea[name=reason]", "Read and understood.")
    page.click("text=Record the decision")
    page.wait_for_url(f"**{page_of(waiting)}")
    assert "Your decision is recorded: Approve." in page.locator(".notices").inner_text()
    assert "Validator – Bruno: approved" in page.locator(".approvals").inner_text()
    assert waiting.decisions.get().role == "validator"
    assert visit.said == []
    page.click("text=Log out")
    page.wait_for_url("**/admin/logout/")


def test_ana_is_refused(browser: playwright.Browser, live_server: LiveServer, waiting: Promotion) -> None:
    visit = Visit(browser, live_server.url)
    visit.log_in("ana")
    page = visit.page
    assert page.locator(".group-you").count() == 0
    page.goto(f"{live_server.url}{page_of(waiting)}")
    assert page.locator(".decide form").count() == 0
    assert "separation of duties" in page.locator(".decide").inner_text()
    # a form of her own making, with her own session
    token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
    answer = visit.context.request.post(
        f"{live_server.url}{decide_at(waiting)}",
        form={
            "csrfmiddlewaretoken": token,
            "verdict": "approve",
            "reason": "Mine, and good.",
            "dossier_digest": waiting.dossier_digest,
        },
    )
    assert answer.status == 403
    assert "You had a hand in this version" in answer.text()
    assert not waiting.decisions.exists()
    assert visit.said == []


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_and_is_let_in(
    browser: playwright.Browser, live_server: LiveServer, waiting: Promotion, language: str, width: int
) -> None:
    scheme = "dark" if width == 390 else "light"
    visit = Visit(
        browser,
        live_server.url,
        locale=language,
        viewport={"width": width, "height": 844},
        color_scheme=scheme,
    )
    visit.log_in("bruno")
    for path in ("/admin/inbox", page_of(waiting), "/admin/roles"):
        visit.page.goto(live_server.url + path)
        assert visit.page.locator("html").get_attribute("lang") == language.lower()
        assert not visit.overflows(), path
    assert visit.said == []
    other = {"en": "PT", "pt-BR": "EN"}[language]
    visit.page.click(f".languages >> text={other}")
    assert visit.page.locator("html").get_attribute("lang") != language.lower()
