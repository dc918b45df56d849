"""Use cases: their codes and verbs as sentences."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "tier_or_questionnaire": _("Give either a risk tier or the answers of the questionnaire."),
    "questionnaire_outdated": _(
        "The answers are to version {given} of the questionnaire; the current one is {current}. Print it again: "
        "crivo use-case questions."
    ),
    "questionnaire_incomplete": _("These questions are not answered: {missing}."),
    "questionnaire_unknown": _("The questionnaire has no such question: {unknown}."),
    "answer_invalid": _("{question} is answered by yes, no or unsure."),
    "legal_basis_unknown": _("No legal basis has the code {unknown}. Known: {known}."),
    "intake_incomplete": _("A use case of the tier {tier} also says: {missing}."),
    "use_case_prohibited": _(
        "By its answers the use case {name} is a prohibited practice: it is not registered and nothing is promoted "
        "for it. If an answer is wrong, correct it."
    ),
    "use_case_stale": _(
        "The use case has changed since you read it. Read it again, then change what it says now."
    ),
    "if_match_missing": _(
        "Send If-Match with the ETag of what you read, so that no change of others is lost."
    ),
    "tier_unchanged": _("The risk tier is {tier} already."),
    "tier_lowered_by_owner": _("The owner of a use case does not lower its risk tier. Somebody else has to."),
    "tier_not_from_prohibited": _(
        "A prohibited practice is not talked down. If an answer is wrong, correct the answers."
    ),
    "tier_not_to_prohibited": _(
        "Prohibited is what the questionnaire finds. Suspend what must not run instead."
    ),
    "nothing_to_change": _("Nothing to change was given."),
    "question_applies": _("{question}: {text}"),
}

VERBS = {
    "use_case.edited": _("{actor} changed the use case {subject}"),
    "use_case.tier_set": _("{actor} set the risk tier of {subject}"),
}
