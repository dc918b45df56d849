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
    "person_invalid": _("This is no account that can be made: {reason}"),
    "person_exists": _("There is an account with the user name {name} already."),
    "person_of_another_workspace": _("Another workspace made this account: only its administrators end it."),
    "own_account": _("Nobody ends or restores their own account. Another administrator does."),
    "superuser_by_shell": _("The account of a superuser is ended and restored on the server only."),
    "account_erased": _("This account was erased: nothing brings it back. Make a new one instead."),
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
        "Who is a superuser of the console is known as it is now, not as it was then; so is whether an account from "
        "before accounts were told of is active."
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
    "person.created": _("{actor} made the account of {subject}"),
    "person.deactivated": _("{actor} ended the account of {subject}"),
    "person.reactivated": _("{actor} restored the account of {subject}"),
    "group.created": _("{actor} made the group {subject}"),
    "group.member_added": _("{actor} added a member to the group {subject}"),
    "group.member_removed": _("{actor} removed a member from the group {subject}"),
}
