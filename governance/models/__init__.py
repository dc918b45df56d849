from governance.models.gate import Grandfathered, Import, Reconciliation, RevocationList
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
    "Grandfathered",
    "Import",
    "Placement",
    "PolicyVersion",
    "Promotion",
    "PromotionCheck",
    "Reconciliation",
    "RevocationList",
    "RoleBinding",
    "UseCase",
    "User",
]
