"""The data a version is evaluated on: what it declares, or the set a policy names, which its author has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audits.errors import Unprocessable
from governance.authority import roles_anywhere
from governance.roles import actions_of
from registry.models import DatasetVersion, ModelVersion


def evaluation_data(version: ModelVersion, policy: Mapping[str, Any]) -> DatasetVersion:
    """The newest version of the policy's `evaluation_set`, or the declared evaluation data where it names none.

    Unprocessable where the set is not there or has no version, where it is not hidden although the policy wants it to
    be or the author of the version may see it all the same (they validate, too), and where somebody behind the version
    has registered it: people do not set their own exam.
    """
    wanted = policy.get("evaluation_set")
    if wanted is None:
        return version.evaluation
    name = wanted["dataset"]
    found = (
        DatasetVersion.objects.filter(workspace_id=version.workspace_id, dataset__name=name)
        .select_related("dataset")
        .order_by("-n")
        .first()
    )
    if found is None or (wanted["hidden"] and not found.dataset.hidden):
        raise Unprocessable("evaluation_set_missing", dataset=name)
    if wanted["hidden"] and "evaluation_set.read" in actions_of(
        roles_anywhere(version.workspace_id, version.author_id)
    ):
        raise Unprocessable("evaluation_set_readable", dataset=name, version=version.label)
    behind = {version.author_id, version.registered_by, version.model.owner_id}
    if {found.registered_by, found.dataset.owner_id} & behind:
        raise Unprocessable("evaluation_set_of_author", dataset=name, version=version.label)
    return found


def with_bins_of(found: DatasetVersion, sensitive: Mapping[str, Any]) -> dict[str, Any]:
    """What the version declares sensitive, and what the evaluation set does besides: it adds, and never removes."""
    added = {
        name: {"use": "monitored", **({"bins": about["bins"]} if about.get("bins") else {})}
        for name, about in found.sensitive.items()
    }
    return {**added, **sensitive}
