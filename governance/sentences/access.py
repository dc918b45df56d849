"""Roles, groups, tokens: their codes and verbs as sentences."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "role_not_grantable": _(
        "The role {role} is not yours to give here: nobody gives what they do not hold. Ask an administrator of "
        "what it is for."
    ),
    "recertify_every_invalid": _("A role is recertified every 1 to {days} days."),
    "scope_kind_unknown": _("The scope {scope} is not known. Known: {known}."),
    "scope_subject": _(
        "A role for one model or one dataset names it; a role for the service or the workspace names none."
    ),
    "own_recertification": _("Nobody recertifies a role of their own. Another administrator does."),
    "role_revoked": _("The role was taken away. Give it again instead."),
    "person_unknown": _("There is no active person with the user name {name}."),
    "principal_needed": _("Name exactly one of person, group and token."),
    "personal_token_of_another": _(
        "A personal token acts as its person: nobody issues one for somebody else. Issue a service token instead."
    ),
    "scopes_beyond_own": _("A token issues no token with scopes it does not have itself: {scopes}."),
    "moment_in_the_future": _("That time has not come yet."),
    "action_unknown": _("The action {action} is not known. Known: {known}."),
    # limits of "who could have"
    "limit_roles_today": _("What a role permits is read from the table of roles as it is today."),
    "limit_superusers_today": _(
        "Superusers of the console and people who are no longer active are known as they are now, not as they "
        "were then."
    ),
    "limit_database_today": _(
        "Database roles are listed as they are now: PostgreSQL keeps no history of them. They can write past the "
        "rules of Crivo."
    ),
    "limit_separation": _(
        "Having a role is not enough: whoever had a hand in a version is excluded from deciding on it, and that is "
        "recorded with each request."
    ),
    "limit_shell": _("Whoever runs manage.py on the server can give roles; the events of that say system."),
}

VERBS = {
    "role.recertified": _("{actor} recertified the role {subject}"),
    "role.lapsed": _("{actor} noted that the role {subject} has lapsed"),
    "group.created": _("{actor} made the group {subject}"),
    "group.member_added": _("{actor} added a member to the group {subject}"),
    "group.member_removed": _("{actor} removed a member from the group {subject}"),
}
