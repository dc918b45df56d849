"""What a model version must declare. Anything missing or contradictory is a 422 that names the field.

The declared metadata and the digest of the artefact together are the manifest, the identity of the version.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from audits.checks.formats import FORMATS
from audits.errors import Unprocessable
from audits.models.workspace import NAME

DIGEST = {"type": "string", "pattern": r"^sha256:[0-9a-f]{64}$"}
REFERENCE = {"type": "string", "pattern": rf"^{NAME}@[1-9][0-9]*$"}
LABEL = {"type": ["string", "number", "boolean"]}
TEXT = {"type": "string", "minLength": 1, "maxLength": 2000}
ARTIFACT_FORMATS = FORMATS  # those that checks read; any other name can be registered

SENSITIVE = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "additionalProperties": False,
        "required": ["use"],
        "properties": {
            "use": {"enum": ["allowed", "forbidden", "monitored"]},
            "reason": TEXT,
            "bins": {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 50},
        },
        # A sensitive column that may be used says why: without a reason it is not allowed.
        "if": {"properties": {"use": {"const": "allowed"}}},
        "then": {"required": ["reason"]},
    },
}

# What a decision costs: {truth: {decision: cost}}; what is not named costs nothing, a gain is below 0.
COSTS = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 100,
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 100,
        "additionalProperties": {"type": "number", "minimum": -1e12, "maximum": 1e12},
    },
}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Metadata of a model version",
    "type": "object",
    "additionalProperties": False,
    "required": [
        "format",
        "framework",
        "task",
        "target",
        "output",
        "sensitive",
        "training",
        "evaluation",
        "use_case",
        "seed",
        "code_commit",
        "environment_digest",
    ],
    "properties": {
        "format": {"type": "string", "pattern": r"^[a-z0-9][a-z0-9._+-]{0,39}$", "examples": list(ARTIFACT_FORMATS)},
        "framework": TEXT,
        "task": {"enum": ["binary", "multiclass", "regression"]},
        "target": TEXT,
        "positive_label": LABEL,
        "favourable_label": LABEL,
        "classes": {"type": "array", "items": LABEL, "minItems": 2, "maxItems": 100, "uniqueItems": True},
        "output": {"enum": ["label", "probability", "score", "value"]},
        "threshold": {"type": "number"},
        "sensitive": SENSITIVE,
        "entity_key": TEXT,
        "time_column": TEXT,
        "split": {"enum": ["random", "time", "entity"]},
        "cost_matrix": COSTS,
        "training": {"type": "array", "items": REFERENCE, "minItems": 1, "maxItems": 100, "uniqueItems": True},
        "evaluation": REFERENCE,
        "claimed_metrics": {"type": "object", "additionalProperties": {"type": "number"}},
        "params": {"type": "object"},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
        "code_commit": {"type": "string", "pattern": r"^[0-9a-f]{7,64}$"},
        "environment_digest": DIGEST,
        "use_case": {"type": "string", "pattern": rf"^{NAME}$"},
        "author": TEXT,
        "description": {"type": "string", "maxLength": 10000},
    },
    "allOf": [
        {
            "if": {"properties": {"task": {"const": "binary"}}},
            "then": {"required": ["positive_label", "favourable_label"]},
        },
        {"if": {"properties": {"output": {"enum": ["probability", "score"]}, "task": {"const": "binary"}}},
         "then": {"required": ["threshold"]}},
        {"if": {"properties": {"task": {"const": "multiclass"}}}, "then": {"required": ["favourable_label"]}},
        {"if": {"properties": {"task": {"const": "regression"}}},
         "then": {"properties": {"output": {"const": "value"}, "cost_matrix": False}}},
        *({"if": {"properties": {"split": {"const": split}}, "required": ["split"]}, "then": {"required": [needed]}}
          for split, needed in (("time", "time_column"), ("entity", "entity_key"))),
    ],
}  # fmt: skip

_VALIDATOR = Draft202012Validator(SCHEMA)


def validated(metadata: Any) -> dict[str, Any]:
    """The metadata unchanged, or Unprocessable with the first thing wrong and where."""
    errors = sorted(
        _VALIDATOR.iter_errors(metadata), key=lambda error: [str(part) for part in error.absolute_path]
    )
    if errors:
        error = errors[0]
        where = ".".join(["metadata", *map(str, error.absolute_path)])
        if error.validator == "required":
            missing = error.message.split("'")[1]
            raise Unprocessable("metadata_missing", field=f"{where}.{missing}", name=missing)
        raise Unprocessable("metadata_invalid", field=where, reason=error.message[:300])
    if metadata["output"] == "probability" and not 0 <= metadata.get("threshold", 0.5) <= 1:
        raise Unprocessable(
            "metadata_invalid", field="metadata.threshold", reason="a probability is between 0 and 1"
        )
    return dict(metadata)
