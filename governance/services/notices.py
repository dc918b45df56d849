"""E-mail to reviewers: whoever could fill an open slot of a promotion is told that it waits, once for each dossier.

1. The event `promotion.checked` wakes a worker after its commit; the sweep finds what was lost on the way.
2. Whom to tell is decided when the notice is written, and again when it is sent: a slot filled, a role lost, a request
   withdrawn meanwhile, and the mail is not needed any more.
3. A mail is marked after the server took it. A worker that dies between the two sends it again, with the same
   Message-ID: twice is better than never.

Nothing here logs an address, a name or a text: a notice is called by its id.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, service
from audits.errors import Forbidden, Unprocessable
from audits.ledger.record import lock, record
from audits.states import step
from governance import access, scoping
from governance.dossier import approvals_given
from governance.models import (
    Decision,
    Exclusion,
    MailMode,
    MailPreference,
    Notice,
    Promotion,
    User,
)
from governance.policy import quorum
from governance.states import NOTICE, NoticeState, PromotionState

LEASE = timedelta(minutes=5)
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)
MAX_TRIES = 10  # with the waits below: some 20 hours
AT_ONCE = 500
log = logging.getLogger(__name__)


@service("mail_preference.changed")
def set_mail_preference(*, command: Command, mode: str, language: str = "") -> Result[MailPreference]:
    """How the actor wants mail about this workspace. Everybody for themselves; the same again changes nothing."""
    person = command.actor.person
    if person is None or command.actor.kind != "person":
        raise Forbidden("mail_preference_of_a_person")
    known = [code for code, _ in settings.LANGUAGES]
    if mode not in MailMode.values:
        raise Unprocessable("mail_mode_unknown", field="mode", mode=mode[:40], known=MailMode.values)
    if language and language not in known:
        raise Unprocessable("language_unknown", field="language", language=language[:20], known=known)
    row, created = MailPreference.objects.get_or_create(
        workspace_id=command.actor.workspace, person_id=person
    )
    lock(row.workspace_id, row.ref)
    row = MailPreference.objects.select_for_update().get(id=row.id)
    before = _digest(row)
    row.mode, row.language = mode, language
    if created or before != _digest(row):
        row.save()
        record(
            command,
            verb="mail_preference.changed",
            subject=row.ref,
            before="" if created else before,
            after=_digest(row),
            detail={"mode": mode},
        )
    return Result(row, created=created)


def _digest(row: MailPreference) -> str:
    return digest_of({"mode": row.mode, "language": row.language})


def preference_of(workspace: UUID, person: UUID) -> MailPreference:
    """As stored, or the default (not saved)."""
    found = MailPreference.objects.filter(workspace_id=workspace, person_id=person).first()
    return found or MailPreference(workspace_id=workspace, person_id=person)


def reviewers_of(promotion: Promotion) -> set[UUID]:
    """Everybody who could fill a slot that is still open: fitting role, not excluded, no word on this dossier yet."""
    if promotion.state != PromotionState.AWAITING_APPROVAL:
        return set()
    given = approvals_given(promotion, promotion.dossier_digest)
    missing = [
        row["role"] for row in quorum.tally(promotion.policy.body, given) if row["given"] < row["needed"]
    ]
    people = set(access.people_with(promotion.workspace_id, missing, scoping.owner_of(promotion.ref)))
    excluded = Exclusion.objects.filter(promotion=promotion).values_list("person_id", flat=True)
    decided = Decision.objects.filter(
        promotion=promotion, dossier_digest=promotion.dossier_digest
    ).values_list("person_id", flat=True)
    return people - set(excluded) - set(decided)


def notify_reviewers(promotion_id: UUID) -> int:
    """Write down whom to tell of this promotion, and tell those who want it immediately. How many mails went out."""
    if not settings.CRIVO_MAIL:
        return 0
    promotion = Promotion.objects.select_related("policy").filter(id=promotion_id).first()
    if promotion is None:
        return 0
    plan(promotion)
    return _send_immediate(promotion_id)


def plan(promotion: Promotion) -> None:
    """One notice for each reviewer and dossier, however often this is called. None for who wants no mail now."""
    people = reviewers_of(promotion)
    never = MailPreference.objects.filter(
        workspace_id=promotion.workspace_id, person__in=people, mode=MailMode.NEVER
    ).values_list("person_id", flat=True)
    reachable = User.objects.filter(id__in=people - set(never)).exclude(email="").values_list("id", flat=True)
    now = timezone.now()
    Notice.objects.bulk_create(
        (
            Notice(
                workspace_id=promotion.workspace_id,
                promotion=promotion,
                person_id=person,
                dossier_digest=promotion.dossier_digest,
                next_at=now,
            )
            for person in sorted(reachable)
        ),
        ignore_conflicts=True,
    )


def sweep() -> int:
    """What was lost or failed: plan again for everything that waits, and send what is due. How many mails went out."""
    if not settings.CRIVO_MAIL:
        return 0
    waiting = Promotion.objects.filter(state=PromotionState.AWAITING_APPROVAL).select_related("policy")
    for promotion in waiting.order_by("id")[:AT_ONCE]:
        plan(promotion)
    return _send_immediate()


def _send_immediate(promotion_id: UUID | None = None) -> int:
    due = Notice.objects.filter(state=NoticeState.PENDING, next_at__lte=timezone.now())
    if promotion_id is not None:
        due = due.filter(promotion_id=promotion_id)
    sent = 0
    for notice in _loaded(due):
        preference = preference_of(notice.workspace_id, notice.person_id)
        if preference.mode != MailMode.DAILY:
            sent += _send([notice], preference)
    return sent


def send_digests(now: datetime | None = None) -> int:
    """One mail for each person and workspace with what was waiting at the last CRIVO_DIGEST_HOUR. How many went out.

    Stateless: a notice belongs to the first digest hour after it was written, whenever this runs.
    """
    if not settings.CRIVO_MAIL:
        return 0
    now = now or timezone.now()
    hour = now.replace(hour=settings.CRIVO_DIGEST_HOUR % 24, minute=0, second=0, microsecond=0)
    boundary = hour if hour <= now else hour - timedelta(days=1)
    due = Notice.objects.filter(state=NoticeState.PENDING, next_at__lte=now, created_at__lte=boundary)
    groups: dict[tuple[UUID, UUID], list[Notice]] = defaultdict(list)
    for notice in _loaded(due):
        groups[notice.workspace_id, notice.person_id].append(notice)
    sent = 0
    for (workspace, person), notices in groups.items():
        preference = preference_of(workspace, person)
        if preference.mode == MailMode.DAILY:
            sent += _send(notices, preference)
    return sent


def _loaded(due: object) -> list[Notice]:
    rows = due.select_related(  # type: ignore[attr-defined]
        "person", "workspace", "promotion__policy", "promotion__version__model", "promotion__environment"
    )
    return list(rows.order_by("id")[:AT_ONCE])


def _send(notices: Sequence[Notice], preference: MailPreference) -> int:
    """One mail about these notices of one person. 1 if it went out."""
    ours = [notice for notice in notices if _claim(notice)]
    wanted = []
    for notice in ours:
        needed = (
            preference.mode != MailMode.NEVER
            and notice.person.email
            and notice.dossier_digest == notice.promotion.dossier_digest
            and notice.person_id in reviewers_of(notice.promotion)
        )
        if needed:
            wanted.append(notice)
        else:
            _settle(notice, NoticeState.SKIPPED)
    if not wanted:
        return 0
    try:
        _mail(wanted, preference).send()
    except Exception as error:  # whatever the mail backend raises: it is tried again, and the others go on
        # The text of an SMTP error quotes addresses; its type does not.
        log.warning("notice %s could not be mailed: %s", wanted[0].id, type(error).__name__)
        for notice in wanted:
            _failed(notice)
        return 0
    for notice in wanted:
        _settle(notice, NoticeState.SENT)
    return 1


def _claim(notice: Notice) -> bool:
    now = timezone.now()
    taken = Notice.objects.filter(
        id=notice.id, state=NoticeState.PENDING, next_at__lte=now, attempts=notice.attempts
    ).update(next_at=now + LEASE, attempts=F("attempts") + 1)
    notice.attempts += 1
    return bool(taken)


def _settle(notice: Notice, wanted: NoticeState) -> None:
    state = step(NOTICE, notice.state, wanted)
    Notice.objects.filter(id=notice.id, state=NoticeState.PENDING, attempts=notice.attempts).update(
        state=state, settled_at=timezone.now()
    )


def _failed(notice: Notice) -> None:
    if notice.attempts >= MAX_TRIES:
        _settle(notice, NoticeState.FAILED)
        return
    wait = min(FIRST_WAIT * 2 ** (notice.attempts - 1), LONGEST_WAIT)
    Notice.objects.filter(id=notice.id, state=NoticeState.PENDING, attempts=notice.attempts).update(
        next_at=timezone.now() + wait
    )


def _mail(notices: Sequence[Notice], preference: MailPreference) -> EmailMultiAlternatives:
    base = settings.CRIVO_BASE_URL.rstrip("/")
    with translation.override(preference.language or settings.LANGUAGE_CODE):
        context = {
            "workspace": notices[0].workspace.name,
            "items": [
                {
                    "label": notice.promotion.label,
                    "url": base + reverse("admin:promotion", args=[notice.promotion_id]),
                }
                for notice in notices
            ],
            "preferences": base + reverse("admin:preferences"),
            "language": translation.get_language(),
        }
        subject = " ".join(render_to_string("mail/awaiting_subject.txt", context).split())
        text = render_to_string("mail/awaiting.txt", context)
        html = render_to_string("mail/awaiting.html", context)
    host = urlsplit(base).hostname or "crivo"
    mail = EmailMultiAlternatives(
        subject,
        text,
        to=[notices[0].person.email],
        headers={"Message-ID": f"<{notices[0].id}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    mail.attach_alternative(html, "text/html")
    return mail
