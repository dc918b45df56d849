from __future__ import annotations

import pytest
from django.test import Client

from tests import study
from tests.cast import Cast


@pytest.fixture
def ready(committed_cast: Cast) -> Cast:
    """A dataset `patients` with one version, and a model `progression` without."""
    for name in ("ana", "clara", "pipeline"):
        committed_cast.token(name)
    study.use_case_with_policies(committed_cast)
    study.dataset_version(committed_cast)
    Client().post(
        "/api/v1/models",
        {"name": "progression"},
        content_type="application/json",
        headers=committed_cast.headers("pipeline"),
    )
    return committed_cast
