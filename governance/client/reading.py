"""The calls of `Crivo` that read what is there, row by row as docs/openapi.yaml has it, and a few that undo.

Lists come the newest first (with `order="oldest"` the other way round), at most `limit` rows; pages are turned as
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from governance.client.answers import items, member
from governance.client.lifecycle import segment
from governance.client.shapes import Promotion

if TYPE_CHECKING:
    from governance.client.transport import Answer

LIMIT = 200
Row = dict[str, Any]


def _row(answer: Answer, name: str = "id", kind: type = str) -> Row:
    """The object of the answer, if it has this member: a proxy's page of words is none."""
    data = answer.json()
    member(data, name, kind)
    return dict(data)


class Reading:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...
        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...
        def _send(
            self, method: str, path: str, body: Any = None, *, key: str | None = None, etag: str = ""
        ) -> Answer: ...
        def _pages(self, path: str, limit: int, **query: Any) -> Iterator[Row]: ...

    # The registry

    def datasets(self, *, limit: int = LIMIT, **filters: str) -> list[Row]:
        """`filters`: name (a part of it)."""
        return list(self._pages("datasets", limit, **filters))

    def dataset(self, name: str) -> Row:
        return _row(self._get(f"datasets/{segment(name)}"), "name")

    def dataset_versions(self, name: str, *, limit: int = LIMIT, **filters: str) -> list[Row]:
        """`filters`: digest (of the content)."""
        return list(self._pages(f"datasets/{segment(name)}/versions", limit, **filters))

    def dataset_version(self, name: str, n: int) -> Row:
        return _row(self._get(f"datasets/{segment(name)}/versions/{n}"), "digest")

    def models(self, *, limit: int = LIMIT, **filters: str) -> list[Row]:
        """`filters`: name (a part of it)."""
        return list(self._pages("models", limit, **filters))

    def model(self, name: str) -> Row:
        return _row(self._get(f"models/{segment(name)}"), "name")

    def model_versions(self, name: str, *, limit: int = LIMIT, **filters: str) -> list[Row]:
        """`filters`: state, digest (of the artefact)."""
        return list(self._pages(f"models/{segment(name)}/versions", limit, **filters))

    def model_version(self, name: str, n: int) -> Row:
        return _row(self._get(f"models/{segment(name)}/versions/{n}"), "manifest_digest")

    def retirement(self, name: str, n: int) -> Row:
        """When, why and in favour of what it was retired. Refused with not_found if it is not."""
        return _row(self._get(f"models/{segment(name)}/versions/{n}/retirement"), "state")

    def deployments_of(self, name: str, n: int, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages(f"models/{segment(name)}/versions/{n}/deployments", limit))

    def environment_named(self, name: str) -> Row:
        """One step of the way to production."""
        return _row(self._get(f"environments/{segment(name)}"), "name")

    # Use cases and policies

    def use_cases(self, *, limit: int = LIMIT, **filters: str) -> list[Row]:
        """`filters`: name (a part of it), risk_tier."""
        return list(self._pages("use-cases", limit, **filters))

    def use_case_history(self, name: str, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages(f"use-cases/{segment(name)}/history", limit))

    def policies(self, *, limit: int = LIMIT, **filters: str) -> list[Row]:
        """The version of each that is current. `filters`: name (a part of it), environment, use_case."""
        return list(self._pages("policies", limit, **filters))

    def policy_versions(self, name: str, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages(f"policies/{segment(name)}/versions", limit))

    def policy_version(self, name: str, n: int) -> Row:
        return _row(self._get(f"policies/{segment(name)}/versions/{n}"), "digest")

    def acknowledgements(self, name: str, n: int) -> Row:
        """Who acknowledged that version of a policy, and who is asked to and has not."""
        data = self._get(f"policies/{segment(name)}/versions/{n}/acknowledgements").json()
        items(data, "missing")
        return dict(data)

    def outdated(self) -> Row:
        """What stands somewhere under another version of its policy than the one in force."""
        data = self._get("policies/outdated").json()
        items(data, "results")
        return dict(data)

    # Requests, and what is said of them

    def withdraw_promotion(self, promotion_id: str, *, reason: str, key: str | None = None) -> Promotion:
        """Take back one's own request."""
        path = f"promotions/{segment(promotion_id)}/withdrawal"
        return Promotion.read(self._post(path, {"reason": reason}, key=key).json())

    def signoffs(self, promotion_id: str) -> list[Row]:
        """Who outside was invited to approve, and what became of it."""
        data = self._get(f"promotions/{segment(promotion_id)}/signoffs").json()
        return [dict(row) for row in items(data, "results")]

    def revoke_signoff(self, promotion_id: str, invitation_id: str, *, key: str | None = None) -> Row:
        """The link of an invitation ends."""
        path = f"promotions/{segment(promotion_id)}/signoffs/{segment(invitation_id)}/revocation"
        return _row(self._post(path, {}, key=key))

    def finding(self, finding_id: str) -> Row:
        return _row(self._get(f"findings/{segment(finding_id)}"))

    def waiver(self, waiver_id: str) -> Row:
        return _row(self._get(f"waivers/{segment(waiver_id)}"))

    def reproductions(self, run_id: str, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages(f"check-runs/{segment(run_id)}/reproductions", limit))

    def explanations(self, name: str, n: int, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages(f"models/{segment(name)}/versions/{n}/explanations", limit))

    def explanation_plot(self, explanation_id: str, *, kind: str | None = None) -> bytes:
        """The figure of an explanation, as SVG."""
        return self._get(f"explanations/{segment(explanation_id)}/plot", kind=kind).body

    # What ran before Crivo

    def imports(self, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages("imports", limit))

    def grandfathered(self, *, limit: int = LIMIT, **filters: str) -> list[Row]:
        """`filters`: model, environment, state."""
        return list(self._pages("grandfathered", limit, **filters))

    def end_grandfathered(self, entry_id: str, *, reason: str, key: str | None = None) -> Row:
        """No longer tolerated, at once."""
        return _row(self._post(f"grandfathered/{segment(entry_id)}/ending", {"reason": reason}, key=key))

    def reconciliations(self, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages("reconciliations", limit))

    def reconciliation(self, reconciliation_id: str) -> Row:
        return _row(self._get(f"reconciliations/{segment(reconciliation_id)}"))

    # Audit and access

    def exports(self, *, limit: int = LIMIT) -> list[Row]:
        return list(self._pages("audit/exports", limit))

    def proof(self, event_id: str) -> bytes:
        """That the event is in the log (C2SP tlog-proof)."""
        return self._get(f"audit/proof/{segment(event_id)}").body

    def binding(self, binding_id: str) -> Row:
        return _row(self._get(f"access/bindings/{segment(binding_id)}"))

    def group(self, name: str) -> Row:
        return _row(self._get(f"access/groups/{segment(name)}"))

    def person(self, username: str) -> Row:
        return _row(self._get(f"access/people/{segment(username)}"))

    def webhook_verbs(self) -> list[str]:
        """What a webhook can subscribe to."""
        return [str(verb) for verb in member(self._get("webhooks/verbs").json(), "verbs", list)]

    def mail(self) -> Row:
        """How one's own mail comes: {mode, language}."""
        return _row(self._get("me/mail"), "mode")

    def set_mail(self, mode: str, **details: Any) -> Row:
        """`mode` is immediately, daily or never; `details`: language (en or pt-br)."""
        return _row(self._send("PUT", "me/mail", {"mode": mode, **details}), "mode")
