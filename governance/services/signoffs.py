"""Sign-off by somebody outside: an approver invites them, and a link that works once records their decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from audits.actors import Actor, Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.ledger.record import lock, record
from audits.models import SearchText
from governance import clock, selectors, signoff_links
from governance.models import Decision, Promotion, SignoffInvitation, User
from governance.policy import quorum
from governance.roles import EXTERNAL
from governance.services.decisions import (
    awaiting_decision,
    dossier_as_seen,
    not_blocked,
    not_excluded,
    write_down,
)
from governance.services.outcomes import locked
from governance.services.words import person_acting
from governance.states import OPEN_PROMOTION

MAX_LIFETIME = timedelta(days=30)
NAME_LIMIT = 200


@dataclass
class Link:
    """Filled by invite_signoff with the text of the link: the only place where it ever stands."""

    text: str = ""


@service("signoff.invited")
def invite_signoff(
    *, command: Command, promotion_id: UUID, role: str, name: str, email: str, lifetime: timedelta, link: Link
) -> Result[SignoffInvitation]:
    """Ask somebody outside to sign off an open request, in a role its policy asks for.

    403 for whoever may not decide on the request themselves. The same address again is the same person: their
    decisions on one dossier fill one slot, however many links they were sent.
    """
    found = selectors.promotion(command.actor, promotion_id)
    promotion = locked(command, found.id)
    person = person_acting(command, "signoff.invite", promotion.ref)
    not_excluded(promotion, person)
    _check(promotion, role, name, email, lifetime)
    now = timezone.now()
    invitation = SignoffInvitation(
        workspace_id=promotion.workspace_id,
        promotion=promotion,
        role=role,
        actor_id=_known_as(promotion, email) or uuid4(),
        public_id=signoff_links.new_public_id(),
        invited_by=person,
        expires_at=(now + lifetime).astimezone(UTC).replace(microsecond=0),
    )
    secret = signoff_links.new_secret()
    invitation.secret_hash = signoff_links.hash_of(invitation, secret)
    event = record(
        command,
        verb="signoff.invited",
        subject=promotion.ref,
        texts={"name": name.strip(), "email": email.strip()},
        texts_of=invitation.actor_id,
        detail={
            "invitation": str(invitation.id),
            "person": str(invitation.actor_id),
            "role": role,
            "expires": invitation.expires_at.isoformat(),
        },
    )
    invitation.event_id = event.id
    invitation.save(force_insert=True)
    link.text = signoff_links.text_of(invitation.public_id, secret)
    return Result(invitation)


def _check(promotion: Promotion, role: str, name: str, email: str, lifetime: timedelta) -> None:
    if promotion.state not in OPEN_PROMOTION:
        raise Conflict("signoff_closed", subject=promotion.ref, state=promotion.state)
    if role not in EXTERNAL or role not in quorum.needed(promotion.policy.body):
        raise Unprocessable(
            "signoff_not_asked",
            subject=promotion.ref,
            field="role",
            policy=promotion.policy.label,
            role=role[:40],
        )
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        hours = int(MAX_LIFETIME.total_seconds() // 3600)
        raise Unprocessable("signoff_lifetime", subject=promotion.ref, field="hours", hours=hours)
    try:
        validate_email(email.strip())
    except ValidationError as error:
        raise Unprocessable("signoff_person_invalid", subject=promotion.ref, field="email") from error
    if not name.strip() or len(name) > NAME_LIMIT or not name.strip().isprintable():
        raise Unprocessable("signoff_person_invalid", subject=promotion.ref, field="name")
    if User.objects.filter(email__iexact=email.strip()).exists():
        raise Unprocessable("signoff_person_inside", subject=promotion.ref, field="email")


def _known_as(promotion: Promotion, email: str) -> UUID | None:
    """The actor id under which this address was invited to this request before."""
    earlier = SignoffInvitation.objects.filter(promotion=promotion)
    texts = SearchText.objects.filter(
        event__in=list(earlier.values_list("event_id", flat=True)), name="email", text__iexact=email.strip()
    )
    event = texts.order_by("id").values_list("event_id", flat=True).first()
    return earlier.filter(event_id=event).values_list("actor_id", flat=True).first() if event else None


@service("signoff.revoked")
def revoke_signoff(*, command: Command, promotion_id: UUID, invitation_id: UUID) -> Result[SignoffInvitation]:
    """Take a link back before it is used. Binds at commit; twice changes nothing."""
    found = selectors.promotion(command.actor, promotion_id)
    lock(found.workspace_id, found.ref)
    require(command, "signoff.invite", found.ref)
    invitation = (
        SignoffInvitation.objects.select_for_update().filter(promotion=found, id=invitation_id).first()
    )
    if invitation is None:
        raise NotFound("not_found", kind="invitation", name=str(invitation_id))
    if invitation.revoked_at is not None:
        return Result(invitation, created=False)
    if invitation.used_at is not None:
        raise Conflict("signoff_settled", subject=found.ref)
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])
    record(
        command,
        verb="signoff.revoked",
        subject=found.ref,
        after=digest_of({"invitation": str(invitation.id), "revoked": True}),
        detail={"invitation": str(invitation.id)},
    )
    return Result(invitation, created=False)


def invitation_of(text: str) -> SignoffInvitation:
    """The invitation of a link. NotFound for a text we did not sign, or that is not what was signed."""
    parsed = signoff_links.parse(text)
    rows = SignoffInvitation.objects.select_related("promotion__version__model", "promotion__policy")
    invitation = rows.filter(public_id=parsed[0]).first() if parsed else None
    if parsed is None or invitation is None or not signoff_links.matches(invitation, parsed[1]):
        raise NotFound("not_found", kind="link", name="")
    return invitation


def why_closed(invitation: SignoffInvitation) -> str:
    """The code of what keeps a link from working now; empty if it works."""
    if invitation.revoked_at is not None:
        return "signoff_revoked"
    if invitation.used_at is not None:
        return "signoff_used"
    return "signoff_expired" if invitation.expires_at <= timezone.now() else ""


def guest(invitation: SignoffInvitation) -> Actor:
    """Somebody outside, as the ledger knows them: a person without roles, by a random id."""
    return Actor(
        "person",
        invitation.actor_id,
        invitation.workspace_id,
        person=invitation.actor_id,
        scopes=frozenset(),
    )


@service("promotion.decided")
def decide_by_link(
    *, command: Command, link: str, verdict: str, reason: str, dossier_digest: str
) -> Result[Decision]:
    """Record the word of the person the link was made for. The link is used up by that, and by nothing else."""
    seen = invitation_of(link)
    promotion = locked(command, seen.promotion_id)
    if command.actor != guest(seen):
        raise Forbidden("not_permitted", subject=promotion.ref, action="promotion.decide")
    invitation = SignoffInvitation.objects.select_for_update().get(id=seen.id)
    if code := why_closed(invitation):
        raise Conflict(code, subject=promotion.ref)
    now = clock.now()
    awaiting_decision(promotion, verdict, reason, now)
    dossier = dossier_as_seen(promotion, dossier_digest, now)
    if invitation.role not in quorum.needed(promotion.policy.body):
        raise Conflict(
            "signoff_not_asked",
            subject=promotion.ref,
            policy=promotion.policy.label,
            role=invitation.role,
        )
    if Decision.objects.filter(
        promotion=promotion, person_id=invitation.actor_id, dossier_digest=dossier.digest
    ).exists():
        raise Conflict("already_decided", subject=promotion.ref)
    not_blocked(promotion, dossier, verdict)
    invitation.used_at = timezone.now()
    invitation.save(update_fields=["used_at"])
    return Result(
        write_down(command, promotion, dossier, invitation.actor_id, invitation.role, verdict, reason)
    )
