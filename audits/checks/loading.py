"""Loading model files. Only ever called inside the confined child: joblib and pickle run code by design.

Whether a policy permits a format is decided before the child starts; here a file loads or is refused with a reason.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

from audits.checks.contract import CheckError
from audits.checks.labels import listed

OWN_PACKAGES = ("sklearn.", "numpy.", "scipy.")
# Own packages hold more than model parts: helpers that open files, compile or load libraries stay outside.
_NEVER = re.compile(
    r"(^|\.)(_?testing\w*|tests?|conftest|f2py|ctypeslib|distutils|datasets|externals|utils\._testing)(\.|$)"
)
_CLASS_NAME = re.compile(r"_?[A-Z]\w*|dtype")
# In a pickle the version follows its key after a few opcode bytes; in skops' schema after some JSON.
_VERSION = re.compile(rb"_sklearn_version.{1,200}?(\d+\.\d+(?:\.\w+)+)", re.DOTALL)


@dataclass(frozen=True)
class LoadedModel:
    """`other_version` is the scikit-learn version that wrote the file, where it is known and not ours."""

    estimator: Any
    other_version: str | None


def load_model(file: BinaryIO, format_: str) -> LoadedModel:
    """The estimator in `file` (skops, joblib or pickle).

    Raises CheckError: `model_format_unsupported`, `model_untrusted_types`, `model_version_mismatch` (both versions
    named), `model_unreadable`, `model_not_an_estimator`.
    """
    readers = {"skops": _load_skops, "joblib": _load_joblib, "pickle": _load_pickle}
    if format_ not in readers:
        raise CheckError("model_format_unsupported", format=format_)
    file.seek(0)
    content = file.read()
    if not content:
        raise CheckError("model_unreadable", format=format_, problem="EmptyFile")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = readers[format_](content)
        except CheckError:
            raise
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            # hostile files raise what they like; the text may quote data, so only the class is kept
            other = _foreign_version(content, caught)
            if other is not None:
                raise CheckError(
                    "model_version_mismatch", written_with=other, read_with=own_version()
                ) from None
            raise CheckError("model_unreadable", format=format_, problem=type(error).__name__) from None
    if not callable(getattr(estimator, "predict", None)):
        raise CheckError("model_not_an_estimator", type=type(estimator).__name__)
    return LoadedModel(estimator, _foreign_version(content, caught))


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
    return (
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
