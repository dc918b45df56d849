"""What the notary may do in the database, and the service may not: two roles, so that neither can do the other's part.

The tree, its checkpoints, quarantine, attestations and lists of revoked ones are written by the role `crivo_notary`
alone. Whoever gets hold of the service's role can add events, but no leaf and no checkpoint, put no genuine event
aside, and mark no change past the door as told. The notary changes no governed row and reads no password, token or
word of a person.

Rights follow every `migrate` of the owner (`apply`, after the migrations; it may be done again at any time). Where the
role does not exist, the service keeps the notary's rights, and the notary works with the service's connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.utils.module_loading import import_string

SERVICE, NOTARY = "crivo_app", "crivo_notary"


@dataclass(frozen=True)
class Rights:
    """On one table beside SELECT: what the notary has, and what is taken from the service."""

    table: str
    notary: str
    not_service: str = ""


EVENT_COLUMNS = (
    "id, at, workspace_id, actor_kind, actor_id, on_behalf_of, verb, subject_kind, subject_id, subject_label, "
    "subject_digest, subject_seq, outcome, reason, texts, policy, evidence, before, after, detail, request_id, "
    "correlation_id, previous, subject_salt, head_salt, rest_salt, mac"
)
RIGHTS = [
    *(
        Rights(table, "INSERT", "INSERT")
        for table in ("audits_leaf", "audits_node", "audits_checkpoint", "audits_quarantine")
    ),
    Rights("audits_log_state", "INSERT, UPDATE (watermark)", "INSERT, UPDATE"),
    Rights("out_of_band_change", "UPDATE (alarm_event)", "UPDATE (alarm_event)"),
    # What it does is told by events of its own, like everything else.
    Rights("audits_event", f"INSERT ({EVENT_COLUMNS})"),
    Rights("audits_subject_head", "INSERT, UPDATE (seq, digest, state)"),
]
# Secrets, and words of people: nothing that is sequenced or signed depends on them.
CLOSED = {
    "audits_access",
    "audits_event_text",
    "audits_idempotency",
    "audits_personal_key",
    "audits_search_text",
    "audits_webhook",
    "django_admin_log",
    "django_session",
    "governance_api_token",
    "governance_signoff_invitation",
    "governance_user",
}


def rights() -> list[Rights]:
    """Those of the packages above, too (CRIVO_NOTARY_RIGHTS: dotted paths of lists)."""
    return [found for path in settings.CRIVO_NOTARY_RIGHTS for found in import_string(path)]


def apply(cursor: Any) -> bool:
    """Give and take, as the owner of the tables. False where there is no role of the notary: nothing was changed."""
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NOTARY])
    if cursor.fetchone() is None:
        return False
    cursor.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user"
    )
    tables = sorted(row[0] for row in cursor.fetchall())
    wanted = [found for found in rights() if found.table in tables]
    # From nothing each time: a right that was needed once must not stay.
    cursor.execute(f"REVOKE ALL ON {', '.join(tables)} FROM {NOTARY}")
    readable = [table for table in tables if table not in CLOSED]
    cursor.execute(f"GRANT SELECT ON {', '.join(readable)} TO {NOTARY}")
    for found in wanted:
        cursor.execute(f"GRANT {found.notary} ON {found.table} TO {NOTARY}")
        if found.not_service:
            cursor.execute(f"REVOKE {found.not_service} ON {found.table} FROM {SERVICE}")
    return True


def follow_migrations(using: str) -> None:
    """After `migrate`: tables that are new are the notary's to read, and what is its alone stays so."""
    if using == "migrator":
        with transaction.atomic(using=using), connections[using].cursor() as cursor:  # never half of them
            apply(cursor)


@contextmanager
def acting_as_notary() -> Iterator[None]:
    """What runs inside uses the notary's connection (DATABASE_NOTARY_URL) instead of the service's, in this thread.

    ImproperlyConfigured where the two are not of one database.
    """
    service, notary = connections["default"], connections["notary"]
    if service is notary:
        yield
        return
    if service.settings_dict["NAME"] != notary.settings_dict["NAME"]:
        raise ImproperlyConfigured("DATABASE_URL and DATABASE_NOTARY_URL must name one database.")
    connections["default"] = notary
    try:
        yield
    finally:
        connections["default"] = service
