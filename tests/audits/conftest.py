from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key, make_keys
from tests.audits.trail import write_keys


@pytest.fixture
def published(settings: Any, tmp_path: Path) -> Path:
    """A folder for published checkpoints of this test alone, with the public keys in it."""
    settings.CRIVO_PUBLISH = str(tmp_path / "published")
    make_keys()
    write_keys()
    return tmp_path / "published"


@pytest.fixture
def notary(transactional_db: None, published: Path) -> Iterator[Notary]:
    """The notary of this test's database, in this thread."""
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    yield notary
    notary.release()
