"""Reading a model version out of MLflow, over its REST API or from a `file:` store. MLflow itself is not needed.

What is carried: parameters, metrics, the digests of the data the run logged, the commit of its code, and the
bytes of the model. Sources: MLflow REST API 2.0 (model-versions, runs, mlflow-artifacts), the layout of its file store.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

from governance.client.errors import Unreachable, Usage

REFERENCE = re.compile(r"models:/([^/]+)/([1-9][0-9]*)")
MAX_JSON = 16 << 20
MAX_FILES = 1_000
TIMEOUT = 60.0
FORMATS = {
    ".skops": "skops",
    ".joblib": "joblib",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".ubj": "xgboost",
    ".xgb": "xgboost",
    ".lgb": "lightgbm",
    ".onnx": "onnx",
}
LOCKS = ("requirements.txt", "conda.yaml", "python_env.yaml")


@dataclass(frozen=True)
class Version:
    """A registered version with its run. `artifacts`: where its files are."""

    name: str
    version: str
    run_id: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    datasets: list[dict[str, str]]  # {name, digest, context, source_type}
    artifacts: Artifacts = field(repr=False)


class Artifacts(Protocol):
    def files(self) -> list[str]: ...

    def read(self, path: str, sink: BinaryIO) -> None: ...


def tracking_uri() -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        raise Usage(
            "MLFLOW_TRACKING_URI is not set: where is MLflow? For example http://localhost:5000 or file:./mlruns",
            code="mlflow_uri_missing",
        )
    return uri


def read(reference: str, uri: str) -> Version:
    """The version `models:/NAME/VERSION` of the registry at `uri`. Usage, Unreachable."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise Usage(
            f"{reference!r}: write models:/NAME/VERSION, with the number of the version.",
            code="mlflow_reference",
        )
    name, version = unquote(match[1]), match[2]
    if uri.startswith(("http://", "https://")):
        return _from_server(Server(uri), name, version)
    if uri.startswith("file:") or "://" not in uri:
        place = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
        return _from_folder(Path(place), name, version)
    raise Usage(f"{uri!r}: only http, https and file stores can be read.", code="mlflow_uri")


# A server


