"""Builds the wheel `crivo` out of governance/client (PEP 517), with the standard library only.

The package is called `crivo` in the wheel: imports are renamed on the way. The verifier is copied from its one source,
audits/verifier.py, so that `crivo verify` needs no checkout.
"""

from __future__ import annotations

import base64
import csv
import io
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

CLIENT = Path(__file__).resolve().parent.parent
VERIFIER = CLIENT.parent.parent / "audits" / "verifier.py"
LICENSE = CLIENT.parent.parent / "LICENSE"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same sources make the same bytes


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def _metadata(project: dict[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {project['version']}",
        f"Summary: {project['description']}", f"License-Expression: {project['license']}", "License-File: LICENSE",
        f"Requires-Python: {project['requires-python']}",
    ]  # fmt: skip
    for extra, needed in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {name}; extra == '{extra}'" for name in needed]
    return "\n".join(lines) + "\n"


def _sources() -> dict[str, bytes]:
    found = {}
    for path in sorted(CLIENT.rglob("*.py")):
        relative = path.relative_to(CLIENT)
        if relative.parts[0] != "wheel" and "__pycache__" not in relative.parts:
            text = path.read_text(encoding="utf-8").replace("governance.client", "crivo")
            found[f"crivo/{relative.as_posix()}"] = text.encode()
    found["crivo/verifier.py"] = VERIFIER.read_bytes()
    return found


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    project = _project()
    stem = f"{project['name']}-{project['version']}"
    info = f"{stem}.dist-info"
    scripts = "".join(f"{name} = {target}\n" for name, target in project["scripts"].items())
    files = _sources() | {
        f"{info}/METADATA": _metadata(project).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: crivo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}".encode(),
        f"{info}/licenses/LICENSE": LICENSE.read_bytes(),
    }
    record = io.StringIO()
    writer = csv.writer(record, lineterminator="\n")
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(sha256(data).digest()).decode().rstrip("=")
        writer.writerow([name, f"sha256={digest}", len(data)])
    writer.writerow([f"{info}/RECORD", "", ""])
    files[f"{info}/RECORD"] = record.getvalue().encode()
    name = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return name


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    raise NotImplementedError("the verifier's source is outside this folder: build the wheel from a checkout")
