"""The API against its own document, by every check schemathesis has: no 5xx, nothing undocumented, right shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from governance.wsgi import application
from tests import study
from tests.cast import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# 422 is a refusal of the service: what is well formed may still be against a policy, the data or the life cycle.
WELL_FORMED = ["2xx", "304", "401", "403", "404", "409", "412", "422", "429"]
config = SchemathesisConfig.from_dict(
    {"checks": {"positive_data_acceptance": {"expected-statuses": WELL_FORMED}}}
)
schema = schemathesis.openapi.from_path("docs/openapi.yaml", config=config)
schema.app = application
token: dict[str, str] = {}


@schema.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A cursor is a value of ours that no schema describes; strange ones are in tests/governance/test_bad_input.py."""
    return {name: value for name, value in query.items() if name != "cursor"} if query else query


@schema.hook
def filter_query(context: Any, query: dict[str, Any] | None) -> bool:
    """As in a body: no schema says that a text has no NUL."""
    return all("\x00" not in text for text in _texts(query or {}))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


@schema.hook
def filter_body(context: Any, body: Any) -> bool:
    """No schema says that a text is not blank and has no NUL: both are refused, and tested in test_bad_input.py."""
    return all(text.strip() and "\x00" not in text for text in _texts(body) if text)


@schema.auth(refresh_interval=None)  # each test has its own database, and so its own token
class Bearer:
    def get(self, case: Any, context: Any) -> str:
        return token.get("text", "")

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@pytest.fixture
def study_is_there(committed_cast: Cast) -> None:
    """Some of the names that are tried exist."""
    study.study(committed_cast)
    token["text"] = committed_cast.token("pipeline")


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.usefixtures("study_is_there")
def test_every_address(case: Any) -> None:
    case.call_and_validate()
