"""Environment locks: the file that says which packages a version was made with, read for its list of packages.

Understood are requirements files (with or without hashes, `pip freeze`), `uv.lock`, `poetry.lock`, `pylock.toml`
(PEP 751), `conda list --explicit`, and JSON as `pip list`, `conda list` and `pip inspect` write it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from audits.errors import Unprocessable

SIZE_LIMIT = 8 << 20
MAX_PACKAGES = 10_000
TEXT_LIMIT = 200
KNOWN = ("requirements", "uv.lock", "poetry.lock", "pylock.toml", "conda-explicit", "pip-json", "conda-json")
SHA256 = re.compile(r"^sha256[:=]([0-9a-f]{64})$")
# pip's own options, which name no package: --index-url, -r, -c, --no-binary …
OPTION = re.compile(r"^-{1,2}[a-zA-Z]")
NAME = re.compile(r"^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$")


@dataclass(frozen=True, order=True)
class Package:
    """One line of a lock. `version` is empty where the lock leaves it open; `sha256`: of the files it may be."""

    name: str
    version: str
    ecosystem: str = "pypi"  # or conda
    sha256: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sha256": list(self.sha256)}


@dataclass(frozen=True)
class Lock:
    format: str
    packages: tuple[Package, ...]

    @property
    def open(self) -> int:
        """Packages of which it does not say which version."""
        return sum(not package.version for package in self.packages)


def look(file: BinaryIO) -> Lock | Unprocessable:
    """What a lock lists, or the refusal as a value: it is read before the service's transaction begins."""
    try:
        return read(file.read(SIZE_LIMIT + 1))
    except Unprocessable as refusal:
        return refusal


