from governance.models.identity import ApiToken, RoleBinding, User
from governance.models.lifecycle import Alias, Deployment, Retirement, Suspension
from governance.models.policies import Environment, PolicyVersion, UseCase
from governance.models.promotions import (
    Attestation,
    Decision,
    Exclusion,
    Placement,
    Promotion,
    PromotionCheck,
)

__all__ = [
    "Alias",
    "ApiToken",
    "Attestation",
    "Decision",
    "Deployment",
    "Environment",
    "Exclusion",
    "Placement",
    "PolicyVersion",
    "Promotion",
    "PromotionCheck",
    "Retirement",
    "RoleBinding",
    "Suspension",
    "UseCase",
    "User",
]
