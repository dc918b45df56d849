from governance.models.access import Group, GroupMembership, RoleBinding, RoleRecertification
from governance.models.gate import Grandfathered, Import, Reconciliation, RevocationList
from governance.models.identity import ApiToken, User
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
from governance.models.use_cases import UseCaseVersion

__all__ = [
    "Alias",
    "ApiToken",
    "Attestation",
    "Decision",
    "Deployment",
    "Environment",
    "Exclusion",
    "Grandfathered",
    "Group",
    "GroupMembership",
    "Import",
    "MailMode",
    "MailPreference",
    "Notice",
    "Placement",
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
    "RoleRecertification",
    "SignoffInvitation",
    "Suspension",
    "UseCase",
    "UseCaseVersion",
    "User",
]
