"""Order the checks a policy asks for: one run for each entry, or the run that already answers it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils import timezone

from audits.actors import Actor
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import Material, numbered
from audits.services.check_runs import obtain_run
from governance.data_read import DataRead, data_of, data_read
from governance.evaluation_sets import with_bins_of
from governance.models import Promotion, PromotionCheck
from governance.policy.schema import duration
from registry.models import ModelVersion

CUSTOMARY = 30  # the rows every check asks of a group at least, where the policy does not say
SEMANTICS = (
    "task",
    "target",
    "positive_label",
    "favourable_label",
    "output",
    "threshold",
    "sensitive",
    "entity_key",
    "time_column",
    "format",
    "framework",
    "claimed_metrics",
    "classes",
    "cost_matrix",
    "split",
)


def order_checks(actor: Actor, promotion: Promotion) -> None:
    """Part of the transaction that creates the promotion, or holds it against another version of its policy."""
    policy = promotion.policy.body
    fresh_since = timezone.now() - duration(policy["evidence_max_age"])
    for position, question in enumerate(questions(promotion.version, policy)):
        run = obtain_run(
            actor, **question, confinement_level=policy["confinement_level"], fresh_since=fresh_since
        )
        PromotionCheck.objects.create(promotion=promotion, round=promotion.round, position=position, run=run)


def questions(version: ModelVersion, policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is asked of a version, one question for each `checks` entry: the arguments of obtain_run."""
    read = data_read(version, policy)
    materials, semantics = (*_materials(version, read), *read.reference), semantics_of(version)
    if read.zone is not None:
        semantics["zone"] = read.zone.declared
    if read.evaluation.id != version.evaluation_id:
        semantics["sensitive"] = with_bins_of(read.evaluation, semantics["sensitive"])
    for entry in policy["checks"]:
        yield {
            "subject": version.ref,
            "slug": entry["check"],
            "parameters": _parameters(entry, semantics, version.created_at.date().isoformat()),
            "sources": read.zone.sources if read.zone is not None else None,
            "seed": version.metadata["seed"],
            "semantics": semantics,
            "materials": materials,
        }


def materials_of(version: ModelVersion) -> tuple[Material, ...]:
    """The files a check may read of this version, on the data it declares."""
    *training, examined = data_of(version)
    return _materials(version, DataRead(training, examined, None, None))


def _materials(version: ModelVersion, read: DataRead) -> tuple[Material, ...]:
    examined = read.evaluation
    return (
        Material("artifact", version.artifact_digest, version.metadata["format"]),
        *(
            Material(numbered("training", place), row.digest, row.format, row.dialect)
            for place, row in enumerate(read.training, start=1)
        ),
        Material("evaluation", examined.digest, examined.format, examined.dialect),
    )


def semantics_of(version: ModelVersion) -> dict[str, Any]:
    """What the version declares, as far as a check may know it."""
    return {name: version.metadata[name] for name in SEMANTICS if name in version.metadata}


def _parameters(entry: dict[str, Any], semantics: dict[str, Any], registered: str) -> dict[str, Any]:
    """The policy's parameters; the sensitive columns are those declared and the policy's: it adds, never removes."""
    parameters = dict(entry.get("parameters", {}))
    if "limits" in CATALOGUE[entry["check"]].parameters["properties"]:
        # so that the check can say at which sample size the limit could be met at all
        limits = {line["metric"]: line.get("min", line.get("max")) for line in entry["require"]}
        parameters.setdefault("limits", {name: limits[name] for name in sorted(limits)})
    if "time_column" in semantics and "as_of" in CATALOGUE[entry["check"]].parameters["properties"]:
        parameters.setdefault(
            "as_of", registered
        )  # a check has no clock; asked again, it is the same question
    if "zone" in semantics and "min_group" in CATALOGUE[entry["check"]].parameters["properties"]:
        # a group that may not be told of on its own is not compared with others either
        least, given = semantics["zone"]["k"], parameters.get("min_group")
        if least > (CUSTOMARY if given is None else given):
            parameters["min_group"] = least
    if "sensitive" in parameters:
        parameters["sensitive"] = sorted({*parameters["sensitive"], *semantics["sensitive"]})
    return parameters
