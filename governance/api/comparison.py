"""A version beside the live one, over HTTP."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages
from audits.api.base import View
from audits.api.schema import ReasonOut, problems
from audits.checks.contract import Message, Metric
from governance import selectors
from governance.comparison import Comparison, compare
from governance.comparison.compare import CheckPair, DataDiff, ImportanceShift, MetricPair
from governance.comparison.statistics import FISHER, FROM_INTERVALS, TWO_PROPORTION
from registry.selectors import found, model_version


class ComparedValue(serializers.Serializer[None]):
    value = serializers.FloatField(allow_null=True)
    interval = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    n = serializers.IntegerField(allow_null=True)


class ComparisonTest(serializers.Serializer[None]):
    name = serializers.ChoiceField(choices=[TWO_PROPORTION, FISHER, FROM_INTERVALS])
    statistic = serializers.FloatField(allow_null=True, help_text="z; null for an exact test")
    p_value = serializers.FloatField(help_text="two-sided, samples taken as independent")
    p_holm = serializers.FloatField(help_text="corrected for all tests of this check (Holm)")


class ComparedMetric(serializers.Serializer[None]):
    metric = serializers.CharField()
    attribute = serializers.CharField(allow_null=True)
    group = serializers.CharField(allow_null=True)
    this = ComparedValue()
    live = ComparedValue()
    difference = serializers.FloatField(allow_null=True)
    test = ComparisonTest(allow_null=True)


class ComparedCheck(serializers.Serializer[None]):
    check = serializers.CharField()
    comparable = serializers.BooleanField()
    reason = ReasonOut(allow_null=True, help_text="why not comparable")
    metrics = ComparedMetric(many=True)


class ComparedShift(serializers.Serializer[None]):
    feature = serializers.CharField()
    this = serializers.FloatField()
    live = serializers.FloatField()
    change = serializers.FloatField()


class ComparedImportance(serializers.Serializer[None]):
    comparable = serializers.BooleanField()
    reason = ReasonOut(allow_null=True)
    rank_correlation = serializers.FloatField(allow_null=True, help_text="Spearman, over the shared columns")
    shared = serializers.IntegerField()
    shifts = ComparedShift(many=True, help_text="of the share of total attribution, the largest first")
    added = serializers.ListField(child=serializers.CharField())
    dropped = serializers.ListField(child=serializers.CharField())


class ComparedDataset(serializers.Serializer[None]):
    name = serializers.CharField()
    digest = serializers.CharField()


class RetypedColumn(serializers.Serializer[None]):
    column = serializers.CharField()
    live = serializers.CharField()
    this = serializers.CharField()


class ComparedData(serializers.Serializer[None]):
    same_training = serializers.BooleanField()
    same_evaluation = serializers.BooleanField()
    training_added = ComparedDataset(many=True)
    training_dropped = ComparedDataset(many=True)
    columns_added = serializers.ListField(child=serializers.CharField())
    columns_dropped = serializers.ListField(child=serializers.CharField())
    columns_retyped = RetypedColumn(many=True)
    rows = serializers.IntegerField(allow_null=True)
    live_rows = serializers.IntegerField(allow_null=True)


class ComparisonOut(serializers.Serializer[None]):
    this = serializers.CharField(help_text="name@n")
    live = serializers.CharField(allow_null=True)
    environment = serializers.CharField()
    reason = ReasonOut(allow_null=True, help_text="why there is nothing to compare with")
    metrics = ComparedCheck(allow_null=True)
    bias = ComparedCheck(allow_null=True)
    importance = ComparedImportance(allow_null=True)
    data = ComparedData(allow_null=True)  # type: ignore[assignment] # DRF keeps `data` for itself, as a property


def _reason(message: Message | None) -> dict[str, Any] | None:
    return None if message is None else messages.as_json(message)


def _value(metric: Metric) -> dict[str, Any]:
    return {
        "value": metric.value,
        "interval": list(metric.interval) if metric.interval else None,
        "n": metric.n,
    }


def _metric(pair: MetricPair) -> dict[str, Any]:
    test = pair.test
    return {
        "metric": pair.metric,
        "attribute": pair.attribute,
        "group": pair.group,
        "this": _value(pair.mine),
        "live": _value(pair.live),
        "difference": pair.difference,
        "test": None
        if test is None
        else {
            "name": test.name,
            "statistic": test.statistic,
            "p_value": test.p_value,
            "p_holm": test.p_holm,
        },
    }


def _check(pair: CheckPair | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    return {
        "check": pair.check,
        "comparable": pair.why_not is None,
        "reason": _reason(pair.why_not),
        "metrics": [_metric(each) for each in pair.pairs],
    }


def _importance(shift: ImportanceShift | None) -> dict[str, Any] | None:
    if shift is None:
        return None
    return {
        "comparable": shift.why_not is None,
        "reason": _reason(shift.why_not),
        "rank_correlation": shift.rank_correlation,
        "shared": shift.shared,
        "shifts": [
            {"feature": row.feature, "this": row.mine, "live": row.live, "change": row.change}
            for row in shift.shifts
        ],
        "added": shift.added,
        "dropped": shift.dropped,
    }


def _data(diff: DataDiff | None) -> dict[str, Any] | None:
    if diff is None:
        return None
    return {
        "same_training": diff.same_training,
        "same_evaluation": diff.same_evaluation,
        "training_added": [{"name": name, "digest": digest} for name, digest in diff.training_added],
        "training_dropped": [{"name": name, "digest": digest} for name, digest in diff.training_dropped],
        "columns_added": diff.columns_added,
        "columns_dropped": diff.columns_dropped,
        "columns_retyped": [
            {"column": name, "live": before, "this": now} for name, before, now in diff.columns_retyped
        ],
        "rows": diff.rows,
        "live_rows": diff.live_rows,
    }


def as_json(found: Comparison) -> dict[str, Any]:
    return {
        "this": found.version.label,
        "live": found.live.label if found.live is not None else None,
        "environment": found.environment.name,
        "reason": _reason(found.why_not),
        "metrics": _check(found.metrics),
        "bias": _check(found.bias),
        "importance": _importance(found.importance),
        "data": _data(found.data),
    }


class VersionComparison(View):
    query = ("environment",)

    @extend_schema(
        parameters=[OpenApiParameter("environment", str, description="default production")],
        responses={200: ComparisonOut, **problems(400, 404)},
    )
    def get(self, request: Request, name: str, n: int) -> Response:
        """Beside the version that is live there: metrics with a test, groups, importance, data."""
        version = model_version(self.actor, name, n)
        wanted = request.query_params.get("environment", "production")
        place = found(selectors.environments(self.actor).filter(name=wanted), "environment", wanted)
        return Response(as_json(compare(version, place)))


urlpatterns = [path("models/<str:name>/versions/<int:n>/comparison", VersionComparison.as_view())]
