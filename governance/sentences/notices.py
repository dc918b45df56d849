from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SENTENCES: dict[str, str | Promise] = {
    "mail_preference_of_a_person": _("Only people have mail preferences: use a personal token."),
    "mail_mode_unknown": _("{mode} is no way to get mail. Known are: {known}."),
    "language_unknown": _("{language} is no language of this installation. Known are: {known}."),
}

VERBS: dict[str, str | Promise] = {
    "mail_preference.changed": _("{actor} changed how they want to get mail"),
}
