from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key
from tests.audits.trail import write_keys


@pytest.fixture
def published(published: Path) -> Path:
    """The folder of published checkpoints, with the public keys in it."""
    write_keys()
    return published


@pytest.fixture
def notary(transactional_db: None, published: Path) -> Iterator[Notary]:
    """The notary of this test's database, in this thread."""
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    yield notary
    notary.release()
