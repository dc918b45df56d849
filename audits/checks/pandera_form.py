"""Which serialised pandera schemas a policy may hold: data only, in the words of its to_json and to_yaml.

An allow-list, since pandera reads more than it writes: it sets any option on a check by name, and drops rows, fills and
adds columns where the schema says so. What would change the data or only warn is refused, and what cannot be counted
part by part: columns unique together, sets of values. So are an index, checks of whole tables and patterns for names.
Patterns for texts are bounded as every check is: by the time of the confined child.
"""

from __future__ import annotations

from typing import Any

CHECKS = (
    "equal_to", "not_equal_to", "greater_than", "greater_than_or_equal_to", "less_than", "less_than_or_equal_to",
    "in_range", "isin", "notin", "str_matches", "str_contains", "str_startswith", "str_endswith", "str_length",
)  # fmt: skip
_VALUE = {"type": ["string", "number", "boolean"]}
_BOUND = {"type": ["string", "number", "boolean", "null"]}
_VALUES = {"type": "array", "items": _VALUE, "minItems": 1}
_TRUTH = {"type": "boolean"}
_PATTERN = {"type": "string", "maxLength": 1000}
_ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(("value", "min_value", "max_value", "exact_value"), _BOUND),
    **dict.fromkeys(("allowed_values", "forbidden_values", "values"), _VALUES),
    **dict.fromkeys(("include_min", "include_max"), _TRUTH),
    **dict.fromkeys(("pattern", "string"), _PATTERN),
}
_WORDS = {"type": ["string", "null"], "maxLength": 200}
_OPTIONS = {
    "ignore_na": _TRUTH,
    "raise_warning": {"const": False},
    "n_failure_cases": {"type": ["integer", "null"]},
    "name": _WORDS,  # what the rule is called in results
    "error": _WORDS,
}
_GIVEN = {
    "anyOf": [
        _VALUE,
        _VALUES,
        {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                **_ARGUMENTS,
                **_OPTIONS,
                "options": {"type": "object", "additionalProperties": False, "properties": _OPTIONS},
            },
        },
    ]
}
_LISTED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["options"],
    "properties": {
        **_ARGUMENTS,
        "value": {"anyOf": [_VALUE, _VALUES]},
        "options": {
            "type": "object",
            "additionalProperties": False,
            "required": ["check_name"],
            "properties": {**_OPTIONS, "check_name": {"enum": list(CHECKS)}},
        },
    },
}
_TEXT = {"type": ["string", "null"], "maxLength": 2000}
_NOT = {"enum": [False, None]}
_DESCRIBED = {
    "title": _TEXT,
    "description": _TEXT,
    "coerce": _NOT,
    "report_duplicates": {"enum": ["all", "exclude_first", "exclude_last"]},
    "drop_invalid_rows": _NOT,
}
COLUMN: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **_DESCRIBED,
        **dict.fromkeys(CHECKS, _GIVEN),
        "checks": {
            "anyOf": [
                {"type": "null"},
                {"type": "array", "items": _LISTED, "maxItems": 50},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": dict.fromkeys(CHECKS, _GIVEN),
                },
            ]
        },
        "name": _TEXT,
        "dtype": {
            "type": ["string", "null"],
            "pattern": r"^[A-Za-z0-9_]{1,40}(\[[A-Za-z0-9_, :/+-]{1,40}\])?$",
        },
        "nullable": _TRUTH,
        "unique": _TRUTH,
        "required": _TRUTH,
        "regex": _NOT,
        "default": {"type": "null"},
    },
}
PANDERA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["columns"],
    "properties": {
        **_DESCRIBED,
        "schema_type": {"const": "dataframe"},
        "version": {"type": "string", "maxLength": 40},
        "api": {"const": "pandas"},
        "columns": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 2000,
            "additionalProperties": COLUMN,
        },
        "checks": {"type": "null"},
        "index": {"type": "null"},
        "dtype": {"type": "null"},
        "strict": _TRUTH,
        "name": _TEXT,
        "ordered": _TRUTH,
        "unique": {"type": "null"},
        "unique_column_names": _TRUTH,
        "add_missing_columns": _NOT,
    },
}
