"""Which events of governance are of the decision log (audits.retention). No state, right or term follows from these."""

VERBS = frozenset(
    {
        "condition.reported",
        "condition.returned",
        "deployment.ended",
        "deployment.recorded",
        "finding.answered",
        "finding.returned",
        "mail_preference.changed",
        "policy.acknowledged",
        "promotion.decided",
        "promotion.reassessed",
        "reconciliation.recorded",
        "signoff.invited",
        "signoff.revoked",
    }
)
