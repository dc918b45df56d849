"""Which events may speak for a row of governance (audits.net).

Not watched: people (governance_user is the directory, whose rows a login changes) and notices (what mail is still to be
sent; no permission follows from it).
"""

from audits.net import Net
from audits.roles import Rights

_OF_PROMOTION = ("promotion:promotion_id",)

NETS = [
    Net("governance_use_case", ("use_case:id",)),
    Net("governance_environment", ("workspace:workspace_id",)),
    # Which version is current follows from the newest: the event is about that one.
    Net("governance_policy_version", ("policy_version:id",), ("current",)),
    Net("governance_policy_change", ("policy_change:id",)),
    Net("governance_policy_change_exclusion", ("policy_change:change_id",)),
    Net("governance_policy_change_decision", ("policy_change:change_id",)),
    Net("governance_policy_acknowledgement", ("policy_version:policy_id",)),
    Net("governance_promotion", ("promotion:id",)),
    Net("governance_promotion_check", _OF_PROMOTION),
    Net("governance_exclusion", _OF_PROMOTION),
    Net("governance_decision", _OF_PROMOTION),
    Net("governance_attestation", _OF_PROMOTION),
    Net("governance_signoff_invitation", _OF_PROMOTION),
    Net("governance_placement", ("placement:id",)),
    Net("governance_suspension", ("placement:placement_id", "model_version:version_id")),
    Net("governance_retirement", ("model_version:version_id",)),
    Net("governance_alias", ("alias:id",)),
    Net("governance_deployment", ("deployment:id",)),
    Net("governance_import", ("import:id",)),
    Net("governance_grandfathered", ("grandfathered:id",)),
    Net("governance_reconciliation", ("reconciliation:id",)),
    Net("governance_revocation_list", ("revocation_list:*",)),
    Net("governance_mail_preference", ("mail_preference:id",)),
    Net("governance_api_token", ("token:id",), ("last_used_at",)),
    Net("governance_role_binding", ("role_binding:id",)),
    Net("governance_role_recertification", ("role_binding:binding_id",)),
    Net("governance_group", ("group:id",)),
    Net("governance_group_membership", ("group:group_id",)),
    Net("governance_use_case_version", ("use_case:use_case_id",)),
    Net("governance_external_evidence", ("external_evidence:id",)),
    Net("governance_finding", ("finding:id",)),
    Net("governance_waiver", ("waiver:id",)),
    Net("governance_condition", ("condition:id",)),
    Net("governance_placement_review", ("review:id",)),
    Net("governance_broken_glass", ("broken_glass:id",)),
    Net("governance_alarm", ("alarm:id",)),
]

# What only the notary writes here: what it signs. Alarms are raised by services, too.
NOTARY_RIGHTS = [
    Rights("governance_attestation", "INSERT", "INSERT"),
    Rights("governance_revocation_list", "INSERT", "INSERT"),
    Rights("governance_alarm", "INSERT"),
]
