"""If-Match on updates: the change applies to what its author saw, or not at all (RFC 9110, 13.1.1).

The tag of an object is the id of its last event that changed it, so it survives refusals and a change of
presentation. It is read before the object itself: in a race an update is refused that could have been done, never
done where it had to be refused. It is compared where the event of the change is written, under the lock of the
subject: nothing can come in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from audits.actors import SubjectRef
from audits.errors import BadRequest, PreconditionFailed
from audits.models import Event

# A weak tag is legal in the header and never matches: strong comparison (RFC 9110, 8.8.3.2).
TAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"(?:[ \t]*,[ \t]*(?:W/)?"[\x21\x23-\x7e]*")*')
TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
LONGEST = 4_000


@dataclass(frozen=True)
class Precondition:
    """What the caller saw of the one subject of this kind that the command changes. `tags` None: that it exists."""

    kind: str
    tags: frozenset[str] | None

    def check(self, subject: SubjectRef) -> None:
        """412 unless the subject is still as seen. Called under its lock."""
        if subject.kind != self.kind:
            return
        now = last_change(subject)
        if now is None or (self.tags is not None and str(now) not in self.tags):
            # Something that is not there has no trail to remember the refusal on.
            raise PreconditionFailed(
                "precondition_failed", subject=subject if now else None, field="If-Match"
            )


def read_if_match(header: str, kind: str) -> Precondition | None:
    text = header.strip()
    if not text:
        return None
    if text == "*":
        return Precondition(kind, None)
    if len(text) > LONGEST or not TAGS.fullmatch(text):
        raise BadRequest("if_match_invalid", field="If-Match")
    return Precondition(kind, frozenset(tag for weak, tag in TAG.findall(text) if not weak))


def last_change(subject: SubjectRef) -> UUID | None:
    done = Event.objects.filter(subject_kind=subject.kind, subject_id=subject.id, outcome="done")
    return done.order_by("-subject_seq").values_list("id", flat=True).first()


def tag_of(subject: SubjectRef) -> str | None:
    """The ETag of the subject, or None where nothing has been recorded of it yet."""
    event = last_change(subject)
    return None if event is None else f'"{event}"'
