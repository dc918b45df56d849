from governance.models.identity import ApiToken, RoleBinding, User
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
    "ApiToken",
    "Attestation",
    "Decision",
    "Environment",
    "Exclusion",
    "Placement",
    "PolicyVersion",
    "Promotion",
    "PromotionCheck",
    "RoleBinding",
    "UseCase",
    "User",
]
