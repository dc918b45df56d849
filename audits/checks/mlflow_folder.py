"""An MLflow model folder, packed as a zip: which of its flavours we read, and the bytes of that one.

The folder's `MLmodel` names flavours; formats without code come first. A pickled scikit-learn flavour is read only
where the version is declared as `mlflow-pickle`, so that a policy that wants no pickle never meets one unawares.
Nothing is unpacked to a disk: members are read into memory, within limits, and never by a path of ours.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from audits.checks.contract import CheckError

MAX_MEMBERS = 2_000
MAX_BYTES = 2 << 30  # of all members together, unpacked
MAX_DESCRIPTION = 1 << 20  # of MLmodel


@dataclass(frozen=True)
class Flavour:
    """The model file of a folder: its format as `loading` knows it, bytes, and the library version that wrote it."""

    format: str
    content: bytes
    library: str
    version: str | None


def unpacked(file: BinaryIO, role: str) -> zipfile.ZipFile:
    """The archive, its promises checked before a byte is inflated. Raises CheckError `archive_*`."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise CheckError("archive_unreadable", role=role, problem=type(error).__name__) from None
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise CheckError("archive_too_large", role=role, members=len(members), limit=MAX_MEMBERS)
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise CheckError("archive_too_large", role=role, members=total, limit=MAX_BYTES)
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise CheckError("archive_unreadable", role=role, problem="DuplicateMember")
    return archive


def member(archive: zipfile.ZipFile, name: str, role: str, limit: int = MAX_BYTES) -> bytes:
    """One member, never more bytes than the directory promised. Raises CheckError."""
    try:
        info = archive.getinfo(name)
        allowed = min(info.file_size, limit)
        with archive.open(info) as file:
            content = file.read(allowed + 1)
    except KeyError:
        raise CheckError("archive_member_missing", role=role, name=name[:200]) from None
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise CheckError("archive_unreadable", role=role, problem=type(error).__name__) from None
    if len(content) > allowed:
        raise CheckError("archive_too_large", role=role, members=len(content), limit=allowed)
    return content


def flavour(content: bytes, *, pickles: bool) -> Flavour:
    """The one flavour to load. Raises CheckError `mlflow_*`, `archive_*`."""
    import yaml

    archive = unpacked(io.BytesIO(content), "artifact")
    found = sorted(
        (name for name in archive.namelist() if PurePosixPath(name).name == "MLmodel"),
        key=lambda name: (len(PurePosixPath(name).parts), name),
    )
    if not found:
        raise CheckError("archive_member_missing", role="artifact", name="MLmodel")
    root = PurePosixPath(found[0]).parent
    try:
        described = yaml.safe_load(member(archive, found[0], "artifact", MAX_DESCRIPTION))
        flavours = dict(described["flavors"])
    except CheckError:
        raise
    except Exception as error:  # whatever YAML or its author came up with
        raise CheckError("mlflow_undescribed", problem=type(error).__name__) from None
    for name, choose in (
        ("xgboost", _xgboost),
        ("lightgbm", _lightgbm),
        ("onnx", _onnx),
        ("sklearn", _sklearn),
    ):
        about = flavours.get(name)
        if not isinstance(about, dict):
            continue
        format_, path, version = choose(about, pickles)
        data = member(archive, _within(root, path), "artifact")
        return Flavour(format_, data, {"sklearn": "scikit-learn"}.get(name, name), version)
    raise CheckError("mlflow_flavour_unsupported", flavours=", ".join(sorted(map(str, flavours)))[:200])


def _within(root: PurePosixPath, path: str) -> str:
    wanted = PurePosixPath(path)
    if wanted.is_absolute() or ".." in wanted.parts or not path:
        raise CheckError("archive_member_missing", role="artifact", name=path[:200])
    return str(root / wanted)


def _text(about: dict[str, Any], *keys: str) -> str | None:
    for key in keys:
        value = about.get(key)
        if isinstance(value, str) and value:
            return value
    return None


def _xgboost(about: dict[str, Any], pickles: bool) -> tuple[str, str, str | None]:
    return "xgboost", _text(about, "data") or "model.xgb", _text(about, "xgb_version")


def _lightgbm(about: dict[str, Any], pickles: bool) -> tuple[str, str, str | None]:
    path = _text(about, "data") or "model.lgb"
    if path.endswith((".pkl", ".pickle")):
        _need(pickles)
        return "pickle", path, _text(about, "lgb_version")
    return "lightgbm", path, _text(about, "lgb_version")


def _onnx(about: dict[str, Any], pickles: bool) -> tuple[str, str, str | None]:
    return "onnx", _text(about, "data") or "model.onnx", _text(about, "onnx_version")


def _sklearn(about: dict[str, Any], pickles: bool) -> tuple[str, str, str | None]:
    path = _text(about, "pickled_model", "model_path") or "model.pkl"
    version = _text(about, "sklearn_version")
    if _text(about, "serialization_format") == "skops" or path.endswith(".skops"):
        return "skops", path, version
    _need(pickles)
    return "pickle", path, version


def _need(pickles: bool) -> None:
    if not pickles:
        raise CheckError("mlflow_pickle_undeclared", format="mlflow-pickle")
