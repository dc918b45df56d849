"""Every message code and every verb of this package, one module a topic. Never remove one: old events still say it."""

from django.utils.functional import Promise

from governance.sentences import (
    access,
    core,
    evidence,
    explanations,
    findings,
    gate,
    lifecycle,
    notices,
    policies,
    use_cases,
)

TOPICS = (core, gate, lifecycle, notices, policies, findings, access, use_cases, evidence, explanations)

SENTENCES: dict[str, str | Promise] = {}
VERBS: dict[str, str | Promise] = {}
for _topic in TOPICS:
    SENTENCES |= _topic.SENTENCES
    VERBS |= _topic.VERBS
