from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SENTENCES: dict[str, str | Promise] = {
    "evidence_check_unknown": _("There is no check named {check} that this could be evidence for."),
    "evidence_kind_unknown": _("{kind} is no kind of evidence. Known are junit and document."),
    "evidence_unsigned": _(
        "A document needs a signature and the key to verify it with; a key needs its signature."
    ),
    "evidence_signature_invalid": _("The signature could not be verified: {reason}."),
    "junit_unreadable": _("The test report cannot be read: {reason}."),
    "several_zones": _(
        "The data of {version} lies in several data zones ({zones}). No worker may see more than one of them."
    ),
    "zone_format_refused": _(
        "In the data zone {zone} a model file that can run code ({format}) is not run: it could write what it sees "
        "into the result. Accepted: {accepted}."
    ),
    "evaluation_set_missing": _(
        "The policy measures on the evaluation set {dataset}, which is not there. A validator has to register it."
    ),
    "evaluation_set_readable": _(
        "The policy measures on the evaluation set {dataset}, which the author of {version} is permitted to see."
    ),
    "evaluation_set_of_author": _(
        "The policy measures on the evaluation set {dataset}, which somebody behind {version} has registered."
    ),
    "sample_below_minimum": _(
        "{n} rows cannot show that {metric} is within {limit}: at least {minimum_n} are needed. Measured {value},"
        " interval {low} to {high}."
    ),
    "attested": _("Not computed here: attested by {issuer} ({title})."),
    "attested_not_passed": _(
        "Not computed here: in the report of {issuer} ({title}) {bad} of {ran} cases failed."
    ),
}

VERBS: dict[str, str | Promise] = {
    "evidence.attached": _("{actor} attached the evidence {subject}"),
}
