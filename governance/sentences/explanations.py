"""Explaining one decision: what is refused."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "explanation_format_not_accepted": _(
        "{version} is a file of the format {format}, which can run code, and no policy in force for its use case "
        "accepts that. Accepted: {accepted}."
    ),
    "record_malformed": _(
        "The record is an object of at most {limit} fields, each a text, a number, true, false or null."
    ),
}

VERBS: dict[str, str] = {}
