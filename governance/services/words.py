"""What services that judge share: words that must be there, a person who acts, and who had a hand in a version."""

from __future__ import annotations

import re
from uuid import UUID

from audits.actors import Command, SubjectRef
from audits.door import require
from audits.errors import Forbidden, Unprocessable
from governance.models import ApiToken
from registry.models import Dataset, ModelVersion

WORDS_LIMIT = 4000
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def checked_words(text: str, field: str, subject: SubjectRef) -> str:
    if not text.strip() or len(text) > WORDS_LIMIT:
        raise Unprocessable("words_missing", subject=subject, field=field, name=field, limit=WORDS_LIMIT)
    return text


def person_acting(command: Command, action: str, subject: SubjectRef) -> UUID:
    """The person who acts, themselves or through a personal token; 403 for everybody else."""
    require(command, action, subject)
    if command.actor.person is None or command.actor.kind != "person":
        raise Forbidden("not_permitted", subject=subject, action=action)
    return command.actor.person


def hands_in(version: ModelVersion) -> set[UUID]:
    """Author, trainer (the person behind the token) and dataset owners. A trigger in the database knows the same."""
    behind = ApiToken.objects.filter(id=version.registered_by).values_list("person_id", flat=True).first()
    used = {version.evaluation_id, *version.training.values_list("id", flat=True)}
    owners = Dataset.objects.filter(versions__id__in=used).values_list("owner_id", flat=True)
    return {version.author_id, version.registered_by, *owners} | ({behind} if behind else set())


def hands_off(version: ModelVersion, person: UUID, subject: SubjectRef) -> None:
    """403 for whoever had a hand in the version."""
    if person in hands_in(version):
        raise Forbidden("hand_in_version", subject=subject, version=version.label)
