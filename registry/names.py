from __future__ import annotations

import re

from audits.actors import SubjectRef
from audits.errors import Unprocessable
from audits.models.workspace import NAME


def checked_name(name: str, parent: SubjectRef) -> str:
    """A name of ours: lower case, digits, dot, underscore, hyphen; at most 200 characters. Else 422."""
    if len(name) > 200 or not re.fullmatch(NAME, name):
        raise Unprocessable("name_invalid", subject=parent, field="name", name=name[:200])
    return name
