"""A policy file: YAML in, validated JSON and its digest out. Nothing in it is code."""

from __future__ import annotations

from typing import Any

import yaml
from jsonschema import Draft202012Validator

from audits.canonical import digest_of
from audits.checks.catalogue import CATALOGUE
from audits.errors import Unprocessable
from audits.models.workspace import NAME
from governance.models.policies import RiskTier
from governance.policy import terms
from governance.policy.durations import DURATION, duration
from governance.roles import ROLES
from governance.states import Severity

__all__ = ["SCHEMA", "duration", "parse", "tiers_of"]

MAX_BYTES = 64 * 1024
DECIDING = [slug for slug, role in ROLES.items() if role.decides]
WAIVING = [slug for slug, role in ROLES.items() if "waiver.approve" in role.actions]
REVIEWING = [slug for slug, role in ROLES.items() if "review.complete" in role.actions]
TIERS = [tier for tier in RiskTier.values if tier != RiskTier.PROHIBITED]

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Policy",
    "type": "object",
    "additionalProperties": False,
    "required": ["policy", "applies_to", "checks", "approvals"],
    "properties": {
        "policy": {"type": "string", "pattern": rf"^{NAME}$", "maxLength": 200},
        "applies_to": {
            "type": "object",
            "additionalProperties": False,
            "required": ["environment"],
            "properties": {
                "environment": {"type": "string", "pattern": rf"^{NAME}$"},
                "risk_tier": {
                    "oneOf": [{"enum": TIERS}, {"type": "array", "items": {"enum": TIERS}, "minItems": 1}]
                },
                "use_case": {"type": "string", "pattern": rf"^{NAME}$"},
            },
            "anyOf": [{"required": ["risk_tier"]}, {"required": ["use_case"]}],
        },
        "checks": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["check", "require"],
                "properties": {
                    "check": {"enum": list(CATALOGUE)},
                    "parameters": {"type": "object"},
                    # where the check could not be computed (vendor, imaging, LLM systems)
                    "accept_attested": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["kinds"],
                        "properties": {
                            "kinds": {
                                "type": "array",
                                "items": {"enum": ["junit", "document"]},
                                "minItems": 1,
                                "uniqueItems": True,
                            },
                            "signed_by": {
                                "type": "array",
                                "items": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
                                "minItems": 1,
                                "maxItems": 20,
                            },
                        },
                        # who signed is what a document is worth: a policy says whose signature counts
                        "if": {"properties": {"kinds": {"contains": {"const": "document"}}}},
                        "then": {"required": ["signed_by"]},
                    },
                    "require": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["metric"],
                            "properties": {
                                "metric": {"type": "string"},
                                "attributes": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                                "min": {"type": "number"},
                                "max": {"type": "number"},
                                "bound": {"enum": ["conservative", "point"]},
                            },
                            "oneOf": [{"required": ["min"]}, {"required": ["max"]}],
                        },
                    },
                },
            },
        },
        "approvals": {
            "type": "array",
            "maxItems": 10,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["role", "count"],
                "properties": {
                    "role": {"enum": DECIDING},
                    "count": {"type": "integer", "minimum": 1, "maximum": 20},
                },
            },
        },
        "separation_of_duties": {
            "type": "array",
            "items": {"enum": ["requester", "author", "trainer", "dataset_owner"]},
            "uniqueItems": True,
        },
        "evidence_max_age": {"type": "string", "pattern": DURATION},
        "artifact_formats": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "confinement_level": {"enum": [1, 2]},
        "environment_lock": {"enum": ["kept", "exact"]},  # exact: it leaves no package without a version
        "evaluation_set": {  # measured on this data instead of what the version declares
            "type": "object",
            "additionalProperties": False,
            "required": ["dataset"],
            "properties": {
                "dataset": {"type": "string", "pattern": rf"^{NAME}$", "maxLength": 200},
                "hidden": {"type": "boolean"},  # default: its author must not be able to see it
            },
        },
        "valid_for": {"type": "string", "pattern": DURATION},  # of an approval; then a re-review is due
        "grandfathered": {  # how long what ran before may go on without approval; 0: not at all
            "type": "object",
            "additionalProperties": False,
            "required": ["max_days"],
            "properties": {"max_days": {"type": "integer", "minimum": 0, "maximum": 730}},
        },
        # Who has to say that they know this version before they decide by it.
        "acknowledge": {
            "type": "array",
            "items": {"enum": list(ROLES)},
            "minItems": 1,
            "uniqueItems": True,
        },
        "findings": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"block_at": {"enum": list(Severity.values)}},
        },
        "waivers": {
            "type": "object",
            "additionalProperties": False,
            "required": ["role", "max_days"],
            "properties": {
                "role": {"enum": WAIVING},
                "max_days": {"type": "integer", "minimum": 1, "maximum": 366},
            },
        },
        "review": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "role": {"enum": REVIEWING},
                "overdue": {"enum": ["block", "warn"]},
                "notice": {"type": "string", "pattern": DURATION},
            },
        },
        "expires_after": {"type": "string", "pattern": DURATION},
        "break_glass": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"max_hours": {"type": "integer", "minimum": 1, "maximum": 168}},
        },
    },
}

_VALIDATOR = Draft202012Validator(SCHEMA)


class _Loader(yaml.SafeLoader):
    """Safe, and stricter: no aliases (a few lines of them expand to gigabytes), no key twice, dates stay text."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not accepted in a policy")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, str) or keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} is not text, or stands there twice")
        return super().construct_mapping(node, deep)


def parse(text: str) -> dict[str, Any]:
    """The policy as validated JSON with every default filled in. Unprocessable says what is wrong, and where."""
    if len(text.encode()) > MAX_BYTES:
        raise Unprocessable("policy_too_large", field="text", limit=MAX_BYTES)
    try:
        body = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unprocessable(
            "policy_not_yaml", field="text", reason=" ".join(str(error).split())[:400]
        ) from error
    errors = sorted(
        _VALIDATOR.iter_errors(body), key=lambda found: [str(part) for part in found.absolute_path]
    )
    if errors:
        where = ".".join(map(str, errors[0].absolute_path)) or "policy"
        raise Unprocessable("policy_invalid", field=where, where=where, reason=errors[0].message[:300])
    for position, entry in enumerate(body["checks"]):
        _check_entry(position, entry)
    body.setdefault("separation_of_duties", ["requester", "author", "trainer", "dataset_owner"])
    body.setdefault("evidence_max_age", "30d")
    body.setdefault("artifact_formats", ["skops"])
    body.setdefault("confinement_level", 1)
    if "evaluation_set" in body:
        body["evaluation_set"].setdefault("hidden", True)
    terms.fill(body)
    digest_of(body)  # what canonical JSON cannot say (NaN, infinity) is not a policy
    return dict(body)


def _check_entry(position: int, entry: dict[str, Any]) -> None:
    definition = CATALOGUE[entry["check"]]
    where = f"checks.{position}"
    for error in Draft202012Validator(definition.parameters).iter_errors(entry.get("parameters", {})):
        raise Unprocessable(
            "policy_invalid",
            field=f"{where}.parameters",
            where=f"{where}.parameters",
            reason=error.message[:300],
        )
    for requirement in entry["require"]:
        if requirement["metric"] not in definition.metrics:
            raise Unprocessable(
                "policy_metric_unknown",
                field=f"{where}.require",
                metric=requirement["metric"],
                check=entry["check"],
                known=list(definition.metrics),
            )


def tiers_of(body: dict[str, Any]) -> list[str]:
    tier = body["applies_to"].get("risk_tier", [])
    return [tier] if isinstance(tier, str) else list(tier)
