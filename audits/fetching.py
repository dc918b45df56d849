"""Bytes from where they lie: file, http(s), S3. Never into the network Crivo stands in, and never without a digest.

* file: in the folders of CRIVO_FILE_ROOTS only, wherever links lead.
* http(s): as webhooks go (audits.outbound): one look-up, public addresses or CRIVO_FETCH_ALLOW, no redirects.
* s3: the buckets of CRIVO_S3_BUCKETS through fsspec, with the endpoint and the keys of the installation, no redirects.

A URI that ends in `/` is a folder (file and s3), packed as audits.folders says. Size and time are bounded; the bytes
are kept only if their digest is the announced one.
"""

from __future__ import annotations

import http.client
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings

from audits import blobs, outbound
from audits.checks.contract import Message
from audits.errors import TooLarge, Unprocessable
from audits.folders import pack

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MOST_FILES = 2_000
SCHEMES = ("file", "https", "http", "s3")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY = re.compile(r"[^\x00-\x1f\x7f?#\\]{1,1024}")


class _Refused(Exception):  # noqa: N818 - says what happened
    def __init__(self, code: str, /, **params: object) -> None:
        self.message = Message(code, params)
        super().__init__(code)


def fetch(workspace: UUID, uri: object, digest: object) -> blobs.Stored | Unprocessable:
    """The bytes of `uri` in the blob store, or the refusal as a value: the service refuses with it."""
    try:
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise _Refused("fetch_digest_needed")
        if not isinstance(uri, str) or len(uri) > 2000 or not uri.isprintable():
            raise _Refused("fetch_uri_malformed")
        with tempfile.TemporaryFile() as kept:
            with _opened(uri) as source:
                _copied(source, kept)
            kept.seek(0)
            found = _digest_of(kept)
            if found != digest:
                raise _Refused("upload_digest_mismatch", expected=digest, found=found)
            kept.seek(0)
            return blobs.store(workspace, kept, cap=settings.CRIVO_UPLOAD_CAP)
    except _Refused as refused:
        field = "digest" if "digest" in refused.message.code else "uri"
        return Unprocessable(refused.message.code, field=field, **refused.message.params)
    except TooLarge as error:
        return Unprocessable("fetch_too_large", field="uri", cap=error.message.params["cap"])
    except outbound.Unanswered as error:
        return Unprocessable(_ours(error.message.code), field="uri", **error.message.params)
    except outbound.Refused as error:
        return Unprocessable(_ours(error.message.code), field="uri", **error.message.params)


def announced(uri: object, digest: object) -> blobs.Stored | Unprocessable:
    """What is said to lie at `uri`, unseen: of data in a zone nothing is fetched here. Size 0: nobody has looked."""
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        return Unprocessable("fetch_digest_needed", field="digest")
    if not isinstance(uri, str) or len(uri) > 2000 or not uri.isprintable():
        return Unprocessable("fetch_uri_malformed", field="uri")
    scheme, _, rest = uri.partition("://")
    if scheme not in SCHEMES:
        return Unprocessable("fetch_scheme_unknown", field="uri", scheme=scheme[:20], known=list(SCHEMES))
    if "@" in rest.partition("/")[0] or "?" in rest:
        # A password, or a signed link: it would be written down for good.
        return Unprocessable("fetch_uri_malformed", field="uri")
    return blobs.Stored(digest, 0)


class NotFetched(Exception):  # noqa: N818 - says what happened
    """The bytes are not there, or are others; `code` says which."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@contextmanager
def fetched(uri: str, digest: str) -> Iterator[IO[bytes]]:
    """The bytes of `uri` in a file without a name, their digest proved. Raises NotFetched. For workers in a zone."""
    with tempfile.TemporaryFile() as kept:
        try:
            with _opened(uri) as source:
                _copied(source, kept)
        except _Refused as error:
            raise NotFetched(error.message.code) from error
        except TooLarge as error:
            raise NotFetched("fetch_too_large") from error
        except (outbound.Unanswered, outbound.Refused) as error:
            raise NotFetched(_ours(error.message.code)) from error
        kept.seek(0)
        if _digest_of(kept) != digest:
            raise NotFetched("upload_digest_mismatch")
        kept.seek(0)
        yield kept


def _digest_of(file: Any) -> str:
    return f"sha256:{file_digest(file, 'sha256').hexdigest()}"


def _ours(code: str) -> str:
    return code.replace("webhook_", "fetch_", 1)


def _copied(source: IO[bytes], sink: IO[bytes]) -> None:
    size, cap = 0, settings.CRIVO_UPLOAD_CAP
    deadline = time.monotonic() + settings.CRIVO_FETCH_SECONDS
    try:
        while chunk := source.read(blobs.CHUNK):
            size += len(chunk)
            if size > cap:
                raise TooLarge("upload_too_large", cap=cap)
            if time.monotonic() > deadline:
                raise _Refused("fetch_too_slow", seconds=settings.CRIVO_FETCH_SECONDS)
            sink.write(chunk)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Refused("fetch_no_answer", error=type(error).__name__) from error


@contextmanager
def _opened(uri: str) -> Iterator[IO[bytes]]:
    scheme = uri.partition("://")[0]
    if scheme == "file":
        with _file(uri) as source:
            yield source
    elif scheme in ("http", "https"):
        with _http(uri) as source:
            yield source
    elif scheme == "s3":
        with _s3(uri) as source:
            yield source
    else:
        raise _Refused("fetch_scheme_unknown", scheme=scheme[:20], known=["file", "https", "s3"])


# Files


@contextmanager
def _file(uri: str) -> Iterator[IO[bytes]]:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise _Refused("fetch_uri_malformed")
    text = unquote(parts.path)
    if "\x00" in text:
        raise _Refused("fetch_uri_malformed")
    path = Path(text)
    with ExitStack() as stack:
        if text.endswith("/"):
            root = _within_roots(path)
            found = sorted(each.relative_to(root).as_posix() for each in root.rglob("*") if each.is_file())
            packed = stack.enter_context(tempfile.TemporaryFile())
            pack(_parts(found, lambda name: _regular(root / name)), packed)
            packed.seek(0)
            yield packed
        else:
            yield stack.enter_context(_regular(path))


def _within_roots(path: Path) -> Path:
    """The path without links, in a permitted folder. What is not there and what may not be: the same words."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _Refused("fetch_file_refused") from error
    roots = [Path(root).resolve() for root in settings.CRIVO_FILE_ROOTS]
    if not any(real == root or root in real.parents for root in roots):
        raise _Refused("fetch_file_refused")
    return real


