from audits.models.access import AccessRecord
from audits.models.earlier import EarlierCheckpoint, EarlierLeaf
from audits.models.evidence import Blob, CheckRun
from audits.models.explanations import Explanation
from audits.models.exports import AuditExport
from audits.models.idempotency import IdempotencyRecord
from audits.models.ledger import (
    Checkpoint,
    Event,
    EventText,
    Leaf,
    LogState,
    Node,
    Quarantine,
    SubjectHead,
)
from audits.models.net import Governed, OutOfBandChange
from audits.models.parts import CheckPart
from audits.models.personal import LegalHold, PersonalKey, SearchText
from audits.models.pruned import DecisionLogVerb, PrunedEvent, RetentionPeriod
from audits.models.reproductions import Reproduction, ReproductionOutcome
from audits.models.webhooks import Webhook, WebhookAttempt, WebhookDelivery
from audits.models.workspace import Workspace

__all__ = [
    "AccessRecord",
    "AuditExport",
    "Blob",
    "CheckPart",
    "CheckRun",
    "Checkpoint",
    "DecisionLogVerb",
    "EarlierCheckpoint",
    "EarlierLeaf",
    "Event",
    "EventText",
    "Explanation",
    "Governed",
    "IdempotencyRecord",
    "Leaf",
    "LegalHold",
    "LogState",
    "Node",
    "OutOfBandChange",
    "PersonalKey",
    "PrunedEvent",
    "Quarantine",
    "Reproduction",
    "ReproductionOutcome",
    "RetentionPeriod",
    "SearchText",
    "SubjectHead",
    "Webhook",
    "WebhookAttempt",
    "WebhookDelivery",
    "Workspace",
]
