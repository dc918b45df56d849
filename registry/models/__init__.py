from registry.models.datasets import Dataset, DatasetVersion
from registry.models.lineage import LineageEdge, LineageEvent, LineageNode
from registry.models.models import Model, ModelVersion

__all__ = ["Dataset", "DatasetVersion", "LineageEdge", "LineageEvent", "LineageNode", "Model", "ModelVersion"]
