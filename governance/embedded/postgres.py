"""The embedded PostgreSQL: one cluster below ``home``, on a Unix socket only, made and mended by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp

from . import account as accounts
from .children import end, exited, launch, parent_of, reap, wait_until_gone
from .errors import EmbeddedError
from .files import (
    locked,
    open_log,
    private_folder,
    runtime_folder,
    size_of,
    sync_folder,
    tail,
    try_lock,
    write_private,
)
from .roles import DATABASE, ROLES_SQL, SUPERUSER
from .secrets import Secrets

PORT = 5432
"""Only part of the socket's name: no TCP port is opened."""

UNSEEN_SECONDS = 10.0
"""How long a lock may be held by nobody in our process table: a crashed server's backends need a moment."""

START_SECONDS = 120.0
"""Bound for a start, crash recovery included."""


class EmbeddedPostgres:
    """The cluster of one folder. ``start`` makes it, mends it, starts it, or joins the one that runs already.

    ``home``: the folder (0700) that holds cluster, passwords and logs. ``durable=False`` trades everything a
    power cut could take for speed: for clusters that are thrown away.
    Errors are EmbeddedError with codes postgres_missing, postgres_failed, postgres_elsewhere, passwords_lost,
    and those of ``files``.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = private_folder(home)
        self.durable = durable
        self.logs = private_folder(self.home / "logs")
        self.log = self.logs / "postgres.log"
        self.secrets = Secrets.of(self.home)
        self.process: subprocess.Popen[bytes] | None = None
        self._prepared: tuple[accounts.Account, Path, Path] | None = None

    # Where things are

    @property
    def account(self) -> accounts.Account:
        return self._prepare()[0]

    @property
    def bin(self) -> Path:
        """Folder of PostgreSQL's programs."""
        return self._prepare()[1] / "bin"

    @property
    def cluster(self) -> Path:
        """PGDATA."""
        return self._prepare()[2]

    @property
    def socket_folder(self) -> Path:
        return runtime_folder(self.home, self.account.uid, self.account.gid)

    def url(self, role: str, password: str, database: str = DATABASE) -> str:
        """A URL that libpq and django-environ read alike.

        The socket's folder stands in the query: django-environ does not decode it in the host's place.
        """
        return f"postgresql://{role}:{password}@/{database}?host={self.socket_folder}&port={PORT}"

    @property
    def superuser_url(self) -> str:
        return self.url(SUPERUSER, self.secrets.superuser)

    @property
    def migration_url(self) -> str:
        return self.url("crivo_migrator", self.secrets.migrator)

    @property
    def app_url(self) -> str:
        return self.url("crivo_app", self.secrets.app)

    @property
    def notary_url(self) -> str:
        return self.url("crivo_notary", self.secrets.notary)

    def _prepare(self) -> tuple[accounts.Account, Path, Path]:
        if self._prepared is None:
            best, *others = list(accounts.installations())
            account = accounts.place(self.home, best)
            chosen, cluster = best, account.folder / f"postgres-{accounts.version_of(best)}"
            if not cluster.exists():
                # A cluster of an older major version is kept running by its own binaries, not left behind.
                for other in others:
                    older = account.folder / f"postgres-{accounts.version_of(other)}"
                    if older.exists():
                        chosen, cluster = other, older
                        break
            self._prepared = account, accounts.usable_installation(account, chosen), cluster
        return self._prepared

    # Making the cluster

    def ensure(self) -> bool:
        """Make the cluster unless it exists; whether it was made. A killed attempt leaves nothing behind.

        initdb works in a folder that gets the cluster's name only once it is complete and on disk.
        """
        with locked(self.home / "postgres.lock"):
            return self._ensure()

    def _ensure(self) -> bool:
        for leftover in self.account.folder.glob(".initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if (self.cluster / "PG_VERSION").exists():
            return False
        work = Path(mkdtemp(dir=self.account.folder, prefix=".initdb-"))
        password = work / "password"
        write_private(password, self.secrets.superuser)
        for path in (work, password):
            os.chown(path, self.account.uid, self.account.gid)
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            if self.cluster.name >= "postgres-17"
            else []
        )
        self._run(
            "initdb",
            f"--pgdata={work / 'cluster'}",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            *locale,
            *([] if self.durable else ["--no-sync"]),
        )
        (work / "cluster").rename(self.cluster)
        sync_folder(self.cluster.parent)
        shutil.rmtree(work)
        return True

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the cluster's account; its output goes to the log."""
        since = size_of(self.log)
        log = open_log(self.log)
        try:
            child = launch(
                [self.bin / program, *arguments],
                stdout=log,
                stderr=log,
                cwd=Path("/"),
                env=self._environment(),
                death_signal=signal.SIGKILL,
                user=self.account.user,
                namespace=self.account.namespace,
            )
            try:
                status = child.wait(START_SECONDS)
            finally:
                reap(child)
        finally:
            os.close(log)
        if status != 0:
            raise self._failure(program, status, since)

    def _environment(self) -> dict[str, str]:
        """The environment without PGDATA, PGPORT, PGOPTIONS …, which would steer our programs elsewhere."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))
        }
        return kept | {"LC_ALL": "C", "TZ": "UTC"}

    def _failure(self, program: str, status: int, since: int) -> EmbeddedError:
        last = "".join(f"\n  {line}" for line in tail(self.log, 6, since=since))
        return EmbeddedError(
            "postgres_failed",
            f"PostgreSQL's {program} ended with status {status}; its log is {self.log}{last}",
        )

    # Running

    def start(self) -> bool:
        """Start the cluster and set up roles and database; False when one that runs already was joined.

        A joined one belongs to whoever started it: ``stop`` leaves it alone.
        """
        with locked(self.home / "postgres.lock"):
            alive = try_lock(self.home / "postgres.alive")
            if alive is None and self._join():
                return False
            if alive is None:
                alive = try_lock(self.home / "postgres.alive")
            if alive is None:
                raise EmbeddedError(
                    "postgres_elsewhere",
                    f"Another PostgreSQL uses {self.cluster}, perhaps in another container: stop it there.",
                )
            try:
                self._ensure()
                self._spawn(alive)
            finally:
                os.close(alive)  # the server holds it from here on
            try:
                self.psql(
                    ROLES_SQL.format(
                        migrator=self.secrets.migrator, app=self.secrets.app, notary=self.secrets.notary
                    )
                )
            except BaseException:
                self.stop()
                raise
        return True

    def _join(self) -> bool:
        """Whether a server of ours is running and will stay; waits for one that is starting or going."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = self._postmaster()
            if found is None:
                if (free := try_lock(self.home / "postgres.alive")) is not None:
                    os.close(free)
                    return False
                if (
                    time.monotonic() > deadline - START_SECONDS + UNSEEN_SECONDS
                ):  # held, but by nobody we can see
                    return False
            else:
                pid, status, starter = found
                if status == "ready" and starter == parent_of(pid):
                    return True
                if status == "ready":  # orphaned: its starter was killed, and it has been told to end
                    os.kill(pid, signal.SIGINT)
                    wait_until_gone(pid, 30)
            time.sleep(0.05)
        return False

    def _postmaster(self) -> tuple[int, str, int] | None:
        """(process id, status, process id of its starter) of a server on this cluster, if it lives."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid = int(lines[0])
            if not os.path.samefile(
                f"/proc/{pid}/cwd", self.cluster
            ):  # a recycled id: the file is a leftover
                return None
            starter = int((self.home / "postgres.starter").read_text(encoding="ascii"))
        except (OSError, ValueError, IndexError):
            return None
        return pid, lines[7].strip() if len(lines) > 7 else "starting", starter

    def _spawn(self, alive: int) -> None:
        # We hold the lock that every server of ours holds: what these files name is dead or another program.
        # Yet PostgreSQL believes any living id of the same user, and after a reboot ids come around quickly.
        if self._postmaster() is None:
            for leftover in (self.cluster / "postmaster.pid", self.socket_folder / f".s.PGSQL.{PORT}.lock"):
                leftover.unlink(missing_ok=True)
        write_private(self.home / "postgres.starter", str(os.getpid()))
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d ",
            # Not in /dev/shm: containers give it 64 MB, and systemd empties it when the user logs out.
            "dynamic_shared_memory_type": "mmap",
        }
        if not self.durable:
            # Commits are still written out one by one: tests that kill the server find them again.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        since = size_of(self.log)
        log = open_log(self.log)
        try:
            self.process = launch(
                [
                    self.bin / "postgres",
                    "-D",
                    self.cluster,
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdout=log,
                stderr=log,
                cwd=Path("/"),
                env=self._environment(),
                death_signal=signal.SIGINT,  # a "fast" shutdown: clients are sent away, nothing is lost
                pass_fds=[alive],
                user=self.account.user,
                namespace=self.account.namespace,
            )
        finally:
            os.close(log)
        self._wait_until_ready(self.process, since)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], since: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            found = self._postmaster()
            if found is not None and found[0] == process.pid and found[1] == "ready":
                return
            if exited(process):
                self.process = None
                raise self._failure("server", reap(process), since)
            if time.monotonic() > deadline:
                self.stop()
                raise EmbeddedError(
                    "postgres_failed", f"PostgreSQL was not ready after {START_SECONDS:.0f} s: see {self.log}"
                )
            time.sleep(0.01)

    @property
    def is_running(self) -> bool:
        """Whether a server, ours or joined, runs on the cluster."""
        return self._postmaster() is not None

    def stop(self) -> None:
        """Stop the server this object started; one that was joined stays."""
        if self.process is None:
            return
        process, self.process = self.process, None
        end(process, [(signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)])
        try:
            for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):  # left when it was killed
                (self.socket_folder / name).unlink(missing_ok=True)
            self.socket_folder.rmdir()
        except OSError:  # the broker's socket may still be in there
            pass

    def destroy(self) -> None:
        """Stop the server and delete the cluster with all its data."""
        self.stop()
        shutil.rmtree(self.cluster, ignore_errors=True)
        if self.account.folder != self.home:
            shutil.rmtree(self.account.folder, ignore_errors=True)

    def psql(self, sql: str, *, database: str = "postgres") -> str:
        """Run ``sql`` as superuser and return psql's unaligned rows; EmbeddedError if it fails."""
        environment = self._environment() | {"PGPASSWORD": self.secrets.superuser, "PGCONNECT_TIMEOUT": "10"}
        arguments = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            str(self.socket_folder),
            "-p",
            str(PORT),
        ]
        done = subprocess.run(
            [self.bin / "psql", *arguments, "-U", SUPERUSER, "-d", database],
            input=sql,
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            check=False,
        )
        if "password authentication failed" in done.stderr:
            raise EmbeddedError(
                "passwords_lost",
                f"{self.secrets.path} does not hold the password of the database in {self.cluster}: "
                "put the right file back, or move that folder away to begin with an empty database.",
            )
        if done.returncode != 0:
            raise EmbeddedError("postgres_failed", f"PostgreSQL refused a statement: {done.stderr.strip()}")
        return done.stdout.strip()
