"""The dossier: what it says, and that nothing a stranger's model says can break or take over the page."""

from __future__ import annotations

import io
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audits import blobs
from audits.checks.contract import CheckResult, Message
from audits.services.check_runs import failed_result
from governance.models import Promotion
from registry.locks import read as read_lock
from registry.services.environments import keep_environment_lock
from tests import scenario, study
from tests.cast import Cast
from tests.console.conftest import decide_at, page_of
from tests.console.markup import Page, read

SignIn = Callable[[str], Client]
BIAS = "bias.group_disparity"


def with_tables(slug: str, *tables: dict[str, Any], notes: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    result = scenario.recorded_result(slug)
    return {**result, "tables": list(tables), "notes": list(notes)}


def dossier(client: Client, promotion: Promotion, language: str = "en") -> Page:
    return read(client.get(page_of(promotion), headers={"Accept-Language": language}))


def test_what_it_says(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    text = dossier(as_person("bruno"), waiting).text
    version = waiting.version
    for said in (
        "diabetes@1 → to production",
        "awaiting approval",
        "risk: limited",
        "asked by training pipeline, for Ana",
        scenario.REQUEST_REASON,
        "All 9 requirements are met. Approvals still missing: Validator, Approver.",
        "met Demographic parity ratio sex Group disparity at least 0.80 point value 0.948 0.700 – 0.993 n = 177",
        "0.948 is at least 0.80: within policy.",
        "met Largest gap between claimed and recomputed",
        "May not decide on this request: Ana asked for this promotion, is the author of the version, "
        "owns a dataset it was made from, registered the version",
        "sex A 91 0.527 0.426 – 0.627",
        "Accuracy 0.746 0.746 0.758 0.469",
        "Selection rate per group",
        "Importance of each column",
        waiting.dossier_digest,
        version.manifest_digest,
        version.artifact_digest,
        version.evaluation.digest,
        version.training.get().digest,
        waiting.policy.digest,
        "diabetes-production@1",
        version.metadata["code_commit"],
        version.metadata["environment_digest"],
        "Confinement: level 2 (user namespace, seccomp, rlimits)",
        "sex : allowed – Without it enrolment would differ more between the sexes.",
        "training pipeline asked for the promotion diabetes@1 → production",
        "training pipeline found every requirement met for diabetes@1 → production; it waits for approvals",
    ):
        assert said in text, said
    for run in scenario.runs_of(waiting).values():
        assert run.result_digest in text
    for word in ("unbiased", "compliant", "fair "):
        assert word not in text.lower()


def test_in_portuguese(as_person: SignIn, waiting: Promotion) -> None:
    text = dossier(as_person("bruno"), waiting, "pt-br").text
    for said in (
        "Todos os 9 requisitos foram atendidos. Aprovações que faltam: Validação, Aprovação.",
        "atendido Razão de paridade demográfica sex Disparidade entre grupos no mínimo 0,80 valor pontual 0,948",
        "0,948 é no mínimo 0,80: dentro da política.",
        "Taxa de seleção por grupo",
    ):
        assert said in text, said


def test_a_requirement_that_is_not_met(cast: Cast, as_person: SignIn) -> None:
    scenario.policies(cast)
    result = scenario.recorded_result(BIAS)
    for metric in result["metrics"]:
        if (metric["metric"], metric["attribute"]) == ("demographic_parity_ratio", "sex"):
            metric["value"], metric["interval"] = 0.7996, [0.55, 0.92]
    promotion = scenario.request(cast, scenario.register(cast), "development")
    scenario.complete_checks(promotion, {BIAS: result})
    text = dossier(as_person("bruno"), promotion).text
    assert "Not promoted: refused. Requirements of the policy that are not met: 1." in text
    # 0.80 would read as if it met the limit it misses
    assert "not met Demographic parity ratio sex Group disparity at least 0.80 point value 0.7996" in text
    assert "0.7996 is below the limit of 0.80." in text


def test_while_checks_run_there_is_nothing_to_decide(cast: Cast, as_person: SignIn) -> None:
    scenario.policies(cast)
    promotion = scenario.request(cast, scenario.register(cast), "development")
    page = dossier(as_person("bruno"), promotion)
    assert "Not yet: the checks are running." in page.text
    assert "The checks are not finished; there is nothing to decide on yet." in page.text
    assert page.text.count("This check has not finished.") == 4
    assert decide_at(promotion) not in page.forms()


def test_an_errored_check_says_why_and_counts_as_not_met(cast: Cast, as_person: SignIn) -> None:
    scenario.policies(cast)
    promotion = scenario.request(cast, scenario.register(cast), "development")
    errored: CheckResult = failed_result("target_missing", role="evaluation", column="progressed")
    scenario.complete_checks(promotion, {BIAS: errored.to_json()})
    text = dossier(as_person("bruno"), promotion).text
    assert "The evaluation data has no column progressed, which is declared as the target." in text
    assert "could not be measured Demographic parity ratio" in text
    assert "Requirements of the policy that are not met: 3." in text


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ request.user }}{% csrf_token %}",
    "'; DROP TABLE governance_promotion; --",
    "\u202egnihtyreve\u2066",
    "a" * 5000,
    "שלום",
    "",
]


