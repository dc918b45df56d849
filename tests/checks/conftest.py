"""Every message any test of a check provokes must be one a person can read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from audits.checks.contract import Message
from audits.checks.messages import TEMPLATES
from governance.sentences import SENTENCES


@pytest.fixture(autouse=True, scope="module")
def _every_message_renders(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wraps the constructor: an unknown code or a parameter the sentence lacks fails the test that emits it."""
    if request.module.__name__.endswith("test_messages"):  # makes broken ones on purpose
        yield
        return
    original = Message.__init__

    def checked(self: Message, code: str, params: dict[str, Any] | None = None) -> None:
        original(self, code, {} if params is None else params)
        sentence = (
            TEMPLATES.get(code) or SENTENCES[code]
        )  # a verdict on a result speaks with governance's words
        str(sentence).format_map(self.params)

    patch = pytest.MonkeyPatch()
    patch.setattr(Message, "__init__", checked)
    yield
    patch.undo()
