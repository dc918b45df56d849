"""What a version claims about itself, by the names of our metrics. Standard library only: the service reads it, too."""

from __future__ import annotations

TOLERANCE = 0.01  # where the policy names no other (`claim_tolerance`)
ALIASES = {
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "brier": "brier_score",
    "f1_score": "f1",
    "acc": "accuracy",
    "sensitivity": "recall",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
    "r2_score": "r2",
}
LOWER_IS_BETTER = frozenset({"brier_score", "mae", "rmse", "expected_cost"})