def _regular(path: Path) -> IO[bytes]:
    real = _within_roots(path)
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        raise _Refused("fetch_file_refused") from error
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        # a folder on the way may have been exchanged for a link meanwhile: where are we really?
        _within_roots(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        if not regular:
            raise _Refused("fetch_file_refused")
    except _Refused:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _parts(names: list[str], opened: Any) -> Iterator[tuple[str, IO[bytes]]]:
    if not names:
        raise _Refused("fetch_folder_empty")
    if len(names) > MOST_FILES:
        raise _Refused("fetch_folder_too_many", files=len(names), limit=MOST_FILES)
    left = settings.CRIVO_UPLOAD_CAP
    for name in names:
        with opened(name) as source:
            counted = _Counted(source, left)
            yield name, counted  # type: ignore[misc]
            left = counted.left


class _Counted:
    """A file that ends a copy over the cap while it is packed."""

    def __init__(self, source: IO[bytes], left: int) -> None:
        self.source, self.left = source, left

    def read(self, size: int = -1) -> bytes:
        chunk = self.source.read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise TooLarge("upload_too_large", cap=settings.CRIVO_UPLOAD_CAP)
        return chunk


# HTTP


@contextmanager
def _http(uri: str) -> Iterator[IO[bytes]]:
    seconds = float(settings.CRIVO_FETCH_SECONDS)
    with outbound.get(uri, rules=fetch_rules(), seconds=seconds) as response:
        if response.status != 200:
            raise _Refused("fetch_status", status=response.status)
        if response.getheader("Content-Encoding", "identity") != "identity":
            raise _Refused("fetch_encoded")
        announced = response.getheader("Content-Length")
        if announced and announced.isdecimal() and int(announced) > settings.CRIVO_UPLOAD_CAP:
            raise TooLarge("upload_too_large", cap=settings.CRIVO_UPLOAD_CAP)
        yield response


def fetch_rules() -> outbound.Rules:
    return outbound.Rules(
        http=settings.CRIVO_FETCH_HTTP,
        ports=tuple(settings.CRIVO_FETCH_PORTS),
        allow=tuple(settings.CRIVO_FETCH_ALLOW),
        longest=2000,  # a signed URL is long
    )


# S3


@contextmanager
def _s3(uri: str) -> Iterator[IO[bytes]]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket) or not _KEY.fullmatch(key) or ".." in key.split("/"):
        raise _Refused("fetch_uri_malformed")
    if bucket not in settings.CRIVO_S3_BUCKETS:
        raise _Refused("fetch_bucket_refused", bucket=bucket)
    try:
        store = _filesystem()
        with ExitStack() as stack:
            if key.endswith("/"):
                prefix = f"{bucket}/{key}"
                found = (str(name).removeprefix(prefix) for name in store.find(prefix))
                # an empty object `folder/` is how consoles draw a folder; on a disk it would not be a file
                names = sorted(name for name in found if name and not name.endswith("/"))
                packed = stack.enter_context(tempfile.TemporaryFile())
                pack(_parts(names, lambda name: store.open(prefix + name, "rb")), packed)
                packed.seek(0)
                yield packed
            else:
                source = stack.enter_context(store.open(f"{bucket}/{key}", "rb"))
                if (
                    source.size or 0
                ) > settings.CRIVO_UPLOAD_CAP:  # as the store says, before a byte of it comes
                    raise TooLarge("upload_too_large", cap=settings.CRIVO_UPLOAD_CAP)
                yield source
    except (_Refused, TooLarge):
        raise
    except Exception as error:  # botocore raises classes it makes as it goes
        raise _Refused("fetch_no_answer", error=type(error).__name__) from error


def _filesystem() -> Any:
    import fsspec

    from audits.s3_session import StraightSession

    options = dict(settings.CRIVO_S3)
    endpoint = options.pop("endpoint_url", None)
    region = options.pop("region", None)
    client = {name: value for name, value in (("endpoint_url", endpoint), ("region_name", region)) if value}
    return fsspec.filesystem(
        "s3",
        **options,
        client_kwargs=client,
        config_kwargs={
            # the bucket never becomes a part of a host name
            "s3": {"addressing_style": "path"},
            "connect_timeout": 10,
            "read_timeout": min(30, settings.CRIVO_FETCH_SECONDS),
            "retries": {"max_attempts": 2},
            "http_session_cls": StraightSession,
        },
        use_listings_cache=False,
        skip_instance_cache=True,
        default_cache_type="readahead",
    )
