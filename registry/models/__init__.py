from registry.models.datasets import Dataset, DatasetVersion
from registry.models.lineage import LineageEdge, LineageEvent, LineageNode
from registry.models.models import EnvironmentLock, Model, ModelVersion
from registry.models.sketches import ReferenceSketch

__all__ = [
    "Dataset", "DatasetVersion", "EnvironmentLock", "LineageEdge", "LineageEvent", "LineageNode", "Model",
    "ModelVersion", "ReferenceSketch",
]  # fmt: skip