def test_names_of_strangers_are_only_names(cast: Cast, as_person: SignIn) -> None:
    groups = {
        "id": "groups",
        "columns": ["attribute", "group", "n", "selection_rate", "excluded"],
        "rows": [[name, name, 40, 0.4, None] for name in HOSTILE],
        "params": {"ratio_limit": "<b>0.8</b>", "sensitive": HOSTILE},
    }
    importance = {
        "id": "shap_importance",
        "columns": ["feature", "mean_abs", "mean_signed", "share"],
        "rows": [[name, 0.4, 0.1, 0.2] for name in HOSTILE],
        "params": {},
    }
    columns = {
        "id": "columns",
        "columns": ["dataset", "column", "type", "missing", "distinct", "minimum", "maximum"],
        "rows": [[name, name, name, name, name, name, name] for name in HOSTILE],
        "params": {},
    }
    notes = tuple({"code": name or "x", "params": {name or "x": name}} for name in HOSTILE)
    changed = {
        BIAS: with_tables(BIAS, groups, notes=notes),
        "explainability.shap": with_tables("explainability.shap", importance),
        "data.quality": with_tables("data.quality", columns),
    }
    scenario.policies(cast)
    purpose = f"Purpose {HOSTILE[0]}"
    version = scenario.register(cast, purpose=purpose, framework=HOSTILE[1])
    promotion = scenario.request(cast, version, "development", reason=f"Because {HOSTILE[0]}")
    scenario.complete_checks(promotion, changed)
    response = as_person("bruno").get(page_of(promotion))
    page = read(response)
    html = response.content.decode()
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "\u202e" not in html
    assert "\u2066" not in html
    assert page.text.count("Because <script>alert(1)</script>") == 2  # in the head and in the history
    assert "Purpose <script>alert(1)</script>" in page.text
    assert "a" * 1001 not in html


MALFORMED: list[Any] = [
    {"id": "groups", "columns": ["attribute"], "rows": [[None], [1], [[]], [{}]], "params": {}},
    {"id": "groups", "columns": [], "rows": [[], ["a", "b", "c"]], "params": {}},
    {"id": "groups", "columns": ["attribute", "group", "n"], "rows": [["sex", {}, "many"]], "params": {}},
    {"id": "calibration", "columns": ["bin_low"], "rows": [["x"], [None], [True]], "params": {}},
    {
        "id": "confusion",
        "columns": ["truth", "prediction", "n"],
        "rows": [[1, 2, -3], [None, [], {}]],
        "params": {},
    },
    {"id": "shap_points", "columns": ["feature", "value_rank", "phi"], "rows": [["a", 5, "b"]], "params": {}},
    {
        "id": "evaluation",
        "columns": ["metric", "claimed"],
        "rows": [[["a"], 1e308], [None, "x"]],
        "params": {},
    },
    {"id": "columns", "columns": ["column", "missing"], "rows": [[0, True], [1.5, -1]], "params": {}},
    {"id": "disparity_tests", "columns": ["p_value"], "rows": [["small"]], "params": {}},
    {"id": "unknown", "columns": ["x"], "rows": [[1]], "params": {}},
    {"id": "groups", "columns": ["attribute"], "rows": [["sex"]] * 1000, "params": {"level": []}},
]


