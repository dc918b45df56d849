from governance.models.findings import Finding, Waiver
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
from governance.models.vigilance import Alarm, BrokenGlass, Condition, PlacementReview

__all__ = [
    "Alarm",
    "ApiToken",
    "Attestation",
    "BrokenGlass",
    "Condition",
    "Decision",
    "Environment",
    "Exclusion",
    "Finding",
    "Placement",
    "PlacementReview",
    "PolicyVersion",
    "Promotion",
    "PromotionCheck",
    "RoleBinding",
    "UseCase",
    "User",
    "Waiver",
]
