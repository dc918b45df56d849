from governance.models.identity import ApiToken, RoleBinding, User
from governance.models.notices import MailMode, MailPreference, Notice
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
    "MailMode",
    "MailPreference",
    "Notice",
    "Placement",
    "PolicyVersion",
    "Promotion",
    "PromotionCheck",
    "RoleBinding",
    "UseCase",
    "User",
]
