from governance.models.findings import Finding, Waiver
from governance.models.gate import Grandfathered, Import, Reconciliation, RevocationList
from governance.models.identity import ApiToken, RoleBinding, User
from governance.models.lifecycle import Alias, Deployment, Retirement, Suspension
from governance.models.notices import MailMode, MailPreference, Notice
from governance.models.policies import Environment, PolicyVersion, UseCase
from governance.models.policy_changes import (
    PolicyAcknowledgement,
    PolicyChange,
    PolicyChangeDecision,
    PolicyChangeExclusion,
)
from governance.models.promotions import (
    Attestation,
    Decision,
    Exclusion,
    Placement,
    Promotion,
    PromotionCheck,
)
from governance.models.signoffs import SignoffInvitation
from governance.models.vigilance import Alarm, BrokenGlass, Condition, PlacementReview

__all__ = [
    "Alarm",
    "Alias",
    "ApiToken",
    "Attestation",
    "BrokenGlass",
    "Condition",
    "Decision",
    "Deployment",
    "Environment",
    "Exclusion",
    "Finding",
    "Grandfathered",
    "Import",
    "MailMode",
    "MailPreference",
    "Notice",
    "Placement",
    "PlacementReview",
    "PolicyAcknowledgement",
    "PolicyChange",
    "PolicyChangeDecision",
    "PolicyChangeExclusion",
    "PolicyVersion",
    "Promotion",
    "PromotionCheck",
    "Reconciliation",
    "Retirement",
    "RevocationList",
    "RoleBinding",
    "SignoffInvitation",
    "Suspension",
    "UseCase",
    "User",
    "Waiver",
]