def test_malformed_tables_do_not_break_the_page(cast: Cast, as_person: SignIn) -> None:
    scenario.policies(cast)
    promotion = scenario.request(cast, scenario.register(cast), "development")
    scenario.complete_checks(promotion, {BIAS: with_tables(BIAS, *MALFORMED)})
    for language in ("en", "pt-br"):
        page = dossier(as_person("bruno"), promotion, language)
    assert "rows are not shown." not in page.text
    assert "linhas não são mostradas." in page.text


def test_a_result_that_is_no_result_leaves_the_page_and_takes_the_form(
    cast: Cast, as_person: SignIn, waiting: Promotion
) -> None:
    """Bytes changed behind our back: nobody decides on what cannot be read."""
    run = scenario.runs_of(waiting)[BIAS]
    for broken in ([], {"outcome": "completed"}, {"outcome": "completed", "metrics": "none", "tables": 3}, 7):
        type(run).objects.filter(id=run.id).update(result=broken)
        page = dossier(as_person("bruno"), waiting)
        assert "The results of the checks cannot be read, so nobody can decide on them." in page.text
        assert decide_at(waiting) not in page.forms()


def test_a_kept_sketch_stands_beside_its_data(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    without = dossier(as_person("bruno"), waiting)
    kept = study.kept_sketch(cast, name="diabetes-training")
    page = dossier(as_person("bruno"), waiting)
    assert (kept.digest in without.text, kept.digest in page.text) == (False, True)


def test_a_fixed_number_of_queries(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    client = as_person("bruno")

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            dossier(client, waiting)
        return len(captured)

    queries()
    before = queries()
    scenario.word(cast, "bia", waiting, verdict="approve", reason="one more event and one more decision")
    assert queries() == before
    assert before <= 44


def test_message_kept_for_the_reader() -> None:
    from governance.console.wording import sentence

    assert sentence(Message("no_such_code", {"a": 1})) == "no_such_code"
    assert sentence({"code": "limit_missed_min", "params": None}) == "{value} is below the limit of {limit}."
    assert sentence(None) == ""


def test_the_environment_of_the_version_as_a_bill_of_materials(cast: Cast, as_person: SignIn) -> None:
    scenario.policies(cast)
    lock = b"numpy==2.4.0\nscikit-learn==1.8.0\npandas\n"
    version = scenario.register(cast, environment_digest=f"sha256:{sha256(lock).hexdigest()}")
    promotion = scenario.complete_checks(scenario.request(cast, version, "development"))
    client = as_person("bruno")
    address = reverse("admin:sbom", args=["diabetes", version.n])
    assert "the lock file is not kept here" in dossier(client, promotion).text
    assert client.get(address).status_code == 404
    keep_environment_lock(
        command=cast.command("pipeline"),
        name="diabetes",
        n=version.n,
        stored=blobs.store(cast.workspace.id, io.BytesIO(lock), cap=1 << 20),
        found=read_lock(lock),
    )
    page = dossier(client, promotion)
    assert "3 packages · one of no stated version · Bill of materials (CycloneDX)" in page.text
    assert "3 pacotes · um sem versão indicada" in dossier(client, promotion, "pt-br").text
    answer = client.get(address)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="diabetes-{version.n}.cdx.json"'
    assert [item["purl"] for item in answer.json()["components"]] == [
        "pkg:pypi/numpy@2.4.0",
        "pkg:pypi/pandas",
        "pkg:pypi/scikit-learn@1.8.0",
    ]
