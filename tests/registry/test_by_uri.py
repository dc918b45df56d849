"""Bytes by URI: file, http and S3, never without a digest, never out of the places that are permitted.

What a real S3 answers is in test_s3.py; here are stores that answer as none would.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from django.test import Client

from audits import blobs, outbound
from audits.folders import pack
from governance.models import User
from governance.services.access import bind_role
from registry.models import Dataset, DatasetVersion, Model, ModelVersion
from registry.services.datasets import register_dataset
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
CSV = study.CSV


def digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


class Server:
    """http on the loopback, and an S3 that does as it is told: `files` by path; `heard`: what was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.heard: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                outer.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                parts = urlsplit(self.path)
                path = unquote(parts.path)
                status, headers, content = 404, {}, b""
                if path in outer.answers:
                    status, headers, content = outer.answers[path]
                elif path in outer.files:
                    status, content = 200, outer.files[path]
                    asked = self.headers.get("Range", "")
                    if asked.startswith("bytes="):
                        first, _, last = asked.removeprefix("bytes=").partition("-")
                        whole = len(content)
                        content = content[int(first) : int(last or whole) + 1]
                        status = 206
                        headers = {"Content-Range": f"bytes {first}-{int(first) + len(content) - 1}/{whole}"}
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), "ETag": '"e"', **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    try:
                        self.wfile.write(content)
                    except OSError:
                        pass

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.server.shutdown()
    found.server.server_close()


def put(cast: Cast, uri: Any, announced: Any, who: str = "pipeline", **metadata: Any) -> Any:
    return Client().post(
        "/api/v1/datasets/patients/versions",
        {"uri": uri, "digest": announced, "metadata": metadata},
        content_type="application/json",
        headers=cast.headers(who),
    )


def open_to(server: Server, settings: Any) -> None:
    settings.CRIVO_FETCH_ALLOW = ["127.0.0.1/32"]
    settings.CRIVO_FETCH_PORTS = [server.port]
    settings.CRIVO_FETCH_HTTP = True


OTHER = CSV + b"33,2,30.0,1\n"


