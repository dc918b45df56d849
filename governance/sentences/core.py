"""Identity, use cases, policies, promotions, the gate: their codes and verbs as sentences."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    # identity
    "token_unknown": _("This token is not known. Check that it was copied whole."),
    "token_revoked": _("This token was revoked. Ask an administrator for a new one."),
    "token_expired": _("This token has expired. Ask an administrator for a new one."),
    "token_person_inactive": _("The person behind this token is no longer active."),
    "token_lifetime": _("A token lives from now on for at most {days} days."),
    "scope_unknown": _("Unknown or no scopes: {unknown}. Known: {known}."),
    "role_unknown": _("The role {role} is not known. Known: {known}."),
    "own_role": _("Nobody gives a role to themselves."),
    # use cases and policies
    "use_case_unknown": _("There is no use case {name}. Register it first."),
    "use_case_differs": _("The use case {name} is registered with another purpose or risk tier."),
    "risk_tier_unknown": _("The risk tier {tier} is not known. Known: {known}."),
    "purpose_missing": _("A use case says its purpose."),
    "environment_unknown": _("There is no environment {name}."),
    "policy_too_large": _("A policy has at most {limit} bytes."),
    "policy_not_yaml": _("The policy is not YAML: {reason}"),
    "policy_invalid": _("The policy is not valid at {where}: {reason}"),
    "policy_metric_unknown": _("The check {check} has no metric {metric}. It has: {known}."),
    "policies_overlap": _(
        "More than one policy applies in {environment}: {policies}. Make them exclude each other."
    ),
    "no_policy": _("No policy covers {use_case} in {environment}. Without a policy the answer is no."),
    "environment_lock_missing": _(
        "The policy {policy} asks for the environment lock of {version}, which is not kept. Keep it, then ask again."
    ),
    "environment_lock_open": _(
        "The policy {policy} asks for an environment lock that says every version; this one leaves {packages} open."
    ),
    "artifact_format_refused": _("The policy {policy} accepts model files as {accepted}, not as {format}."),
    # promotions
    "reason_missing": _("Give a reason, of at most {limit} characters."),
    "version_not_registered": _("The version is {state} and cannot be promoted."),
    "not_the_next_environment": _("{to} is not the next step; the next one is {next}."),
    "preceding_not_effective": _(
        "The promotion to {environment} is not effective yet. It will be once its event is in a signed "
        "checkpoint, usually within a second."
    ),
    "promotion_already_open": _("A request for {environment} is already open for this version."),
    "promotion_not_awaiting": _("The request is {state}: it is not waiting for approvals."),
    "promotion_transition": _("The request is {state} and cannot become {wanted}."),
    "separation_of_duties": _(
        "You had a hand in this version ({duties}) and may not decide on it. Somebody else has to."
    ),
    "personal_token_of_another": _(
        "A personal token acts as its person: nobody issues one for somebody else. Issue a service token instead."
    ),
    "not_the_requester": _(
        "Only who asked for a promotion withdraws it. Reviewers reject it, with a reason, once its checks are done."
    ),
    "role_without_slot": _("The policy asks for approvals by {roles}; you hold none of these roles."),
    "verdict_unknown": _("The verdict {verdict} is not known. Known: {known}."),
    "dossier_changed": _(
        "The dossier has changed since you read it. Read it again and decide on what it says now."
    ),
    "already_decided": _("You have already decided on this dossier."),
    "rejected_by_reviewer": _("A reviewer ({role}) rejected the request."),
    "changes_requested": _("A reviewer ({role}) asked for changes. Register a new version, or ask again."),
    "requirements_not_met": _("Requirements of the policy that are not met: {count}."),
    "requirement_not_passed": _("{check}, {metric} {attribute}: {cause}"),
    # verdicts
    "limit_met_min": _("{value} is at least {limit}: within policy."),
    "limit_met_max": _("{value} is at most {limit}: within policy."),
    "limit_missed_min": _("{value} is below the limit of {limit}."),
    "limit_missed_max": _("{value} is above the limit of {limit}."),
    "sample_cannot_decide": _(
        "{value} would do, but with this sample it may be anything from {low} to {high}; the limit is {limit}."
    ),
    "evidence_stale": _("The evidence (of {since}) is older than the policy accepts."),
    "metric_absent": _("The check did not measure {metric} for this."),
    # gate
    "allowed": _("{version} is promoted to {environment}."),
    "unknown_digest": _("No model version with the artefact {digest} is registered."),
    "unknown_environment": _("There is no environment {name}."),
    "digest_malformed": _("A digest looks like sha256: and 64 hexadecimal digits."),
    "parameter_missing": _("The query parameter {name} is missing."),
    "not_promoted": _("No version with this artefact was promoted to {environment}."),
    "not_effective_yet": _(
        "The promotion of {version} to {environment} is granted and not effective yet: its event is not in a "
        "signed checkpoint."
    ),
    "superseded": _("{version} was superseded in {environment}."),
    "placement_suspended": _("{version} is suspended in {environment}."),
    "placement_withdrawn": _("{version} was withdrawn from {environment}."),
    "version_suspended": _("{version} is suspended."),
    "version_retired": _("{version} is retired."),
    "ambiguous": _(
        "This artefact stands for versions that contradict each other: {versions}. Name the model."
    ),
    "attestation_pending": _("The promotion is not attested yet; it will be once it is effective."),
}

VERBS = {
    "workspace.bootstrapped": _("{actor} set up the workspace {subject}"),
    "token.issued": _("{actor} issued the token {subject}"),
    "token.revoked": _("{actor} revoked the token {subject}"),
    "role.bound": _("{actor} gave the role {subject}"),
    "role.unbound": _("{actor} took away the role {subject}"),
    "use_case.registered": _("{actor} registered the use case {subject}"),
    "policy.applied": _("{actor} applied the policy {subject}"),
    "promotion.requested": _("{actor} asked for the promotion {subject}"),
    "promotion.checked": _("{actor} found every requirement met for {subject}; it waits for approvals"),
    "promotion.decided": _("{actor} decided on {subject}"),
    "promotion.granted": _("{actor} granted {subject}"),
    "promotion.refused": _("{actor} refused {subject}"),
    "promotion.withdrawn": _("{actor} withdrew {subject}"),
    "placement.granted": _("{actor} placed {subject}"),
    "placement.superseded": _("{actor} superseded {subject}"),
    "attestation.issued": _("{actor} attested {subject}"),
}
