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
from audits.models.webhooks import Webhook, WebhookAttempt, WebhookDelivery
from audits.models.workspace import Workspace

__all__ = [
    "AuditExport",
    "Blob",
    "CheckRun",
    "Checkpoint",
    "Event",
    "EventText",
    "Explanation",
    "IdempotencyRecord",
    "Leaf",
    "LogState",
    "Node",
    "Quarantine",
    "SubjectHead",
    "Webhook",
    "WebhookAttempt",
    "WebhookDelivery",
    "Workspace",
]
