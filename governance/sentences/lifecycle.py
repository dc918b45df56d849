"""After the grant: suspension, rollback, retirement, aliases, deployments, environments, comparison."""

from django.utils.translation import gettext_lazy as _

SENTENCES = {
    "placement_transition": _("The placement is {state} and cannot become {wanted}."),
    "version_transition": _("The version is {state} and cannot become {wanted}."),
    "own_suspension": _("You suspended this yourself. Somebody else has to let it go on."),
    "suspended_there": _(
        "The version is suspended in {environment}. Reinstate it there, or withdraw it and ask again."
    ),
    "reinstatement_not_effective_yet": _(
        "{version} was reinstated and the reinstatement is not effective yet: its event is not in a signed checkpoint."
    ),
    # rollback
    "environment_not_exclusive": _(
        "More than one version may be live in {environment}, so there is no previous one. Withdraw the placement "
        "you do not want."
    ),
    "changed_meanwhile": _(
        "What is live in {environment} was changed by somebody else just now. Look at it, and ask again if you still "
        "want to."
    ),
    "rollback_not_effective_yet": _(
        "A rollback to {version} was granted a moment ago and is not effective yet. Wait for it before going back "
        "further."
    ),
    "nothing_to_roll_back_to": _(
        "No earlier version that was live in {environment} may be live there again."
    ),
    "never_live_there": _("{version} was never live in {environment}: ask for its promotion."),
    "placement_live": _("{version} is live in {environment}."),
    # retirement
    "successor_unknown": _("There is no model version {reference} to use instead."),
    "successor_is_itself": _("A version is not its own successor."),
    "successor_retired": _("{version} is retired and can succeed nothing."),
    # aliases
    "alias_invalid": _(
        "An alias begins with a small letter, has letters, digits, dot, underscore or hyphen, at most 100, and is "
        "neither latest nor v and a number."
    ),
    "alias_to_retired": _("{version} is retired; an alias points to what may still be used."),
    "version_unknown": _("There is no model version {reference}."),
    # deployments
    "deployment_mode_unknown": _("The mode {mode} is not known. Known: {known}."),
    "share_invalid": _("A share of the traffic is a number from 0 to 1."),
    "time_in_the_future": _("The time lies in the future. Record what has happened."),
    "until_before_since": _("It cannot have ended before it began."),
    "deployment_over": _("This deployment has ended already."),
    "listens_one_step_ahead": _(
        "{version} runs as {mode} in {environment}: its answers reach nobody, and it is promoted to {before}."
    ),
    "rolled_over_from": _("{version} runs as {mode} in {environment} beside the version that superseded it."),
    # environments
    "environment_differs": _(
        "The environment {name} is there already, at another place or with another rule."
    ),
    "environment_in_use": _(
        "Promotions to {name} were asked for already: its place and whether it is exclusive stay as they are."
    ),
    "too_many_environments": _("There are at most {limit} environments."),
    # comparison
    "nothing_live_to_compare": _(
        "No other version of {model} is live in {environment}: there is nothing to compare."
    ),
    "check_not_run": _("{version} has no completed result of {check}."),
    "different_evaluation_data": _(
        "Not comparable: {check} of the two versions was measured on different evaluation data."
    ),
    "different_check_version": _("Not comparable: the two results are of different versions of {check}."),
    "no_importance": _("A result of {check} holds no importance of columns."),
    "position_invalid": _("The position is a number from 0 to {limit}."),
}

VERBS = {
    "placement.suspended": _("{actor} suspended {subject}"),
    "placement.reinstated": _("{actor} reinstated {subject}"),
    "placement.withdrawn": _("{actor} withdrew the placement {subject}"),
    "placement.restored": _("{actor} rolled back to {subject}"),
    "model_version.suspended": _("{actor} suspended {subject}"),
    "model_version.reinstated": _("{actor} reinstated {subject}"),
    "model_version.retired": _("{actor} retired {subject}"),
    "alias.set": _("{actor} set the alias {subject}"),
    "alias.removed": _("{actor} took away the alias {subject}"),
    "deployment.recorded": _("{actor} recorded the deployment {subject}"),
    "deployment.ended": _("{actor} recorded the end of the deployment {subject}"),
    "environment.added": _("{actor} added an environment to {subject}"),
    "environment.changed": _("{actor} changed an environment of {subject}"),
}