class TestFiles:
    def test_a_file_in_a_permitted_folder(self, ready: Cast, settings: Any, tmp_path: Path) -> None:
        settings.CRIVO_FILE_ROOTS = [str(tmp_path)]
        (tmp_path / "data set.csv").write_bytes(OTHER)
        uri = f"file://{tmp_path}/data%20set.csv"
        answer = put(ready, uri, digest(OTHER), sensitive={"sex": {}})
        assert answer.status_code == 201, answer.content
        assert answer.json()["kind"] == "uri"
        version = DatasetVersion.objects.get(n=2)
        assert (version.uri, version.digest, version.rows) == (uri, digest(OTHER), 5)
        with blobs.opened(ready.workspace.id, version.digest) as file:
            assert file.read() == OTHER

    def test_with_a_role_for_that_model_or_dataset_alone(
        self, ready: Cast, settings: Any, tmp_path: Path
    ) -> None:
        """Asked of the workspace, such a role answers no: the bytes must still be fetched, and be what was named."""
        settings.CRIVO_FILE_ROOTS = [str(tmp_path)]
        (tmp_path / "data.csv").write_bytes(OTHER)
        (tmp_path / "model").write_bytes(b"narrow")
        nina = ready.people["nina"] = User.objects.create_user("nina", is_staff=True)
        for on in (Dataset.objects.get().ref, Model.objects.get().ref):
            bind_role(command=study.shell(ready), role="data_scientist", person=nina, scope=on.kind, on=on)
        answer = put(ready, f"file://{tmp_path}/data.csv", digest(OTHER), "nina", sensitive={"sex": {}})
        assert (answer.status_code, answer.json()["digest"]) == (201, digest(OTHER)), answer.content
        answer = Client().post(
            "/api/v1/models/progression/versions",
            {"uri": f"file://{tmp_path}/model", "digest": digest(b"narrow"), "metadata": study.metadata()},
            content_type="application/json",
            headers=ready.headers("nina"),
        )
        assert (answer.status_code, answer.json()["artifact_digest"]) == (201, digest(b"narrow"))

    def test_an_evaluation_set_by_who_may_register_nothing_else(
        self, ready: Cast, settings: Any, tmp_path: Path
    ) -> None:
        settings.CRIVO_FILE_ROOTS = [str(tmp_path)]
        (tmp_path / "data.csv").write_bytes(OTHER)
        bruno = ready.command("bruno")
        register_dataset(command=bruno, name="unseen", hidden=True)
        answer = Client().post(
            "/api/v1/datasets/unseen/versions",
            {"uri": f"file://{tmp_path}/data.csv", "digest": digest(OTHER)},
            content_type="application/json",
            headers=ready.headers("bruno"),
        )
        assert (answer.status_code, answer.json()["digest"]) == (201, digest(OTHER)), answer.content

    def test_a_model_and_the_folder_of_one(self, ready: Cast, settings: Any, tmp_path: Path) -> None:
        settings.CRIVO_FILE_ROOTS = [str(tmp_path)]
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "MLmodel").write_text("flavors: {}")
        (folder / "b.ubj").write_bytes(b"{")
        packed = io.BytesIO()
        pack([(name, io.BytesIO((folder / name).read_bytes())) for name in ("MLmodel", "b.ubj")], packed)
        answer = Client().post(
            "/api/v1/models/progression/versions",
            {
                "uri": f"file://{folder}/",
                "digest": digest(packed.getvalue()),
                "metadata": study.metadata(format="mlflow"),
            },
            content_type="application/json",
            headers=ready.headers("pipeline"),
        )
        assert answer.status_code == 201, answer.content
        with blobs.opened(ready.workspace.id, ModelVersion.objects.get().artifact_digest) as file:
            assert zipfile.ZipFile(file).namelist() == ["MLmodel", "b.ubj"]

    def test_what_lies_elsewhere_is_as_if_it_were_not_there(
        self, ready: Cast, settings: Any, tmp_path: Path
    ) -> None:
        inside, outside = tmp_path / "in", tmp_path / "out"
        inside.mkdir()
        outside.write_bytes(OTHER)
        (inside / "link").symlink_to(outside)
        (inside / "loop").symlink_to(inside / "loop")
        settings.CRIVO_FILE_ROOTS = [str(inside)]
        uris = ["/etc/passwd", f"{outside}", f"{inside}/../out", f"{inside}/link", f"{inside}/loop", f"{inside}/no",
                f"{inside}/%2e%2e/out", f"{inside}", "/proc/self/environ", "/dev/zero", f"{tmp_path}/"]  # fmt: skip
        with unchanged(refusals=len(uris)):
            for path in uris:
                answer = put(ready, f"file://{path}", digest(OTHER))
                assert (answer.status_code, answer.json()["code"]) == (422, "fetch_file_refused"), path
        with unchanged(refusals=1):
            assert (
                put(ready, f"file://elsewhere{outside}", digest(OTHER)).json()["code"]
                == "fetch_uri_malformed"
            )
        settings.CRIVO_FILE_ROOTS = []
        with unchanged(refusals=1):
            assert put(ready, f"file://{inside}/link", digest(OTHER)).json()["code"] == "fetch_file_refused"


