"""Which events may speak for a row of the registry (audits.net)."""

from audits.net import Net

NETS = [
    # The counter of versions moves with the version, whose event tells of it; its own constraint keeps numbers apart.
    Net("registry_dataset", ("dataset:id",), ("last_n",)),
    Net("registry_model", ("model:id",), ("last_n",)),
    Net("registry_dataset_version", ("dataset_version:id",)),
    Net("registry_model_version", ("model_version:id",)),
    Net("registry_model_version_training", ("model_version:modelversion_id",)),
    Net("registry_environment_lock", ("model_version:version_id",)),
    # Who takes it, and for how long, is bookkeeping of the queue; what came of it is told of.
    Net(
        "registry_reference_sketch",
        ("dataset_version:version_id",),
        ("state", "fence", "lease_until", "sent_at", "attempts"),
    ),
    Net("registry_lineage_event", ("lineage_event:id",)),
    Net("registry_lineage_node", ("lineage_event:*", "dataset_version:*", "model_version:*")),
    Net("registry_lineage_edge", ("lineage_event:*", "dataset_version:*", "model_version:*")),
]
