"""The gate as of a time, grandfathered models, reconciliation, revocation, keys: their codes and verbs as sentences."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "at_malformed": _("`at` is a time with its zone, like 2026-01-31T00:00:00Z."),
    "at_in_future": _("The gate answers for now and for what was; {at} has not come yet."),
    "grandfathered": _(
        "{version} ran before it was registered and is tolerated in {environment} until {deadline}. It is not approved."
    ),
    "grandfathering_over": _(
        "{version} was tolerated in {environment} until {deadline}. Register it and ask for its promotion."
    ),
    "grandfathering_ended": _("Tolerating {version} in {environment} was ended before its deadline."),
    "grandfathering_not_effective_yet": _(
        "{version} is not tolerated in {environment} yet: the event is not in a signed checkpoint."
    ),
    "grandfathering_replaced": _("An approved version has taken the place of {version} in {environment}."),
    "grandfathering_deadline": _(
        "The deadline lies between now and {days} days from now: policy allows no more in {environment}."
    ),
    "grandfathering_ended_already": _("This was ended before. Nothing takes that back: ask for a promotion."),
    "import_size": _("An import has from 1 to {limit} rows. Send a longer list in parts."),
    "reconciliation_size": _("A reconciliation has at most {limit} rows."),
    "reconciliation_empty": _("Say what runs, or name the environments in which nothing does."),
    "no_revocations_yet": _(
        "No revocation list was issued yet. The notary issues the first one when it starts."
    ),
    "key_overlap": _("The overlap is at least {minutes} minutes and at most {days} days."),
    "key_rotation_pending": _(
        "The key {purpose} is being replaced already. Wait until the new one signs alone."
    ),
    "key_from_environment": _(
        "The key {purpose} comes from the environment, so it can only be replaced there."
    ),
}

VERBS = {
    "import.recorded": _("{actor} brought in running models"),
    "grandfathered.registered": _("{actor} let {subject} go on without approval, until a deadline"),
    "grandfathered.ended": _("{actor} ended the tolerance for {subject}"),
    "reconciliation.recorded": _("{actor} compared what runs with what is approved"),
    "revocations.issued": _("{actor} issued the list of revoked attestations"),
    "key.rotated": _("{actor} made the successor of the key {subject}"),
}
