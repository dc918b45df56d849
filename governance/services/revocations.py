"""The signed list of attestations that no longer hold: for whoever verifies one when Crivo cannot be asked.

What shuts the gate by the clock alone ends the attestation itself (`validUntil`), and is listed with the next issue.

One list for the installation, issued by the notary: at every change, and a day after the last one at the latest. It
names promotions by id and attestations by digest, nothing else, because everybody may read it.

A grant that was taken back takes all of its attestations with it: each is listed with the id of the promotion. One
that a stolen key signed is listed by its digest alone while its grant stands: what another key signed anew holds.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from audits.actors import Command, SubjectRef, system_actor
from audits.door import Result, service
from audits.ledger.body import timestamp
from audits.ledger.canonical import canonical, digest
from audits.ledger.record import lock, record
from audits.ledger.signing import AttestationKey
from audits.models import Event, Workspace
from audits.roles import acting_as_notary
from governance import hindrances, standings
from governance.models import Attestation, Placement, RevocationList, Suspension
from governance.services.keys import compromised_keys
from governance.states import PlacementState
from registry.states import VersionState

TYPE = "urn:crivo:attestation:revocations:v1"
PAYLOAD_TYPE = "application/vnd.crivo.revocations+json"
LIFETIME = timedelta(days=2)  # nextUpdate
BLOCKED = "blocked"  # by a finding, a condition, a waiver that ran out or an overdue re-review: everybody reads this
COMPROMISED = "key_compromised"
DAILY = timedelta(days=1)  # …and reissued that early, so that a list is never about to end


def address() -> str:
    return f"{settings.CRIVO_BASE_URL.rstrip('/')}/api/v1/attestations/revoked"


@dataclass(frozen=True, order=True)
class Entry:
    """One attestation by its digest. `promotion` is empty where the grant stands, and this attestation does not."""

    promotion: str
    attestation: str
    status: str


def revoked() -> list[Entry]:
    """Every attestation whose placement the gate no longer lets pass, or that a stolen key signed."""
    statuses = _fallen()
    envelopes = Attestation.objects.filter(
        Q(promotion__in=statuses) | Q(key_id__in=compromised_keys())
    ).values_list("promotion_id", "envelope")
    return sorted(
        Entry(
            str(promotion) if promotion in statuses else "",
            digest(json.loads(envelope)),
            statuses.get(promotion, COMPROMISED),
        )
        for promotion, envelope in envelopes
    )


def _fallen() -> dict[UUID, str]:
    """Promotion → status, where an attested placement is one that the gate no longer lets pass."""
    moment = standings.moment(None)
    rows = list(
        Placement.objects.filter(
            ~Q(state=PlacementState.LIVE)
            | ~Q(version__state=VersionState.REGISTERED)
            | Q(version__in=Suspension.objects.values("version"))
            | Q(id__in=Event.objects.filter(verb="placement.restored", outcome="done").values("subject_id"))
            | Q(id__in=hindrances.suspects(moment).values("id"))
        )
        .filter(promotion__in=Attestation.objects.values("promotion"))
        .values_list("id", "version_id", "environment_id")
    )
    if not rows:
        return {}
    chains = standings.chains(
        [version for _, version, _ in rows], [environment for *_, environment in rows], moment
    )
    listed = [chains.rows[placement_id] for placement_id, *_ in rows if placement_id in chains.rows]
    statuses = {placement.id: _status(placement, chains) for placement in listed}
    against = hindrances.hindrances((row for row in listed if not statuses[row.id]), moment)
    statuses |= {placement_id: BLOCKED for placement_id, found in against.items() if found.shut}
    return {row.promotion_id: statuses[row.id] for row in listed if statuses[row.id]}


def _status(placement: Placement, chains: standings.Chains) -> str:
    if placement.version.state != VersionState.REGISTERED:
        return placement.version.state
    if placement.state in (PlacementState.LIVE, PlacementState.SUPERSEDED):
        if None in chains.reinstatements(placement):
            return PlacementState.SUSPENDED  # reinstated, and that is not effective yet
        if chains.effective_at(placement) is None:
            return PlacementState.SUPERSEDED  # rolled back to, and that is not effective yet
    if placement.state == PlacementState.SUPERSEDED and chains.stands_in(placement):
        return ""  # until its successor is effective it is still the one
    return "" if placement.state == PlacementState.LIVE else placement.state


def due(now: datetime | None = None) -> bool:
    """Whether the newest list is a day old, or there is none."""
    newest = RevocationList.objects.order_by("-n").values_list("issued_at", flat=True).first()
    return newest is None or newest <= (now or timezone.now()) - DAILY


def issue_if_needed(signer: AttestationKey, *, changed: bool) -> bool:
    """Called by the notary after each pass; `changed` says that something was recorded. True if a list was issued."""
    workspace = Workspace.objects.order_by("created_at", "id").first()
    if workspace is None or not (changed or due()):
        return False
    command = Command(system_actor("notary", workspace.id))
    return issue_revocations(command=command, signer=signer).created


@acting_as_notary()
@service("revocations.issued")
def issue_revocations(*, command: Command, signer: AttestationKey) -> Result[RevocationList]:
    """Sign a new list if what is revoked has changed or the last list is a day old; else the last one."""
    subject = SubjectRef("revocation_list", command.actor.workspace)
    lock(command.actor.workspace, subject)
    last = RevocationList.objects.order_by("-n").first()
    entries = revoked()
    content = digest([asdict(entry) for entry in entries])
    now = timezone.now()
    if last is not None and last.digest == content and not due(now):
        return Result(last, created=False)
    known = {item["attestation"]["sha256"]: item for item in entries_of(last)} if last is not None else {}
    sequence = 1 if last is None else last.n + 1
    payload = {
        "_type": TYPE,
        "sequence": sequence,
        "issuedAt": timestamp(now),
        "nextUpdate": timestamp(now + LIFETIME),
        "address": address(),
        "revoked": [_listed(entry, known, now) for entry in entries],
    }
    envelope = signer.sign(canonical(payload), PAYLOAD_TYPE)
    row = RevocationList.objects.create(
        n=sequence,
        envelope=json.dumps(envelope, separators=(",", ":")),
        digest=content,
        key_id=signer.id,
        issued_at=now,
        next_update=now + LIFETIME,
    )
    record(
        command,
        verb="revocations.issued",
        subject=subject,
        evidence=[{"kind": "revocation_list", "digest": digest(envelope)}],
        before=last.digest if last is not None else "",
        after=content,
        detail={"sequence": row.n, "revoked": len(entries), "key_id": signer.id},
    )
    return Result(row)


def entries_of(row: RevocationList) -> list[dict[str, Any]]:
    return list(json.loads(base64.b64decode(json.loads(row.envelope)["payload"]))["revoked"])


def _listed(entry: Entry, known: Mapping[str, Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """As the list says it, with the time since when it has been there with this status."""
    sha256 = entry.attestation.removeprefix("sha256:")
    before = known.get(sha256)
    since = before["listedSince"] if before and before["status"] == entry.status else timestamp(now)
    return {
        "promotion": entry.promotion or None,
        "attestation": {"sha256": sha256},
        "status": entry.status,
        "listedSince": since,
    }
