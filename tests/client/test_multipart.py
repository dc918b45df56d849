from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from hashlib import sha256
from pathlib import Path

import pytest

from governance.client import Crivo, Usage
from governance.client.multipart import CHUNK, Upload, digest_of_file
from tests.client.double import Asked, Double, answer, reset

VERSION = {
    "name": "patients",
    "n": 1,
    "reference": "patients@1",
    "digest": "sha256:" + "0" * 64,
    "size": 3,
    "rows": 1,
}


def parts_of(asked: Asked) -> dict[str, tuple[str | None, bytes]]:
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + asked.body)
    found = {}
    for part in message.iter_parts():
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        found[str(part.get_param("name", header="content-disposition"))] = (part.get_filename(), payload)
    return found


def test_what_arrives_is_the_file_and_its_metadata(tmp_path: Path, double: Double, crivo: Crivo) -> None:
    content = bytes(range(256)) * 3000  # more than one chunk, every byte
    path = tmp_path / 'we"ird;\r\nname é.csv'
    path.write_bytes(content)
    double.replies = [answer(201, VERSION)]
    seen: list[tuple[int, int]] = []
    crivo.register_dataset_version(
        "patients", path, sensitive={"sex": {}}, progress=lambda *now: seen.append(now)
    )
    asked = double.asked[0]
    assert asked.headers["content-length"] == str(len(asked.body))
    assert "transfer-encoding" not in asked.headers
    parts = parts_of(asked)
    assert parts["file"] == ("we_ird___name___.csv", content) or parts["file"][1] == content
    digest = sha256(content).hexdigest()
    assert parts["metadata"][1] == (
        b'{"format": "csv", "sensitive": {"sex": {}}, "digest": "sha256:' + digest.encode() + b'"}'
    )
    assert seen[0] == (CHUNK, len(content))
    assert seen[-1] == (len(content), len(content))


def test_a_repeat_sends_the_whole_file_again(tmp_path: Path, double: Double, crivo: Crivo) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n1\n")
    double.replies = [reset, answer(201, VERSION)]
    crivo.register_dataset_version("patients", path)
    first, second = double.asked
    assert parts_of(first) == parts_of(second)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.parametrize("then", [b"", b"12", b"12345"])
def test_a_file_that_changes_meanwhile_is_not_sent(then: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"123")
    upload = Upload.of("file", path, {})
    path.write_bytes(then)
    with pytest.raises(Usage, match="changed while it was being uploaded"):
        list(upload.body())


def test_after_a_stopped_upload_the_connection_is_not_used_again(
    tmp_path: Path, double: Double, crivo: Crivo
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"123")

    def shorten(sent: int, total: int) -> None:
        with path.open("ab") as file:
            file.write(b"4")

    with pytest.raises(Usage, match="changed"):
        crivo.register_dataset_version("patients", path, progress=shorten)
    assert crivo.transport._connection is None


def test_the_length_is_exact_for_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    upload = Upload.of("file", path, {"a": "ü"})
    assert len(b"".join(upload.body())) == upload.length


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="cannot be read: No such file"):
        Upload.of("file", tmp_path / "none", {})
    with pytest.raises(Usage, match="is not a file"):
        Upload.of("file", tmp_path, {})
    with pytest.raises(Usage, match="cannot be read: Is a directory"):
        digest_of_file(tmp_path)


def test_metadata_json_cannot_say(tmp_path: Path, double: Double, crivo: Crivo) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(b"x")
    with pytest.raises(Usage, match="cannot be sent as JSON"):
        crivo.register_model_version("m", path, {"threshold": float("nan")})
    assert double.asked == []