class TestHttp:
    def test_bytes_over_http(self, ready: Cast, settings: Any, server: Server) -> None:
        open_to(server, settings)
        server.files["/d.csv"] = OTHER
        answer = put(ready, f"http://127.0.0.1:{server.port}/d.csv", digest(OTHER), sensitive={"sex": {}})
        assert answer.status_code == 201, answer.content
        assert "authorization" not in server.heard[0][1]

    def test_nothing_is_asked_of_the_inner_network(self, ready: Cast, settings: Any, server: Server) -> None:
        settings.CRIVO_FETCH_PORTS, settings.CRIVO_FETCH_HTTP = [server.port], True
        hosts = ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"]
        with unchanged(refusals=len(hosts)):
            for host in hosts:
                answer = put(ready, f"http://{host}:{server.port}/d.csv", digest(OTHER))
                assert (answer.status_code, answer.json()["code"]) == (422, "fetch_address_refused"), host
        assert server.heard == []

    def test_a_name_is_looked_up_once(self, settings: Any, server: Server) -> None:
        """A second look-up that leads inside (DNS rebinding) never happens: the address looked at is connected to."""
        settings.CRIVO_FETCH_PORTS, settings.CRIVO_FETCH_HTTP = [server.port], True
        from audits.fetching import fetch_rules

        answers = iter([["127.0.0.1"]])
        with (
            pytest.raises(outbound.Refused, match="address_refused"),
            outbound.get(
                f"http://rebinding.example:{server.port}/x",
                rules=fetch_rules(),
                seconds=5,
                resolve=lambda host, port: next(answers),
            ),
        ):
            pass
        assert server.heard == []

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            ((302, {"Location": "http://169.254.169.254/"}, b""), "fetch_status"),
            ((500, {}, b"x"), "fetch_status"),
            ((200, {"Content-Encoding": "gzip"}, OTHER), "fetch_encoded"),
            ((200, {"Content-Length": str(1 << 50)}, b""), "fetch_too_large"),
            ((200, {"Content-Length": "500"}, b"short"), "upload_digest_mismatch"),
            ((200, {}, b"another content"), "upload_digest_mismatch"),
            ((200, {}, b"x" * 2000), "fetch_too_large"),
        ],
    )
    def test_answers_that_are_not_taken(
        self, ready: Cast, settings: Any, server: Server, answer: Any, code: str
    ) -> None:
        open_to(server, settings)
        settings.CRIVO_UPLOAD_CAP, settings.CRIVO_FETCH_SECONDS = 1000, 3
        server.answers["/d.csv"] = answer
        with unchanged(refusals=1):
            refused = put(ready, f"http://127.0.0.1:{server.port}/d.csv", digest(OTHER))
            assert (refused.status_code, refused.json()["code"]) == (422, code), refused.content

    @pytest.mark.parametrize(
        ("uri", "announced", "code"),
        [
            ("https://example.org/x", "", "fetch_digest_needed"),
            ("https://example.org/x", "sha256:12", "fetch_digest_needed"),
            ("http://example.org/x", digest(OTHER), "fetch_scheme_refused"),
            ("https://example.org:22/x", digest(OTHER), "fetch_port_refused"),
            ("https://u:p@example.org/x", digest(OTHER), "fetch_url_malformed"),
            ("ftp://example.org/x", digest(OTHER), "fetch_scheme_unknown"),
            ("gopher://x", digest(OTHER), "fetch_scheme_unknown"),
            ("x", digest(OTHER), "fetch_scheme_unknown"),
            ("https://" + "x" * 3000, digest(OTHER), "fetch_uri_malformed"),
            (7, digest(OTHER), "fetch_uri_malformed"),
        ],
    )
    def test_uris_that_are_not_read(self, ready: Cast, uri: Any, announced: str, code: str) -> None:
        with unchanged(refusals=1):
            answer = put(ready, uri, announced)
            assert (answer.status_code, answer.json()["code"]) == (422, code), answer.content

    def test_nothing_is_fetched_for_who_may_not(self, ready: Cast, settings: Any, server: Server) -> None:
        open_to(server, settings)
        server.files["/d.csv"] = OTHER
        with unchanged(refusals=1):
            answer = put(ready, f"http://127.0.0.1:{server.port}/d.csv", digest(OTHER), "clara")
            assert answer.status_code == 403
        assert server.heard == []


