"""Real servers in folders of their own: one cluster for every module that only looks at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from governance.embedded.postgres import EmbeddedPostgres

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture(autouse=True)
def _without_the_settings_of_these_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started here is another project: Celery, for one, would load our settings into it."""
    for name in ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "DATABASE_MIGRATION_URL", "CELERY_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def module_home() -> Iterator[Path]:
    # Not pytest's tmp_path: it keeps the last three, and a cluster is 40 MB.
    folder = Path(mkdtemp(prefix="crivo-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(mkdtemp(prefix="crivo-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(module_home: Path) -> Iterator[EmbeddedPostgres]:
    # Killing processes takes nothing that was written, synced or not; a busy disk makes syncing slow.
    postgres = EmbeddedPostgres(module_home, durable=False)
    postgres.start()
    yield postgres
    postgres.destroy()