class Server:
    """One tracking server. A token (MLFLOW_TRACKING_TOKEN) goes to it and nowhere else; redirects are not followed."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri.rstrip("/"))
        if not parts.hostname or parts.username or parts.query or parts.fragment:
            raise Usage(f"{uri!r} is not the address of an MLflow server.", code="mlflow_uri")
        self.uri, self.base = uri, parts.path
        self._host, self._port, self._https = parts.hostname, parts.port, parts.scheme == "https"

    def get(self, address: str, /, **query: str) -> Any:
        address = f"{address}?{urlencode(query)}" if query else address
        with self._open(address) as response:
            data = response.read(MAX_JSON + 1)
        try:
            if len(data) > MAX_JSON:
                raise ValueError("longer than 16 MiB")
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Unreachable(
                f"{self.uri} does not answer as MLflow does: {error}", code="mlflow_answer"
            ) from error

    def download(self, path: str, sink: BinaryIO) -> None:
        with self._open(path) as response:
            while chunk := response.read(1 << 18):
                sink.write(chunk)
            if response.length:
                raise Unreachable(f"{self.uri} broke off in the middle of {path}.", code="mlflow_answer")

    def _open(self, path: str) -> http.client.HTTPResponse:
        connection: http.client.HTTPConnection
        if self._https:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        headers = {"Accept": "*/*", "Connection": "close"}
        if token := os.environ.get("MLFLOW_TRACKING_TOKEN", "").strip():
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request("GET", self.base + path, headers=headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"MLflow at {self.uri} cannot be reached: {error}. Check MLFLOW_TRACKING_URI.",
                code="mlflow_unreachable",
            ) from error
        if response.status != 200:
            raise self._failure(response)
        return response

    def _failure(self, response: http.client.HTTPResponse) -> Usage | Unreachable:
        try:
            said = json.loads(response.read(1 << 16))
            code, text = str(said["error_code"]), str(said["message"])
        except (ValueError, KeyError, TypeError):
            code, text = "", f"it answered {response.status}"
        if code == "RESOURCE_DOES_NOT_EXIST":
            return Usage(f"MLflow at {self.uri}: {text}", code="mlflow_not_found")
        return Unreachable(f"MLflow at {self.uri}: {text}", code="mlflow_answer", status=response.status)


def _object(data: Any, name: str) -> dict[str, Any]:
    found = data.get(name) if isinstance(data, dict) else None
    if not isinstance(found, dict):
        raise Unreachable(f"The answer of MLflow has no “{name}”.", code="mlflow_answer")
    return found


def _pairs(data: Any) -> dict[str, Any]:
    return {
        str(item["key"]): item.get("value", "")
        for item in data or ()
        if isinstance(item, dict) and "key" in item
    }


def _from_server(server: Server, name: str, version: str) -> Version:
    api = "/api/2.0/mlflow"
    found = _object(server.get(f"{api}/model-versions/get", name=name, version=version), "model_version")
    run_id = str(found.get("run_id") or "")
    data: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    if run_id:
        run = _object(server.get(f"{api}/runs/get", run_id=run_id), "run")
        data, inputs = run.get("data") or {}, run.get("inputs") or {}
    answer = server.get(f"{api}/model-versions/get-download-uri", name=name, version=version)
    where = answer.get("artifact_uri") if isinstance(answer, dict) else None
    if not isinstance(where, str):
        raise Unreachable("MLflow does not say where the files of the version are.", code="mlflow_answer")
    return Version(
        name,
        version,
        run_id,
        {key: str(value) for key, value in _pairs(data.get("params")).items()},
        _metrics(_pairs(data.get("metrics"))),
        {key: str(value) for key, value in {**_pairs(data.get("tags")), **_pairs(found.get("tags"))}.items()},
        [_dataset(item) for item in inputs.get("dataset_inputs") or ()],
        _artifacts(server, where),
    )


def _metrics(pairs: dict[str, Any]) -> dict[str, float]:
    found = {}
    for key, value in pairs.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if isfinite(number):  # what is no number says nothing about the model
            found[key] = number
    return found


def _dataset(item: Any) -> dict[str, str]:
    about = item.get("dataset", {}) if isinstance(item, dict) else {}
    context = _pairs(item.get("tags") if isinstance(item, dict) else ()).get("mlflow.data.context", "")
    return {
        "name": str(about.get("name", "")),
        "digest": str(about.get("digest", "")),
        "source_type": str(about.get("source_type", "")),
        "context": str(context),
    }


def _artifacts(server: Server, uri: str) -> Artifacts:
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        return _Proxied(server, unquote(parts.path).strip("/"))
    if parts.scheme in ("", "file"):
        return _Local(Path(unquote(parts.path)))
    raise Usage(
        f"The files of this version are at {uri}: only the mlflow-artifacts proxy and local folders can be read. "
        "Download the model file and register it with: crivo model register FILE …",
        code="mlflow_artifacts",
    )


def _inside(path: str) -> str:
    """A path that a server named, relative to where it lies. Nothing that leads out of there."""
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise Unreachable(f"MLflow names a file {path!r}, which is no path of a model.", code="mlflow_answer")
    return path


@dataclass(frozen=True)
class _Proxied:
    """Artefacts behind the tracking server's proxy."""

    server: Server
    root: str
    api = "/api/2.0/mlflow-artifacts/artifacts"

    def files(self) -> list[str]:
        return sorted(self._walk("", 0))

    def _walk(self, folder: str, depth: int) -> Iterator[str]:
        answer = self.server.get(self.api, path="/".join(part for part in (self.root, folder) if part))
        entries = answer.get("files") if isinstance(answer, dict) else None
        for found, entry in enumerate(entries or ()):
            # Relative to what was listed.
            name = _inside(str(entry["path"]).split("/")[-1])
            path = f"{folder}/{name}" if folder else name
            if found > MAX_FILES or depth > 10:
                raise Usage("The model has more files than can be looked through.", code="mlflow_artifacts")
            if entry.get("is_dir"):
                yield from self._walk(path, depth + 1)
            else:
                yield path

    def read(self, path: str, sink: BinaryIO) -> None:
        whole = "/".join(part for part in (self.root, _inside(path)) if part)
        self.server.download(f"{self.api}/{quote(whole)}", sink)


@dataclass(frozen=True)
class _Local:
    """Artefacts in a folder of this machine."""

    root: Path

    def files(self) -> list[str]:
        found = sorted(
            path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()
        )
        if not found:
            raise Usage(f"There are no files in {self.root}.", code="mlflow_artifacts")
        return found

    def read(self, path: str, sink: BinaryIO) -> None:
        try:
            with (self.root / _inside(path)).open("rb") as file:
                while chunk := file.read(1 << 18):
                    sink.write(chunk)
        except OSError as error:
            raise Usage(
                f"{self.root / path} cannot be read: {error.strerror}", code="file_unreadable"
            ) from error


# A folder


