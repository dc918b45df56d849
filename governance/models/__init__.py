from governance.models.access import Group, GroupMembership, RoleBinding, RoleRecertification
from governance.models.identity import ApiToken, User
from governance.models.policies import Environment, PolicyVersion, UseCase
from governance.models.promotions import (
    Attestation,
    Decision,
    Exclusion,
    Placement,
    Promotion,
    PromotionCheck,
)
from governance.models.use_cases import UseCaseVersion

__all__ = [
    "ApiToken",
    "Attestation",
    "Decision",
    "Environment",
    "Exclusion",
    "Group",
    "GroupMembership",
    "Placement",
    "PolicyVersion",
    "Promotion",
    "PromotionCheck",
    "RoleBinding",
    "RoleRecertification",
    "UseCase",
    "UseCaseVersion",
    "User",
]
