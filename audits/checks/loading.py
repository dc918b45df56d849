"""Loading model files. Only ever called inside the confined child: joblib and pickle run code by design.

Whether a policy permits a format is decided before the child starts; here a file loads or is refused with a reason.
"""

from __future__ import annotations

import importlib
import io
import pickle
import re
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

from audits.checks import mlflow_folder
from audits.checks.contract import CheckError
from audits.checks.formats import FORMATS
from audits.checks.labels import listed

OWN_PACKAGES = ("sklearn.", "numpy.", "scipy.")
# Own packages hold more than model parts: helpers that open files, compile or load libraries stay outside.
_NEVER = re.compile(
    r"(^|\.)(_?testing\w*|tests?|conftest|f2py|ctypeslib|distutils|datasets|externals|utils\._testing)(\.|$)"
)
_CLASS_NAME = re.compile(r"_?[A-Z]\w*|dtype")
# In a pickle the version follows its key after a few opcode bytes; in skops' schema after some JSON.
_VERSION = re.compile(rb"_sklearn_version.{1,200}?(\d+\.\d+(?:\.\w+)+)", re.DOTALL)
_XGBOOST_JSON = re.compile(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]')
_XGBOOST_UBJ = re.compile(rb"version\[#L.{8}i(.)i(.)i(.)\]?", re.DOTALL)
# Estimators of the two boosting libraries as a step of a skops pipeline; their trees are read by the library itself.
BOOSTER_TYPES = frozenset(
    {
        "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor",
        "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor",
        "collections.OrderedDict", "collections.defaultdict",
    }
)  # fmt: skip


@dataclass(frozen=True)
class LoadedModel:
    """`other_version` is the scikit-learn version that wrote the file, where it is known and not ours."""

    estimator: Any
    other_version: str | None


def load_model(
    file: BinaryIO, format_: str, *, classes: tuple[str, ...] = (), task: str = "binary"
) -> LoadedModel:
    """The estimator in `file`; `classes` are the declared labels in the order of its outputs, where it names none.

    Raises CheckError: `model_format_unsupported`, `model_untrusted_types`, `model_version_mismatch` (both versions
    named), `library_version_mismatch`, `model_unreadable`, `model_not_an_estimator` and what the readers say.
    """
    if format_ not in FORMATS:
        raise CheckError("model_format_unsupported", format=format_)
    file.seek(0)
    content = file.read()
    if not content:
        raise CheckError("model_unreadable", format=format_, problem="EmptyFile")
    library, version = None, None
    if format_ in ("mlflow", "mlflow-pickle"):
        found = mlflow_folder.flavour(content, pickles=format_ == "mlflow-pickle")
        format_, content, library, version = found.format, found.content, found.library, found.version
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = _read(content, format_, classes, task)
        except (CheckError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            # hostile files raise what they like; the text may quote data, so only the class is kept
            _blame_version(content, format_, caught, library, version, str(error))
            raise CheckError("model_unreadable", format=format_, problem=type(error).__name__) from None
    if not callable(getattr(estimator, "predict", None)):
        raise CheckError("model_not_an_estimator", type=type(estimator).__name__)
    return LoadedModel(estimator, _foreign_version(content, caught))


def _read(content: bytes, format_: str, classes: tuple[str, ...], task: str) -> Any:
    if format_ == "skops":
        return _load_skops(content)
    if format_ == "joblib":
        return _load_joblib(content)
    if format_ == "pickle":
        return _load_pickle(content)
    if format_ == "onnx":
        from audits.checks.onnx_model import Onnx

        return Onnx(content, classes, task != "regression")
    from audits.checks.boosters import LightGBM, XGBoost

    model = XGBoost(content) if format_ == "xgboost" else LightGBM(content)
    if (model.task == "regression") != (task == "regression"):
        raise CheckError("model_task_differs", declared=task, found=model.task)
    if classes:
        model.name_classes(classes)
    return model


def _blame_version(
    content: bytes,
    format_: str,
    caught: list[warnings.WarningMessage],
    library: str | None,
    version: str | None,
    words: str,
) -> None:
    """Raise where the file says it was written by another version than ours."""
    if format_ in ("skops", "joblib", "pickle"):
        other = _foreign_version(content, caught)
        if other is None and library == "scikit-learn" and version != own_version():
            other = version
        if other is not None:
            raise CheckError("model_version_mismatch", written_with=other, read_with=own_version())
        return
    if format_ == "onnx" and "version" not in words and "opset" not in words.lower():
        return  # its format is known, something else is wrong with it
    name, ours = {"xgboost": "xgboost", "lightgbm": "lightgbm", "onnx": "onnxruntime"}[format_], ""
    ours = str(importlib.import_module(name).__version__)
    written = version or _written_with(content, format_)
    if written is not None and written != ours:
        raise CheckError(
            "library_version_mismatch", library=library or name, written_with=written, read_with=ours
        )


def _written_with(content: bytes, format_: str) -> str | None:
    """What a file says of the version that wrote it: XGBoost its library's, ONNX that of its format."""
    if format_ == "xgboost":
        found = _XGBOOST_JSON.search(content)
        if found is not None:
            return ".".join(part.decode() for part in found.groups())
        packed = _XGBOOST_UBJ.search(content)
        return None if packed is None else ".".join(str(part[0]) for part in packed.groups())
    if format_ == "onnx" and content[:1] == b"\x08":  # protobuf: field 1, ir_version
        return f"IR {content[1]}"
    return None


def own_version() -> str:
    import sklearn

    return str(sklearn.__version__)


def _load_skops(content: bytes) -> Any:
    import skops.io

    asked = skops.io.get_untrusted_types(data=content)
    unknown = [name for name in asked if not trusted(name)]
    if unknown:
        raise CheckError("model_untrusted_types", types=listed(sorted(unknown)))
    return skops.io.loads(content, trusted=asked)


def trusted(name: str) -> bool:
    """Whether a dotted type is a class of sklearn, numpy or scipy themselves, outside their test and build helpers."""
    return name in BOOSTER_TYPES or (
        name.startswith(OWN_PACKAGES)
        and _NEVER.search(name) is None
        and _CLASS_NAME.fullmatch(name.rpartition(".")[2]) is not None
    )


def _load_joblib(content: bytes) -> Any:
    import joblib

    return joblib.load(io.BytesIO(content))


def _load_pickle(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 (confined child, and only where the policy permits the format)


def _foreign_version(content: bytes, caught: list[warnings.WarningMessage]) -> str | None:
    """The version of scikit-learn that wrote the file, if known and not ours."""
    for warning in caught:
        written = getattr(warning.message, "original_sklearn_version", None)
        if written is not None:
            return str(written)
    found = _VERSION.search(content)
    if found is None:
        return None
    written = found.group(1).decode("ascii")
    return None if written == own_version() else written
