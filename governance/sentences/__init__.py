"""Every message code and every verb of this package, one module a topic. Never remove one: old events still say it."""

from django.utils.functional import Promise

from governance.sentences import core, findings, gate, lifecycle, notices, policies

TOPICS = (core, gate, lifecycle, notices, policies, findings)

SENTENCES: dict[str, str | Promise] = {}
VERBS: dict[str, str | Promise] = {}
for _topic in TOPICS:
    SENTENCES |= _topic.SENTENCES
    VERBS |= _topic.VERBS
