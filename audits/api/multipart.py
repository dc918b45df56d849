"""An upload: one file part and one part `metadata` with a JSON object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from rest_framework.request import Request

from audits import blobs
from audits.actors import Actor
from audits.canonical import storable
from audits.errors import BadRequest

METADATA_LIMIT = 1 << 20  # characters
UNSTORABLE = {
    "text": "a text holds a NUL or a lone surrogate",
    "number": "a number is beyond what JSON can carry exactly (2^53 - 1)",
}


@dataclass(frozen=True)
class Received:
    stored: blobs.Stored
    metadata: dict[str, Any]
    file: UploadedFile[Any]

    @property
    def body(self) -> dict[str, Any]:
        """What an idempotency key is bound to: the bytes and the metadata."""
        return {"file": self.stored.digest, "metadata": self.metadata}


def receive(request: Request, actor: Actor, part: str) -> Received:
    """Keep the bytes (nothing refers to them yet) and read the metadata. 400 names what is missing."""
    parts = request.data if isinstance(request.data, dict) else {}
    file = parts.get(part)
    if not isinstance(file, UploadedFile):
        raise BadRequest("upload_missing", field=part, part=part)
    text = parts.get("metadata", "{}")
    if isinstance(text, UploadedFile):
        text = text.read(METADATA_LIMIT + 1).decode("utf-8", "replace")
    if len(text) > METADATA_LIMIT:
        reason = f"more than {METADATA_LIMIT} characters"
        raise BadRequest("upload_metadata_invalid", field="metadata", reason=reason)
    try:
        metadata = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadRequest("upload_metadata_invalid", field="metadata", reason=str(error)[:200]) from error
    if not isinstance(metadata, dict):
        raise BadRequest("upload_metadata_invalid", field="metadata", reason="not an object")
    if changed := storable(metadata)[1]:
        raise BadRequest("upload_metadata_invalid", field="metadata", reason=UNSTORABLE[min(changed)])
    file.seek(0)
    stored = blobs.store(actor.workspace, file, cap=settings.CRIVO_UPLOAD_CAP)
    file.seek(0)
    return Received(stored, metadata, file)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
