"""What is personal, and can go: keys of persons, the texts they can be searched by, and what forbids to erase them.

Keys live in a table of their own, which backups leave out (docs/audit.md): with the key of a person gone, everything
they wrote is unreadable in every copy of the database, and every proof still holds.
"""

from __future__ import annotations

from django.db import models

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.models.ledger import Event
from audits.models.workspace import Workspace


class PersonalKey(models.Model):
    """The key of one person (or process), wrapped under the sealing key, which the database does not hold."""

    person_id = models.UUIDField(primary_key=True)
    wrapped = models.BinaryField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "audits_personal_key"


class SearchText(models.Model):
    """A text as people search it: a projection that can be deleted, and made again from the sealed text."""

    event = models.ForeignKey(Event, models.PROTECT, related_name="+", db_constraint=False)
    name = models.CharField(max_length=40)
    person_id = models.UUIDField(db_index=True)
    text = models.TextField()

    class Meta:
        db_table = "audits_search_text"


class LegalHold(models.Model):
    """While it stands, what a person wrote is not erased. Why is a text of `event_id`. Lifted once, never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    person_id = models.UUIDField()
    event_id = models.UUIDField()
    lifted_event = models.UUIDField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "audits_legal_hold"
        indexes = [
            models.Index(
                fields=["person_id"], condition=models.Q(lifted_event=None), name="legal_hold_standing"
            )
        ]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("legal_hold", self.id)
