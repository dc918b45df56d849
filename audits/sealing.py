"""Texts of people, sealed under a key per person that can be erased.

A person's key is 32 random bytes, kept wrapped (AES-256-GCM under the sealing key, bound to the person's id). A text is
sealed with its salt (AES-256-GCM under the person's key, bound to event and name): nonce ‖ ciphertext ‖ tag, 12 random
bytes of nonce. Without the key neither text nor salt can be had, and the commitment in the leaf says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import connection

from audits.keys import sealing_key
from audits.ledger.body import text_commitment
from audits.models import Event, EventText, PersonalKey
from audits.models.ledger import Outcome
from audits.verifier import SALT_BYTES

NONCE = 12


@dataclass(frozen=True)
class Opened:
    text: str
    salt: bytes

    @property
    def commitment(self) -> str:
        return text_commitment(self.salt, self.text)


def encrypt(key: bytes, content: bytes, about: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, about)


def decrypt(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """ValueError if it was changed, belongs to something else, or the key is another one."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], about)
    except InvalidTag as error:
        raise ValueError(
            "a sealed text does not open: it was changed, or the sealing key is another one"
        ) from error


def _about(event: UUID, name: str) -> bytes:
    return f"{event} {name}".encode()


def key_for(person: UUID) -> bytes:
    """The key of a person, made if there is none. Part of a transaction: an erasure waits until it has ended."""
    with connection.cursor() as cursor:
        select = "SELECT wrapped FROM audits_personal_key WHERE person_id = %s FOR KEY SHARE"
        cursor.execute(select, [person])
        row = cursor.fetchone()
        if row is None:
            wrapped = encrypt(sealing_key(), os.urandom(32), person.bytes)
            cursor.execute(
                "INSERT INTO audits_personal_key (person_id, wrapped, created_at) "
                "VALUES (%s, %s, clock_timestamp()) ON CONFLICT DO NOTHING",
                [person, wrapped],
            )
            cursor.execute(select, [person])
            row = cursor.fetchone()
    return decrypt(sealing_key(), bytes(row[0]), person.bytes)


def sealed(event: UUID, name: str, person: UUID, text: str, salt: bytes, key: bytes) -> EventText:
    return EventText(
        event_id=event,
        name=name,
        person_id=person,
        sealed=encrypt(key, salt + text.encode(), _about(event, name)),
    )


def opened(
    rows: Iterable[EventText], damaged: set[tuple[UUID, str]] | None = None
) -> dict[tuple[UUID, str], Opened]:
    """What can still be read of these, by (event, name): texts whose key was erased are left out. One query.

    Whoever wrote again after their erasure has a new key, which does not open what was erased: that is left out, too.
    ValueError if one was changed, unless `damaged` is there to take the places of those.
    """
    wanted = list(rows)
    stored = PersonalKey.objects.in_bulk({row.person_id for row in wanted})
    keys: dict[UUID, bytes] = {}
    erased: dict[UUID, datetime | None] = {}
    found = {}
    for row in wanted:
        if row.person_id in stored:
            try:
                if row.person_id not in keys:
                    wrapped = bytes(stored[row.person_id].wrapped)
                    keys[row.person_id] = decrypt(sealing_key(), wrapped, row.person_id.bytes)
                content = decrypt(keys[row.person_id], bytes(row.sealed), _about(row.event_id, row.name))
            except ValueError:
                if row.person_id not in erased:
                    erased[row.person_id] = erased_at(row.person_id)
                since = erased[row.person_id]
                if since is not None and row.event.at <= since:
                    continue
                if damaged is None:
                    raise
                damaged.add((row.event_id, row.name))
                continue
            found[row.event_id, row.name] = Opened(content[SALT_BYTES:].decode(), content[:SALT_BYTES])
    return found


def erased_at(person: UUID) -> datetime | None:
    """When the person was last erased: what they had written by then cannot be read."""
    rows = Event.objects.filter(
        subject_kind="person", subject_id=person, verb="person.erased", outcome=Outcome.DONE
    )
    return rows.order_by("-subject_seq").values_list("at", flat=True).first()


def texts_of(events: Iterable[UUID], name: str | None = None) -> dict[tuple[UUID, str], str]:
    """The words of people in these events, by (event, name), in the order they were written. Two queries."""
    rows = EventText.objects.filter(event__in=list(events)).order_by("id")
    if name is not None:
        rows = rows.filter(name=name)
    return {place: found.text for place, found in opened(rows).items()}


def text_of(event: UUID, name: str) -> str:
    """One text; empty if it was never written or was erased."""
    return texts_of([event], name).get((event, name), "")


def rewrap(cursor: Any, previous: bytes, new: bytes) -> int:
    """Wrap every person's key under `new`, as the owner of the table; how many. Those under it already stay.

    ValueError, with the person, for a key that neither opens: the caller rolls back.
    """
    done = 0
    cursor.execute("SELECT person_id, wrapped FROM audits_personal_key ORDER BY person_id FOR UPDATE")
    for person, wrapped in cursor.fetchall():
        try:
            key = decrypt(previous, bytes(wrapped), person.bytes)
        except ValueError as error:
            try:
                decrypt(new, bytes(wrapped), person.bytes)
            except ValueError:
                raise ValueError(str(person)) from error
            continue
        cursor.execute(
            "UPDATE audits_personal_key SET wrapped = %s WHERE person_id = %s",
            [encrypt(new, key, person.bytes), person],
        )
        done += 1
    return done
