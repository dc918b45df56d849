"""Labels of subjects that hold words beside names: `credit@2 in production`. They are recorded in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.utils.translation import gettext

from audits.verbs import spoken
from governance.states import DeploymentMode, Severity

Parts = Mapping[str, str]
_MODES, _SEVERITIES = dict(DeploymentMode.choices), dict(Severity.choices)


def _placed(parts: Parts) -> str:
    return gettext("{what} in {environment}").format(**parts)


def _deployed(parts: Parts) -> str:
    return f"{_placed(parts)} ({_MODES.get(parts['mode'], parts['mode'])})"


def _found(parts: Parts) -> str:
    severity = _SEVERITIES.get(parts["severity"], parts["severity"])
    return gettext("{severity} on {version}").format(severity=severity, version=parts["version"])


def _waived(parts: Parts) -> str:
    return gettext("{requirement} of {version} in {environment}").format(**parts)


def _condition(parts: Parts) -> str:
    return gettext("condition {n} on {promotion}").format(**parts)


def _reviewed(parts: Parts) -> str:
    return gettext("re-review of {placement}").format(placement=spoken(parts["placement"]))


def _broken(parts: Parts) -> str:
    return gettext("broken glass: {placement}").format(placement=spoken(parts["placement"]))


def _log(parts: Parts) -> str:
    return gettext("the log of {workspace}").format(**parts)


LABELS: dict[str, Callable[[Parts], str]] = {
    r"the log of (?P<workspace>\S+)": _log,
    r"re-review of (?P<placement>.+)": _reviewed,
    r"broken glass: (?P<placement>.+)": _broken,
    r"condition (?P<n>\d+) on (?P<promotion>.+)": _condition,
    r"(?P<severity>low|medium|high|critical) on (?P<version>\S+@\d+)": _found,
    r"(?P<requirement>.+) of (?P<version>\S+@\d+) in (?P<environment>\S+)": _waived,
    r"(?P<what>\S+) in (?P<environment>\S+) \((?P<mode>\w+)\)": _deployed,
    r"(?P<what>\S+) in (?P<environment>\S+)": _placed,
}
