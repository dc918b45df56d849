"""Changing and acknowledging policies, and people outside who sign off: codes and verbs as sentences."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "policy_unchanged": _("This is what the policy {policy} says already."),
    "policy_change_own": _(
        "You proposed this change or gain by it ({duties}) and may not decide on it. Somebody else has to."
    ),
    "policy_change_settled": _("The change is {state}: there is nothing left to decide."),
    "policy_change_another": _("This is not the text you saw. Read it again and decide on what it says."),
    "policy_change_outdated": _(
        "The policy has changed since this was proposed; {current} is current now. Propose it again."
    ),
    "policy_change_not_yours": _("Only who proposed a change takes it back."),
    "commit_malformed": _("A commit is named by at most {limit} printable characters."),
    "policy_changed": _(
        "Another policy is in force by now: {policy}. The request is checked again under it."
    ),
    "policy_not_acknowledged": _(
        "The policy {policy} asks you to acknowledge it before you decide by it. Read it, and say that you have."
    ),
    "acknowledgement_not_asked": _("The policy {policy} does not ask you to acknowledge it."),
    "policy_source_missing": _("Name a text, or one version of a policy (policy and version), not both."),
    "too_many_files": _("At most {limit} files at once."),
    "policy_twice": _("Two of the files are the policy {policy}."),
    # what differs between two versions
    "policy_new": _("A new policy."),
    "policy_check_added": _("The check {check} is asked for."),
    "policy_check_removed": _("The check {check} is no longer asked for."),
    "policy_parameters_changed": _("The check {check} runs with other parameters."),
    "policy_limit_added": _("{check}: {metric} {attribute} is held to a limit ({op} {limit})."),
    "policy_limit_removed": _("{check}: {metric} {attribute} is no longer held to {limit}."),
    "policy_limit_tightened": _(
        "{check}: the limit on {metric} {attribute} is tightened from {before} to {after}."
    ),
    "policy_limit_loosened": _(
        "{check}: the limit on {metric} {attribute} is loosened from {before} to {after}."
    ),
    "policy_bound_changed": _("{check}: {metric} {attribute} is judged {after}, no longer {before}."),
    "policy_approvals_changed": _("Approvals by {role}: {before} before, {after} now."),
    "policy_names_added": _("{field}: {names} added."),
    "policy_names_removed": _("{field}: {names} removed."),
    "policy_field_changed": _("{field}: {before} before, {after} now."),
    # outside sign-off
    "signoff_not_asked": _("The policy {policy} asks for no sign-off by {role}."),
    "signoff_lifetime": _("A link for sign-off lives for at most {hours} hours."),
    "signoff_person_invalid": _("Give a name and an e-mail address of the person outside."),
    "signoff_person_inside": _(
        "Somebody with this e-mail address has an account here: they decide with it, not through a link."
    ),
    "signoff_closed": _("The request is {state}: there is nothing left to sign off."),
    "signoff_revoked": _("This link was taken back. Ask whoever sent it to you."),
    "signoff_expired": _("This link has expired. Ask whoever sent it to you for another one."),
    "signoff_used": _("This link was used already; it works once."),
    "signoff_settled": _("This invitation is settled: it was used or taken back."),
}

VERBS = {
    "policy_change.proposed": _("{actor} proposed {subject}"),
    "policy_change.decided": _("{actor} decided on {subject}"),
    "policy_change.withdrawn": _("{actor} took back {subject}"),
    "policy.acknowledged": _("{actor} acknowledged the policy {subject}"),
    "promotion.reopened": _("{actor} re-opened {subject}: another policy is in force"),
    "signoff.invited": _("{actor} invited somebody outside to sign off {subject}"),
    "signoff.revoked": _("{actor} took back an invitation to sign off {subject}"),
}
