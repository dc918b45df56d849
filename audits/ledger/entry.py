"""From the row of an event to its ledger entry: columns are the truth, head, rest and envelope are computed."""

from __future__ import annotations

from typing import Any

from audits.ledger import body
from audits.models import Event

_SAFE_INTEGER = 2**53 - 1


def fields_of(event: Event) -> body.EventFields:
    reason, policy, detail = event.reason, event.policy, event.detail
    if not event._state.adding:  # read back
        reason, detail = as_written(reason), as_written(detail)
    return body.EventFields(
        event_id=event.id,
        workspace=str(event.workspace_id),
        actor=body.Actor(event.actor_kind, str(event.actor_id)),  # type: ignore[arg-type]
        verb=event.verb,
        subject=body.Subject(
            event.subject_kind, str(event.subject_id), event.subject_label, event.subject_digest or None
        ),
        subject_seq=event.subject_seq,
        previous=event.previous or None,
        at=event.at,
        outcome=event.outcome,  # type: ignore[arg-type]
        on_behalf_of=body.Actor("person", str(event.on_behalf_of)) if event.on_behalf_of else None,
        request_id=str(event.request_id),
        correlation_id=str(event.correlation_id),
        reason=None if reason is None else body.Reason(**_exactly(reason, "code", "params")),
        commitments=event.texts,
        policy=None if policy is None else body.Policy(**_exactly(policy, "id", "version", "digest")),
        evidence=tuple(body.Evidence(**_exactly(item, "kind", "digest")) for item in event.evidence),
        before=event.before or None,
        after=event.after or None,
        detail=detail,
    )


def _exactly(value: Any, *names: str) -> dict[str, Any]:
    """A member more would be shown to readers without being in the leaf; an empty object is not an absent one."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError(f"an object does not have exactly the members {', '.join(names)}")
    return value


def _salt(digits: str) -> bytes:
    """One spelling only: what is stored otherwise was not written by `record`."""
    salt = bytes.fromhex(digits)
    if salt.hex() != digits:
        raise ValueError("a salt is not written in lower case")
    return salt


def as_written(value: Any) -> Any:
    """jsonb keeps no exponents: 1e22 comes back as an integer. `record` refuses integers that large: it was none."""
    if isinstance(value, dict):
        return {name: as_written(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_written(item) for item in value]
    if isinstance(value, int) and abs(value) > _SAFE_INTEGER:
        return float(value)
    return value


def body_of(event: Event, workspace_salt: str) -> body.Body:
    """Canonical head, rest and envelope. ValueError if the row is not one that `record` could have written."""
    salts = body.Salts(
        subject=_salt(event.subject_salt),
        workspace=_salt(workspace_salt),
        head=_salt(event.head_salt),
        rest=_salt(event.rest_salt),
    )
    return body.build(fields_of(event), salts)
