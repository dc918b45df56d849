"""What the zygote loads before it forks: after the lock a child can open no file, so a lazy import is a
failed one.

Measured: walking the libraries below costs about 5 s and 420 MB once per worker process, shared by every
child.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import platform
import sys
import warnings
from collections.abc import Iterable
from types import ModuleType
from typing import Final

# `name.*` means: with every module below it. Libraries that aren't installed are left out.
PRELOAD: Final = (
    "audits.checks.*",
    "encodings.*",
    "numpy.*",
    "scipy.*",
    "pandas.*",
    "pyarrow.*",
    "joblib.*",
    "narwhals.*",  # data frames in and out of scikit-learn
    "dateutil.*",
    "pandera.*",  # expectations of columns
    "jsonschema.*",  # parameters of a check
    "jsonschema_specifications",
    "referencing.*",
    "sklearn.*",
    "skops.*",
    "shap.*",
    "xgboost.*",
    "lightgbm.*",
    "onnxruntime",
    "stdnum",
    "phonenumbers",
    "email_validator",
    "yaml",  # MLmodel files
)

# Imported by libraries only when a value of some kind turns up.
STANDARD_LIBRARY: Final = """
    _strptime bz2 calendar cmath concurrent.futures.thread csv dataclasses decimal difflib fractions
    gzip hashlib hmac html idna linecache lzma multiprocessing.dummy multiprocessing.pool numbers pickle
    pickletools pprint queue secrets statistics stringprep tarfile tempfile timeit traceback unicodedata
    uuid zipfile zlib zoneinfo
""".split()  # noqa: SIM905  (a list to read)

# Compilers, test suites and back-ends for hardware: nothing a check uses, slow or noisy to import.
_SKIP_PARTS: Final = frozenset(
    {"tests", "test", "testing", "_testing", "conftest", "setup", "__main__", "benchmark"}
)
_SKIP_NAMES: Final = (
    "numpy.f2py",
    "numpy.distutils",
    "numpy._pyinstaller",
    "pyarrow.cuda",
    "pyarrow.conftest",
    "scipy.special._precompute",
    "sklearn._build_utils",
    "xgboost.spark",
    "xgboost.dask",
    "lightgbm.dask",
    "xgboost.testing",
    "xgboost.tracker",
    "xgboost.collective",
    "lightgbm.plotting",
    "xgboost.plotting",
)


def preload(names: Iterable[str]) -> dict[str, str]:
    """Import `names` and return the versions of those that are libraries, with Python's own."""
    versions = {"python": platform.python_version()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in STANDARD_LIBRARY:
            _import(name)
        for name in names:
            root = name.removesuffix(".*")
            module = _import(root)
            if module is None:
                continue
            if name.endswith(".*"):
                _import_below(module)
            version = _version(root)
            if version:
                versions[root] = version
    return versions


def _import(name: str) -> ModuleType | None:
    # Optional parts of libraries fail in every way there is (a missing back-end raises ImportError,
    # AttributeError, even SystemExit); what is not loaded here is merely not available to a model.
    try:
        return importlib.import_module(name)
    except BaseException:
        return None


def _import_below(package: ModuleType) -> None:
    for info in pkgutil.iter_modules(getattr(package, "__path__", ())):
        full = f"{package.__name__}.{info.name}"
        if info.name in _SKIP_PARTS or info.name.startswith("test_") or full in _SKIP_NAMES:
            continue
        module = _import(full)
        if module is not None and info.ispkg:
            _import_below(module)


def _version(root: str) -> str | None:
    module = sys.modules[root]
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(root)
    except importlib.metadata.PackageNotFoundError:
        return None


def rehearse() -> None:
    """Do once what checks do, on made-up numbers: it fills caches and imports what only a call imports.

    Each library is optional here, as it is in `preload`. No threads: a fork would copy their locks, not them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in (_codecs, _tables, _expectations, _boosting, _forest):
            try:
                step()
            except ImportError:
                continue


def _codecs() -> None:
    b"\x80".decode("cp437")  # file names in zip archives: skops
    "crivo.example".encode("idna")


def _tables() -> None:
    import io

    if "pandas" not in sys.modules:
        return
    pandas = importlib.import_module("pandas")
    frame = pandas.read_csv(io.BytesIO(b"a,b,c\n1,x,2020-01-01\n2.5,,2021-02-03\n"))
    pandas.to_datetime(frame["c"])
    frame["b"].astype("category").describe()
    repr(frame)


def _expectations() -> None:
    if "pandera.pandas" not in sys.modules:
        return
    pandas, pandera = importlib.import_module("pandas"), sys.modules["pandera.pandas"]
    schema = pandera.DataFrameSchema({"a": pandera.Column("int64", pandera.Check.ge(2), unique=True)})
    try:
        schema.validate(pandas.DataFrame({"a": ["1", "1", "x"]}), lazy=True)
    except pandera.errors.SchemaErrors:
        pass


def _boosting() -> None:
    if "sklearn.ensemble" not in sys.modules:
        return
    numpy, ensemble = importlib.import_module("numpy"), sys.modules["sklearn.ensemble"]
    x = numpy.linspace(0.0, 1.0, 60).reshape(30, 2)
    y = numpy.arange(30) % 2
    ensemble.HistGradientBoostingClassifier(max_iter=1, early_stopping=False).fit(x, y).predict_proba(x)


def _forest() -> None:
    if "sklearn.ensemble" not in sys.modules or "shap" not in sys.modules:
        return
    numpy, ensemble = importlib.import_module("numpy"), sys.modules["sklearn.ensemble"]
    x = numpy.linspace(0.0, 1.0, 60).reshape(30, 2)
    y = numpy.arange(30) % 2
    forest = ensemble.RandomForestClassifier(n_estimators=2, max_depth=2, random_state=0).fit(x, y)
    sys.modules["shap"].TreeExplainer(forest).shap_values(x[:2])
