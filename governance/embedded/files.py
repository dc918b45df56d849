"""Private files, locks and the folder that sockets live in."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from .errors import EmbeddedError

SOCKET_PATH_LIMIT = 107
"""Bytes a Unix socket's path may have on Linux: ``sun_path`` is 108 with its closing NUL (unix(7))."""


def private_folder(path: Path) -> Path:
    """Make ``path`` a folder only its owner can enter, and return it resolved.

    Raises EmbeddedError ``foreign_folder`` when it belongs to another account: files of two accounts mixed in
    one folder would leave either of them unable to start it again.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise EmbeddedError(
            "foreign_folder",
            f"{path} belongs to user id {owner}, and this is user id {os.geteuid()}: "
            "run the command as that user, or set CRIVO_HOME to a folder of your own.",
        )
    path.chmod(0o700)
    return path.resolve()


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` with mode 0600, whole or not at all, and on disk before returning."""
    descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put the names in ``path`` on disk: a rename survives a power cut only after this."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tail(path: Path, lines: int = 12, since: int = 0) -> list[str]:
    """The last ``lines`` lines of ``path`` written after byte ``since``; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - 65536))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []


def size_of(path: Path) -> int:
    """Bytes in ``path``, 0 where there is none: the offset from which a process' own output begins."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def open_log(path: Path, keep_bytes: int = 10_000_000) -> int:
    """A descriptor that appends to ``path``; a file over ``keep_bytes`` first becomes ``path``.1."""
    if size_of(path) > keep_bytes:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(path: Path) -> int | None:
    """Lock ``path`` and return the open descriptor, or None when somebody else holds it.

    The lock belongs to the open file, so a child that inherits the descriptor keeps it: a lock handed to a
    server is free exactly when the last process of that server is gone, kill -9 and containers sharing the
    folder included. A process id in a file can promise neither.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(path: Path, seconds: float = 120.0) -> Iterator[None]:
    """Hold ``path`` for the block, waiting at most ``seconds`` for another command to finish with it."""
    deadline = time.monotonic() + seconds
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                "locked",
                f"Another command has been busy with {path.parent} for {seconds:.0f} s: end it first.",
            )
        time.sleep(0.05)
    try:
        yield
    finally:
        os.close(descriptor)


def runtime_folder(home: Path, uid: int, gid: int, *, make: bool = True) -> Path:
    """The folder for the sockets of ``home``, 0700 and owned by ``uid``.

    Made when absent; with ``make=False`` its absence raises FileNotFoundError.

    Not below ``home``: a checkout's path may be longer than a socket's may be. Not in XDG_RUNTIME_DIR either:
    it disappears when the user logs out, and takes the sockets of a server left running with it. The name
    can be foretold, so whoever makes it first is checked, and never trusted.
    """
    base = Path(os.environ.get("CRIVO_RUNTIME_DIR") or "/tmp")  # noqa: S108 - ownership and mode are verified below
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]
    folder = base / f"crivo-{uid}-{digest}"
    if len(os.fsencode(folder / ".s.PGSQL.5432")) > SOCKET_PATH_LIMIT:
        raise EmbeddedError(
            "socket_path_too_long",
            f"{folder} is too long for a socket ({SOCKET_PATH_LIMIT} bytes): "
            "set CRIVO_RUNTIME_DIR to a shorter folder.",
        )
    try:
        if make:
            folder.mkdir(mode=0o700)
        if make and uid != os.geteuid():
            os.chown(folder, uid, gid, follow_symlinks=False)
    except FileExistsError:
        pass
    except OSError as error:
        raise EmbeddedError(
            "no_runtime_folder",
            f"Cannot make {folder} ({error.strerror}): set CRIVO_RUNTIME_DIR to a folder of yours.",
        ) from error
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedError(
            "runtime_folder_squatted",
            f"{folder} is not a private folder of user id {uid} (somebody else may have put it there): "
            "remove it, or set CRIVO_RUNTIME_DIR to another folder.",
        )
    return folder
