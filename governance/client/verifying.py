"""Where the stand-alone verifier is. Its only source is audits/verifier.py: found beside us, never copied by hand."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from governance.client.errors import Usage

HERE = Path(__file__).resolve().parent
PLACES = (HERE / "verifier.py", HERE.parent.parent / "audits" / "verifier.py")
"""In the wheel it is bundled beside this file; in a checkout it is where it is written."""


def verifier_path() -> Path | None:
    return next((path for path in PLACES if path.is_file()), None)


def load_verifier() -> ModuleType:
    """The verifier as a module. Usage says what is missing and how to get it."""
    if importlib.util.find_spec("cryptography") is None:
        raise Usage(
            "Verifying needs the package cryptography, which is not installed: pip install cryptography",
            code="cryptography_missing",
        )
    path = verifier_path()
    if path is None:
        raise Usage(
            "The verifier is not here. Take the file audits/verifier.py from the source of Crivo and run: "
            "python verifier.py DIR --vkey KEY",
            code="verifier_missing",
        )
    spec = importlib.util.spec_from_file_location("crivo_verifier", path)
    if not isinstance(spec, ModuleSpec) or spec.loader is None:
        raise Usage(f"{path} is not a Python file.", code="verifier_missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules["crivo_verifier"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module
