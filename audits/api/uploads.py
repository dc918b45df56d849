from __future__ import annotations

from typing import IO, Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler

from audits.errors import TooLarge


class CappedUploadHandler(FileUploadHandler):
    """Stop an upload over the cap while it streams in, however it was announced."""

    def handle_raw_input(
        self,
        input_data: IO[bytes],
        META: dict[str, str],  # noqa: N803 - Django's name
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        self.received = 0
        self._check(content_length - (1 << 20))  # room for the metadata part and the boundaries

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.received += len(raw_data)
        self._check(self.received)
        return raw_data

    def file_complete(self, file_size: int) -> Any:
        return None

    def _check(self, size: int) -> None:
        cap = settings.CRIVO_UPLOAD_CAP
        if size > cap:
            raise TooLarge("upload_too_large", cap=cap)
