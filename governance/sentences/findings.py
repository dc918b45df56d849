"""Findings, waivers, conditions, re-reviews, broken glass and alarms: their codes and verbs as sentences."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "words_missing": _("{name}: say it, in at most {limit} characters."),
    "due_in_the_past": _("The due date lies in the past. Give one that can still be met."),
    "hand_in_version": _("You had a hand in {version} and may not judge it. Somebody else has to."),
    # findings
    "severity_unknown": _("The severity {severity} is not known. Known: {known}."),
    "owner_unknown": _("{name} holds no role here and cannot answer a finding."),
    "finding_not_yours": _("Only the owner of a finding answers it."),
    "finding_is_yours": _("You own this finding; somebody else has to judge your answer."),
    "finding_closed_by_another": _(
        "Whoever opened or verified a finding does not close it. Ask a third person."
    ),
    "finding_transition": _("The finding is {state} and cannot become {wanted}."),
    "finding_open": _("A finding of severity {severity} is not closed ({state})."),
    "closing_not_effective_yet": _(
        "A finding of severity {severity} was closed; that counts once it is in a published checkpoint."
    ),
    "findings_block": _("Findings on this version have to be closed first."),
    # waivers
    "waived": _("Waived until {until}: {cause}"),
    "waivers_not_allowed": _("The policy {policy} allows no waiver."),
    "waiver_expiry": _("A waiver expires within {days} days from now, as the policy says."),
    "waiver_already_requested": _("A waiver of this requirement is already asked for."),
    "requirement_unknown": _("The policy {policy} has no requirement {check} {metric} {attribute}."),
    "own_waiver": _("Nobody decides on a waiver they asked for."),
    "waiver_role": _("The policy {policy} has waivers decided by the role {role}, which you do not hold."),
    "waiver_transition": _("The waiver is {state} and cannot become {wanted}."),
    "waiver_expired": _("The waiver of {check} {metric} {attribute} expired at {since}."),
    "waiver_revoked": _("The waiver of {check} {metric} {attribute} was revoked."),
    # conditions
    "conditions_need_approval": _("Only an approval can have conditions."),
    "conditions_too_many": _("An approval has at most {limit} conditions."),
    "own_condition": _("Whoever set a condition does not report it as fulfilled."),
    "own_report": _("Whoever reported a condition as fulfilled does not verify it."),
    "condition_transition": _("The condition is {state} and cannot become {wanted}."),
    "condition_overdue": _("Condition {n} of an approval was due at {due} and is not fulfilled."),
    "fulfilment_not_effective_yet": _(
        "Condition {n}, due at {due}, was fulfilled late; that counts once it is in a published checkpoint."
    ),
    # re-review, expiry
    "review_role": _(
        "The policy {policy} has re-reviews completed by the role {role}, which you do not hold."
    ),
    "review_transition": _("The re-review is {state} and cannot become {wanted}."),
    "review_overdue": _("The re-review was due at {due}."),
    "placement_not_live": _("The placement is {state}; there is nothing to renew."),
    "promotion_expired": _("The request has waited longer than its policy allows. Ask again."),
    "hindered_there": _(
        "The gate would not let {version} through in {environment} either. Settle that first."
    ),
    # broken glass
    "glass_was_broken": _("Somebody broke the glass for {version} in {environment}."),
    "glass_too_long": _("The glass can be broken for 1 to {limit} hours."),
    "glass_already_broken": _("The glass is already broken for this version in {environment}."),
    "glass_not_needed": _("The gate lets this version into {environment} as it is."),
    "glass_transition": _("The broken glass is {state} already."),
    "restriction_stands": _(
        "The version is suspended, withdrawn or retired in {environment}. Breaking the glass does not lift that."
    ),
    "past_the_door": _("Something was changed past the services of Crivo: {about} ({verb})."),
    "own_alarm": _("Whoever broke the glass does not sign off the alarm."),
    "alarm_outside_engineering": _("An alarm is signed off by somebody who does not build models."),
    "alarm_transition": _("The alarm is {state} already."),
}

VERBS = {
    "finding.opened": _("{actor} opened the finding {subject}"),
    "finding.answered": _("{actor} answered the finding {subject}"),
    "finding.verified": _("{actor} verified the answer to the finding {subject}"),
    "finding.returned": _("{actor} sent back the answer to the finding {subject}"),
    "finding.closed": _("{actor} closed the finding {subject}"),
    "waiver.requested": _("{actor} asked to waive {subject}"),
    "waiver.approved": _("{actor} waived {subject}"),
    "waiver.refused": _("{actor} refused to waive {subject}"),
    "waiver.revoked": _("{actor} revoked the waiver of {subject}"),
    "waiver.expired": _("{actor} noted that the waiver of {subject} has expired"),
    "placement.flagged": _("{actor} flagged {subject}: what it rests on has expired"),
    "condition.set": _("{actor} set {subject}"),
    "condition.reported": _("{actor} reported {subject} as fulfilled"),
    "condition.verified": _("{actor} verified {subject} as fulfilled"),
    "condition.returned": _("{actor} sent back {subject}"),
    "condition.missed": _("{actor} noted that {subject} was not fulfilled when it was due"),
    "review.opened": _("{actor} opened the {subject}"),
    "review.completed": _("{actor} completed the {subject}"),
    "review.overdue": _("{actor} noted that the {subject} is overdue"),
    "promotion.expired": _("{actor} let {subject} expire"),
    "promotion.reassessed": _(
        "{actor} judged {subject} again: its dossier has changed, earlier decisions are void"
    ),
    "glass.broken": _("{actor} broke the glass for {subject}"),
    "glass.ended": _("{actor} ended the broken glass for {subject}"),
    "alarm.raised": _("{actor} raised the alarm {subject}"),
    "alarm.signed_off": _("{actor} signed off the alarm {subject}"),
}
