"""The calls of `Crivo` about personal data: what there is of a person, erasing it, and legal holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from governance.client import answers
from governance.client.lifecycle import segment as _segment
from governance.client.transport import Answer


class PrivacyCalls:
    """Mixed into Crivo, which knows how to ask."""

    def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer:
        raise NotImplementedError

    def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer:
        raise NotImplementedError

    def _pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    def personal_data(self, person: str) -> dict[str, Any]:
        """What an erasure would take: {texts, exports, holds, held_elsewhere, allowed, reasons, …}.

        `person`: user name, or the id that the trail shows.
        """
        data = self._get(f"privacy/people/{_segment(person)}").json()
        answers.member(data, "id", str)
        answers.member(data, "texts", int)
        for name in ("holds", "reasons"):
            answers.items(data, name)
        return dict(data)

    def erase_person(self, person: str, *, reason: str, key: str | None = None) -> dict[str, Any]:
        """Erase their texts, name and address, for good: {event, person, texts, account, erased_at}."""
        data = self._post(f"privacy/people/{_segment(person)}/erasure", {"reason": reason}, key=key).json()
        answers.member(data, "event", str)
        answers.member(data, "texts", int)
        return dict(data)

    def holds(
        self, *, person: str | None = None, standing: bool | None = None, limit: int = 200
    ) -> list[dict[str, Any]]:
        """Legal holds of the workspace, the newest first, lifted ones too."""
        wanted = None if standing is None else str(standing).lower()
        return list(self._pages("privacy/holds", limit, person=person, standing=wanted))

    def hold(self, hold_id: str) -> dict[str, Any]:
        return _hold(self._get(f"privacy/holds/{_segment(hold_id)}"))

    def place_hold(self, person: str, *, reason: str, key: str | None = None) -> dict[str, Any]:
        """Forbid to erase what somebody wrote, until it is lifted."""
        return _hold(self._post("privacy/holds", {"person": person, "reason": reason}, key=key))

    def lift_hold(self, hold_id: str, *, reason: str, key: str | None = None) -> dict[str, Any]:
        return _hold(self._post(f"privacy/holds/{_segment(hold_id)}/lifting", {"reason": reason}, key=key))


def _hold(answer: Answer) -> dict[str, Any]:
    data = answer.json()
    answers.member(data, "id", str)
    answers.member(data, "standing", bool)
    return dict(data)