class TestS3:
    def opened(self, settings: Any, server: Server) -> None:
        settings.CRIVO_S3 = {
            "key": "k", "secret": "a-secret", "endpoint_url": f"http://127.0.0.1:{server.port}", "region": "us-east-1",
        }  # fmt: skip
        settings.CRIVO_S3_BUCKETS = ["bucket"]

    def test_the_secret_signs_and_is_never_sent(self, ready: Cast, settings: Any, server: Server) -> None:
        self.opened(settings, server)
        server.files["/bucket/a/d.csv"] = OTHER
        answer = put(ready, "s3://bucket/a/d.csv", digest(OTHER), sensitive={"sex": {}})
        assert answer.status_code == 201, answer.content
        assert all("AWS4-HMAC-SHA256" in headers.get("authorization", "") for _, headers in server.heard)
        assert not any("a-secret" in json.dumps(row) for row in server.heard)

    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_a_store_that_sends_elsewhere_is_not_followed(
        self, ready: Cast, settings: Any, server: Server, status: int
    ) -> None:
        """Nor into another region: the endpoint is the one that was set up."""
        inner = Server()
        self.opened(settings, server)
        inner.files["/bucket/x"] = OTHER
        away = {"Location": f"http://127.0.0.1:{inner.port}/bucket/x", "x-amz-bucket-region": "eu-west-1"}
        server.answers["/bucket/x"] = (status, away, b"")
        try:
            with unchanged(refusals=1):
                refused = put(ready, "s3://bucket/x", digest(OTHER))
                assert (refused.status_code, refused.json()["code"]) == (422, "fetch_no_answer")
            assert inner.heard == []
        finally:
            inner.server.shutdown()
            inner.server.server_close()

    def test_what_a_store_says_is_too_long_is_not_begun(
        self, ready: Cast, settings: Any, server: Server
    ) -> None:
        self.opened(settings, server)
        server.answers["/bucket/x"] = (200, {"Content-Length": str(1 << 50)}, OTHER)
        with unchanged(refusals=1):
            refused = put(ready, "s3://bucket/x", digest(OTHER))
            assert (refused.status_code, refused.json()["code"]) == (422, "fetch_too_large")
        assert len(server.heard) == 1, "asked how long it is, and no more"


def test_a_folder_is_the_same_for_the_same_files() -> None:
    made = []
    for _ in range(2):
        sink = io.BytesIO()
        pack([("a", io.BytesIO(b"1")), ("b/c", io.BytesIO(b"2"))], sink)
        made.append(sink.getvalue())
    assert made[0] == made[1]
    assert digest(made[0]) == "sha256:c067212f8b82dcb7a92b19d90bc5fb6df9c915727388e2e0f042f37798fed8a6"


def test_a_dialect_is_kept_and_is_part_of_what_a_version_is(ready: Cast) -> None:
    content = "idade;sexo;renda\n30;mulher;1.234,5\n40;homem;2,5\n".encode("latin-1")
    from django.core.files.uploadedfile import SimpleUploadedFile

    def upload(**dialect: str) -> Any:
        return Client().post(
            "/api/v1/datasets/patients/versions",
            {"file": SimpleUploadedFile("u", content), "metadata": json.dumps({"dialect": dialect})},
            headers=ready.headers("pipeline"),
        )

    answer = upload(decimal=",", encoding="latin-1")
    assert answer.status_code == 201, answer.content
    assert answer.json()["columns"] == [
        {"name": "idade", "type": "integer"},
        {"name": "sexo", "type": "text"},
        {"name": "renda", "type": "number"},
    ]
    assert answer.json()["dialect"] == {"decimal": ",", "encoding": "latin-1"}
    assert upload(decimal=",", encoding="latin-1").status_code == 200
    assert upload().json()["code"] == "same_content_other_declaration"
    for wrong in ({"separator": ";;"}, {"decimal": "x"}, {"encoding": "ebcdic"}, {"quote": "'"}):
        assert upload(**wrong).status_code == 400
