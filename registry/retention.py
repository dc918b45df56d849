"""Which events of the registry are of the decision log (audits.retention): what is registered stays told of."""

VERBS = frozenset({"lineage.recorded"})
