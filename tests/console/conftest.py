from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from governance.console.catalogue import compile_all
from governance.models import Promotion
from tests import scenario
from tests.cast import Cast


@pytest.fixture(scope="session", autouse=True)
def _catalogues() -> None:
    """Pages in Portuguese need the compiled catalogues, which are not kept in git."""
    from django.utils.translation import trans_real

    if compile_all():
        trans_real._translations.clear()


@pytest.fixture
def as_person(cast: Cast) -> Callable[[str], Client]:
    """A browser in which somebody of the cast is signed in."""

    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(cast.people[name])
        return client

    return signed_in


@pytest.fixture
def waiting(cast: Cast) -> Promotion:
    """A request for production that waits for a validator and an approver."""
    return scenario.awaiting_production(cast)


def page_of(promotion: Promotion | UUID) -> str:
    return reverse("admin:promotion", args=[getattr(promotion, "id", promotion)])


def decide_at(promotion: Promotion) -> str:
    return reverse("admin:decide", args=[promotion.id])
