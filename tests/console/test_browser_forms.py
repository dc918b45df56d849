"""The forms in a real browser: they fit on a telephone, the keyboard reaches them, the strict policy blocks nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from audits.models import Explanation
from audits.services import confined
from audits.services.explaining import run_explanation
from governance import intake
from governance.models import UseCase
from governance.services.use_cases import register_use_case
from tests.cast import PASSWORD, Cast
from tests.console.test_browser import Visit, browser, playwright, pytestmark
from tests.governance.test_explanations import registered
from tests.governance.test_use_cases import COMPLETE, answers

__all__ = ["browser", "pytestmark"]
SHOTS = os.environ.get("CRIVO_SHOTS")  # a folder for pictures of the pages, to look at


@pytest.fixture(scope="module", autouse=True)
def _end_of_the_zygote() -> Iterator[None]:
    yield
    confined.zygote().close()
    confined.zygote.cache_clear()


@pytest.fixture
def place(committed_cast: Cast) -> Cast:
    """One person who may do everything the forms are for, and a record that was explained."""
    from audits.actors import Command, system_actor
    from governance.services import access

    cast = committed_cast
    shell = Command(system_actor("shell", cast.workspace.id))
    rita = cast.people["rita"]
    for role in ("administrator", "data_scientist"):
        access.bind_role(command=shell, role=role, person=rita)
    rita.set_password(PASSWORD)
    rita.save()
    access.create_group(command=shell, name="board", description="Decides on what is high.")
    _, record = registered(cast)
    cast.texts["record"] = json.dumps(record)
    register_use_case(
        command=cast.command("ana"), name="calls", purpose="Whom to call first.",
        questionnaire=answers("essential_services"), details=COMPLETE,
    )  # fmt: skip
    return cast


def seen(visit: Visit, what: str) -> None:
    assert not visit.overflows(), what
    unnamed = visit.page.evaluate(
        """() => [...document.querySelectorAll("main input:not([type=hidden]), main select, main textarea")]
        .filter(field => !field.labels.length).map(field => field.name)"""
    )
    assert unnamed == [], what
    if SHOTS:
        size = visit.page.viewport_size
        visit.page.screenshot(path=str(Path(SHOTS) / f"{what}-{size['width']}.png"), full_page=True)


@pytest.mark.parametrize(("width", "scheme", "locale"), [(1280, "light", "en"), (390, "dark", "pt-BR")])
def test_the_forms_on_a_screen(
    browser: playwright.Browser,
    live_server: LiveServer,
    place: Cast,
    width: int,
    scheme: str,
    locale: str,
) -> None:
    view = {"width": width, "height": 844}
    visit = Visit(browser, live_server.url, locale=locale, viewport=view, color_scheme=scheme)
    visit.log_in("rita")
    page = visit.page

    def go(path: str, what: str) -> None:
        page.goto(live_server.url + path)
        seen(visit, what)

    go("/admin/use-cases", "use-cases")
    go("/admin/intake", "intake")
    page.fill("[name=name]", "loans")
    page.fill("[name=purpose]", "Who gets a loan.")
    for field in ("affected_people", "human_oversight"):
        page.fill(f"[name={field}]", "People who ask for a loan.")
    page.check("[name=legal_basis] >> nth=1")
    for question in intake.questionnaire().questions:
        page.locator(f"[name=q_{question.id}][value=no]").focus()
        page.keyboard.press("Space")
    page.check("[name=q_essential_services][value=yes]")
    page.click("[name=compute]")
    page.locator("#computed").wait_for()  # the page it is on, not the one that is going
    seen(visit, "computed")
    assert page.locator("#computed").inner_text().split(": ")[1] == ("high" if locale == "en" else "alto")
    assert not UseCase.objects.filter(name="loans").exists()
    page.locator("[name=save]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/use-cases/loans")
    assert UseCase.objects.get(name="loans").risk_tier == "high"
    seen(visit, "use-case")
    go("/admin/use-cases/calls/edit", "edit")
    go("/admin/roles", "roles")
    page.fill("#give_name", "rita")
    page.locator("#give_name").press("Enter")
    page.locator("[role=alert]").first.wait_for()
    assert page.locator("[role=alert]").count() == 1
    seen(visit, "refused")
    go("/admin/roles/people", "people")
    for summary in page.locator("main summary").all():
        summary.press("Enter")
    seen(visit, "people-open")
    go("/admin/roles/privacy", "privacy")
    page.fill("#person", "bruno")
    page.locator("#person").press("Enter")
    page.locator("#found").wait_for()
    for summary in page.locator("main summary").all():
        summary.press("Enter")
    seen(visit, "privacy-found")
    page.fill("#hold_reason", "case 12")
    page.locator("#hold_reason").press("Enter")
    page.locator(".notices").wait_for()
    page.locator("main summary").last.press("Enter")
    seen(visit, "privacy-held")
    go("/admin/roles/tokens", "tokens")
    page.fill("#token_name", "nightly")
    page.check("[name=scopes][value='gate:read']")
    page.locator("#token_name").press("Enter")
    assert page.locator("#text").input_value().startswith("crv_")
    seen(visit, "issued")
    go("/admin/models/progression/versions/1/explanations", "explanations")
    page.fill("[name=record]", place.texts["record"])
    page.check("[name=lime]")
    page.click("main button.primary")
    page.wait_for_url("**/admin/explanations/*")
    seen(visit, "explanation-waiting")
    assert run_explanation(Explanation.objects.get().id) is not None
    page.reload()
    assert page.locator("svg.plot").count() == 2
    seen(visit, "explanation")
    # what the browser itself says of a refusal's status is no fault of the page
    assert [said for said in visit.said if "status of 409" not in said] == []