def read(content: bytes) -> Lock:
    """The packages of a lock, sorted by name. Raises Unprocessable `lock_unreadable` with the line or the reason."""
    if len(content) > SIZE_LIMIT:
        raise _unreadable(f"more than {SIZE_LIMIT} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(f"byte {error.start} is not UTF-8") from error
    if "\x00" in text:
        raise _unreadable("it holds a NUL")
    try:
        format_, found = _packages(text)
        packages = _each_once(found)
    except RecursionError as error:
        raise _unreadable("nested too deep") from error
    if not packages:
        raise _unreadable("it names no package")
    if len(packages) > MAX_PACKAGES:
        raise _unreadable(f"more than {MAX_PACKAGES} packages")
    return Lock(format_, tuple(packages))


def _each_once(found: Iterator[Package]) -> list[Package]:
    """A version that stands there twice (for two platforms) is one package, with the files of both."""
    hashes: dict[tuple[str, str, str], set[str]] = {}
    for package in found:
        key = package.name, package.version, package.ecosystem
        hashes.setdefault(key, set()).update(package.sha256)
    return [Package(*key, tuple(sorted(kept))) for key, kept in sorted(hashes.items())]


def _unreadable(reason: str) -> Unprocessable:
    return Unprocessable("lock_unreadable", field="file", reason=reason[:300], known=list(KNOWN))


def _packages(text: str) -> tuple[str, Iterator[Package]]:
    start = text.lstrip()[:1]
    if start in ("{", "[") and not re.match(r"\s*\[\[?[A-Za-z]", text):
        try:
            data = json.loads(text)
        except ValueError as error:
            raise _unreadable(str(error)) from error
        return _from_json(data)
    if re.search(r"^\[\[packages?\]\]\s*$", text, re.MULTILINE):
        try:
            return _from_toml(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise _unreadable(str(error)) from error
    if re.search(r"^@EXPLICIT\s*$", text, re.MULTILINE):
        return "conda-explicit", _from_conda(text)
    return "requirements", _from_requirements(text)


def _package(name: Any, version: Any, ecosystem: str = "pypi", hashes: Any = (), where: str = "") -> Package:
    if not isinstance(name, str) or not NAME.match(name) or len(name) > TEXT_LIMIT:
        raise _unreadable(f"{where or 'an entry'} has no name of a package")
    if version is not None and (not isinstance(version, str) or len(version) > TEXT_LIMIT):
        raise _unreadable(f"the version of {name} is no text")
    kept = {match[1] for item in hashes if isinstance(item, str) and (match := SHA256.match(item))}
    named = canonicalize_name(name) if ecosystem == "pypi" else name.lower()
    return Package(named, version or "", ecosystem, tuple(sorted(kept)))


def _from_json(data: Any) -> tuple[str, Iterator[Package]]:
    if isinstance(data, dict) and isinstance(data.get("installed"), list):  # pip inspect
        entries = [entry.get("metadata") if isinstance(entry, dict) else None for entry in data["installed"]]
        return "pip-json", _listed(entries, "pypi")
    if isinstance(data, list):
        conda = any(isinstance(entry, dict) and "channel" in entry for entry in data)
        return ("conda-json", _listed_conda(data)) if conda else ("pip-json", _listed(data, "pypi"))
    raise _unreadable("JSON that is no list of packages")


def _listed(entries: list[Any], ecosystem: str) -> Iterator[Package]:
    for place, entry in enumerate(entries):
        about = entry if isinstance(entry, dict) else {}
        yield _package(about.get("name"), about.get("version"), ecosystem, where=f"entry {place}")


def _listed_conda(entries: list[Any]) -> Iterator[Package]:
    """`conda list --json` lists what pip put in beside its own packages, as the channel pypi."""
    for place, entry in enumerate(entries):
        about = entry if isinstance(entry, dict) else {}
        ecosystem = "pypi" if about.get("channel") == "pypi" else "conda"
        yield _package(about.get("name"), about.get("version"), ecosystem, where=f"entry {place}")


def _from_toml(data: Mapping[str, Any]) -> tuple[str, Iterator[Package]]:
    if isinstance(data.get("packages"), list):
        return "pylock.toml", _locked(data["packages"])
    poetry = "metadata" in data or not any(
        isinstance(entry, dict) and "source" in entry for entry in data.get("package", [])
    )
    # A project's lock lists the project itself, which is no package of the environment.
    entries = [entry for entry in data.get("package", []) if not _own(entry)]
    return ("poetry.lock" if poetry else "uv.lock"), _locked(entries)


def _own(entry: Any) -> bool:
    source = entry.get("source") if isinstance(entry, dict) else None
    return isinstance(source, dict) and bool({"virtual", "editable"} & set(source))


def _locked(entries: Any) -> Iterator[Package]:
    for place, entry in enumerate(entries):
        about = entry if isinstance(entry, dict) else {}
        yield _package(about.get("name"), about.get("version"), "pypi", _hashes(about), f"package {place}")


def _hashes(entry: Mapping[str, Any]) -> Iterator[str]:
    """Of uv (`hash` of sdist and wheels), Poetry (`hash` of files) and PEP 751 (`hashes.sha256`)."""
    for part in ("wheels", "files", "sdist", "archive"):
        files = entry.get(part)
        for file in files if isinstance(files, list) else [files]:
            if not isinstance(file, dict):
                continue
            yield str(file.get("hash", ""))
            hashes = file.get("hashes")
            if isinstance(hashes, dict):
                yield f"sha256:{hashes.get('sha256', '')}"


def _from_conda(text: str) -> Iterator[Package]:
    """Addresses as …/linux-64/numpy-2.4.0-py311h_0.conda, where name and version are between hyphens from the right."""
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith(("#", "@")):
            continue
        file = line.partition("#")[0].rsplit("/", 1)[-1]
        parts = re.sub(r"(\.conda|\.tar\.bz2)$", "", file).rsplit("-", 2)
        if len(parts) != 3:
            raise _unreadable(f"line {number} is no package of conda")
        digest = line.partition("#")[2]
        hashes = [f"sha256:{digest.removeprefix('sha256:')}"]
        yield _package(parts[0], parts[1], "conda", hashes, f"line {number}")


def _from_requirements(text: str) -> Iterator[Package]:
    joined = re.sub(r"[ \t]*\\\r?\n[ \t]*", " ", text)
    for line in joined.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not line or OPTION.match(line):
            continue
        words = re.split(r"\s+--hash[= ]", line)
        try:
            wanted = Requirement(words[0].strip())
        except InvalidRequirement as error:
            raise _unreadable(f"not a requirement: {words[0].strip()[:100]}") from error
        pins = [spec.version for spec in wanted.specifier if spec.operator in ("==", "===")]
        exact = pins[0] if len(pins) == 1 and "*" not in pins[0] else ""
        yield _package(wanted.name, exact, "pypi", [word.strip() for word in words[1:]])