def _from_folder(root: Path, name: str, version: str) -> Version:
    registered = root / "models" / _inside(name) / f"version-{version}"
    about = _flat(registered / "meta.yaml")
    run_id = about.get("run_id", "")
    run = (
        next((path for path in root.glob(f"*/{_inside(run_id)}") if path.is_dir()), None) if run_id else None
    )
    source = about.get("storage_location") or about.get("source", "")
    parts = urlsplit(source)
    if parts.scheme not in ("", "file"):
        raise Usage(f"The files of this version are at {source}, not in this store.", code="mlflow_artifacts")
    return Version(
        name,
        version,
        run_id,
        _folder(run, "params"),
        _metrics(
            {
                key: text.split("\n")[-1].split(" ")[1]
                for key, text in _folder(run, "metrics").items()
                if " " in text
            }
        ),
        {**_folder(run, "tags"), **_folder(registered, "tags")},
        _inputs(root, run),
        _Local(Path(unquote(parts.path))),
    )


def _flat(path: Path) -> dict[str, str]:
    """The `key: value` lines of a meta.yaml of MLflow: all of its values are plain or quoted on one line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Usage(
            f"{path} cannot be read: {error.strerror}. Is it there?", code="mlflow_not_found"
        ) from error
    found = {}
    for line in lines:
        key, colon, value = line.partition(":")
        value = value.strip()
        if colon and not line.startswith((" ", "-")):
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            found[key.strip()] = "" if value == "null" else value
    return found


def _folder(run: Path | None, name: str) -> dict[str, str]:
    """{relative name: text} of the files below a folder of the store."""
    if run is None or not (run / name).is_dir():
        return {}
    root = run / name
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8").strip("\n") for path in files}


def _inputs(root: Path, run: Path | None) -> list[dict[str, str]]:
    found = []
    for path in (
        sorted((run / "inputs").glob("*/meta.yaml")) if run is not None and (run / "inputs").is_dir() else ()
    ):
        link = _flat(path)
        dataset = next(iter(root.glob(f"*/datasets/{_inside(link.get('source_id', 'x'))}/meta.yaml")), None)
        if dataset is not None:
            about = _flat(dataset)
            context = re.search(r"mlflow\.data\.context:\s*(\S+)", path.read_text(encoding="utf-8"))
            found.append(
                {
                    "name": about.get("name", ""),
                    "digest": about.get("digest", ""),
                    "source_type": about.get("source_type", ""),
                    "context": context[1] if context else "",
                }
            )
    return found


# What Crivo is told


@dataclass(frozen=True)
class Carried:
    """The file to register and what MLflow knows of the metadata."""

    path: str
    metadata: dict[str, Any]


def carried(version: Version, artifact: str | None = None) -> Carried:
    """Which file is the model, and the metadata that MLflow can speak for. Usage where that cannot be told.

    Description and tags can change in MLflow afterwards, so they stay there: the same version is registered once.
    """
    files = version.artifacts.files()
    flavour = _text_of(version.artifacts, "MLmodel") if "MLmodel" in files else ""
    path = artifact or _model_file(files, flavour)
    if path not in files:
        raise Usage(f"The model has no file {path}. It has: {', '.join(files[:20])}", code="mlflow_artifacts")
    metadata: dict[str, Any] = {
        "format": FORMATS.get(Path(path).suffix.lower(), "pickle"),
        "framework": "scikit-learn" if re.search(r"^  sklearn:", flavour, re.MULTILINE) else "mlflow",
        "claimed_metrics": version.metrics,
        "params": {
            **version.params,
            "mlflow": {
                "model": f"models:/{version.name}/{version.version}",
                "run_id": version.run_id,
                "datasets": version.datasets,
                "source": {
                    key: value
                    for key, value in sorted(version.tags.items())
                    if key.startswith("mlflow.source.")
                },
            },
        },
    }
    for name in ("seed", "random_state"):
        if version.params.get(name, "").isdecimal():
            metadata.setdefault("seed", int(version.params[name]))
    commit = version.tags.get("mlflow.source.git.commit", "")
    if re.fullmatch(r"[0-9a-f]{7,64}", commit):
        metadata["code_commit"] = commit
    lock = next((name for name in LOCKS if name in files), None)
    if lock is not None:
        digest = sha256()
        version.artifacts.read(lock, _Hashing(digest))  # type: ignore[arg-type]
        metadata["environment_digest"] = f"sha256:{digest.hexdigest()}"
    return Carried(path, metadata)


class _Hashing:
    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)


def _text_of(artifacts: Artifacts, path: str) -> str:
    sink = io.BytesIO()
    artifacts.read(path, sink)
    return sink.getvalue()[:1_000_000].decode("utf-8", "replace")


def _model_file(files: list[str], flavour: str) -> str:
    named = re.search(r"^\s+(?:pickled_model|model_path):\s*(\S+)\s*$", flavour, re.MULTILINE)
    if named and named[1] in files:
        return named[1]
    candidates = [path for path in files if Path(path).suffix.lower() in FORMATS]
    if len(candidates) != 1:
        raise Usage(
            f"Which file is the model? Say it with --artifact. There are: {', '.join(files[:20])}",
            code="mlflow_artifacts",
        )
    return candidates[0]
