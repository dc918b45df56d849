"""The data that the checks of a request read, and the data zone they run in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import Material
from audits.errors import Unprocessable
from governance.evaluation_sets import evaluation_data
from governance.zones import InZone, zone_of
from registry.models import DatasetVersion, ModelVersion, ReferenceSketch


@dataclass(frozen=True)
class DataRead:
    """`training` is empty where it may not be read beside the evaluation data; `sketch` then stands for it."""

    training: list[DatasetVersion]
    evaluation: DatasetVersion
    sketch: ReferenceSketch | None
    zone: InZone | None

    @property
    def reference(self) -> tuple[Material, ...]:
        """The stored sketch, for the checks that can do with it where the training data cannot be read."""
        return (Material("reference", self.sketch.digest, "sketch"),) if self.sketch else ()


def data_read(version: ModelVersion, policy: Mapping[str, Any]) -> DataRead:
    """Unprocessable as of `evaluation_data` and `zone_of`.

    Training data in another zone than the evaluation data are refused, unless a sketch of them is kept and every check
    of the policy that reads them can do with it.
    """
    *training, evaluation = data_of(version, evaluation_data(version, policy))
    # Several training data sets are one table; sketches of each are none of it.
    sketch = training[0].kept_sketch if len(training) == 1 else None
    try:
        return DataRead(training, evaluation, sketch, zone_of(version, [*training, evaluation]))
    except Unprocessable as refusal:
        reading = [CATALOGUE[entry["check"]] for entry in policy["checks"]]
        enough = all(each.sketched for each in reading if "training" in each.reads)
        if refusal.code != "several_zones" or sketch is None or not enough:
            raise
        return DataRead([], evaluation, sketch, zone_of(version, [evaluation]))


def data_of(version: ModelVersion, evaluation: DatasetVersion | None = None) -> list[DatasetVersion]:
    """The data that checks read: all training data, and last the evaluation data."""
    training = version.training.select_related("dataset").prefetch_related("sketches").order_by("created_at")
    return [*training, evaluation or version.evaluation]
