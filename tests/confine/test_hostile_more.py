"""More hostile artefacts and datasets: what lives on after loading, lies about its own answer, or only misbehaves when
it is asked to predict. As in test_hostile, each goes through a real check, and the worker serves the next job.
"""

from __future__ import annotations

import io
import json
import pickle
import platform
import stat
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import xgboost

from audits.confine import ConfinedOutcome, Limits
from audits.services.confined import result_of
from tests.confine import judge
from tests.confine.judge import INPUTS, MARK, TRAINING, Judge
from tests.confine.judge import judged as judged
from tests.confine.judge import zygote as zygote
from tests.confine.test_escape import Runs
from tests.confine.test_hostile import DIES, leafy, onnx_model

TOUCH = f"open({str(MARK)!r}, 'w')"

# What a file does while it is loaded, and how that ends

LOADING: dict[str, tuple[str, tuple[str, ...]]] = {
    "at exit": (
        f"import atexit; atexit.register(lambda: {TOUCH})",
        ("model_not_an_estimator", "model_unreadable"),
    ),
    "a finaliser": (
        f"import sys; sys.keep = type('K', (), {{'__del__': lambda self: {TOUCH}}})()",
        ("model_not_an_estimator",),
    ),
    "threads left running": (
        "import threading\n"
        "def spin():\n    while True: pass\n"
        "for _ in range(4): threading.Thread(target=spin, daemon=False).start()",
        ("model_not_an_estimator", "model_unreadable", "timeout"),
    ),
    "thousands of threads": (
        "import threading, time\n"
        "for _ in range(100_000): threading.Thread(target=time.sleep, args=(60,)).start()",
        ("model_unreadable", "check_out_of_memory", "killed_by_signal"),
    ),
    "gigabytes of words": (
        "import os\nfor _ in range(4096): os.write(1, bytes(1 << 20)); os.write(2, bytes(1 << 20))",
        ("model_not_an_estimator",),
    ),
    "stops itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", ("timeout",)),
    "ignores every signal": (
        "import signal\n"
        "for n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "while True: pass",
        ("timeout",),
    ),
    "closes the pipe": (
        "import os\n[os.close(fd) for fd in range(3, 256) if os.path.exists or True]",
        ("model_unreadable", "garbled_output"),
    ),
    "closes the pipe quietly": (
        "import os\nos.closerange(3, 256)",
        ("garbled_output", "check_crashed"),
    ),
    "signals to the worker": (
        "import os, signal\nfor pid in (os.getppid(), 1, -1, 0): os.kill(pid, signal.SIGKILL)",
        ("model_unreadable",),
    ),
    "memory of others": (
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'r+b')",
        ("model_unreadable",),
    ),
    "memory of its own, by file": ("open('/proc/self/mem', 'r+b')", ("model_unreadable",)),
    "recursion without end": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
        ("model_unreadable", "killed_by_signal", "check_out_of_memory", "timeout"),
    ),
    "a smaller collector": (
        "import gc\ngc.set_threshold(1)\nsys = __import__('sys')\nsys.setswitchinterval(1e-6)",
        ("model_not_an_estimator",),
    ),
}
QUICK = Limits(wall_seconds=15, cpu_seconds=4, memory_bytes=768 << 20, output_bytes=1 << 20)


@pytest.mark.parametrize("name", list(LOADING))
def test_a_pickle_that_does_not_let_go(judged: Judge, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "SMALL", QUICK)
    code, expected = LOADING[name]
    # with a module of its own, so that its functions see its names
    found, params, _ = judged(pickle.dumps(Runs(exec, code, {})), "pickle")
    assert found in expected, (found, params)
    if name == "stops itself":
        assert params in ({"kind": "wall", "seconds": 15}, {"kind": "cpu", "seconds": 4})


RAW = """
import ctypes, os
call = ctypes.CDLL(None, use_errno=True).syscall
done = [number for number, *rest in {calls} if call(number, *rest) >= 0]
if done: raise LookupError(done)
raise PermissionError
"""
# io_uring_setup, memfd_create, execveat, ptrace, process_vm_readv, process_vm_writev, userfaultfd, bpf,
# perf_event_open, keyctl, unshare, setns, mount, pidfd_open, pidfd_getfd, landlock_restrict_self, seccomp,
# open_by_handle_at, kcmp
CALLS = (425, 319, 322, 101, 310, 311, 323, 321, 298, 250, 272, 308, 165, 434, 438, 446, 317, 304, 312)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
def test_doors_past_the_standard_library(judged: Judge) -> None:
    calls = [(number, 0, 0, 0, 0, 0) for number in CALLS]
    code, params, _ = judged(pickle.dumps(Runs(exec, RAW.format(calls=calls), {})), "pickle")
    assert (code, params.get("problem")) == ("model_unreadable", "PermissionError"), params


# Models that behave until they are asked


def model(**methods: str) -> bytes:
    """A pickle of an estimator made on loading: `methods` are sources of functions."""
    body = ", ".join(f"'{name}': {source}" for name, source in methods.items())
    names = [str(name) for name in INPUTS.columns]
    make = (
        "type('LogisticRegression', (), {'classes_': __import__('numpy').array([0, 1]), 'feature_names_in_': "
        f"__import__('numpy').array({names!r}, dtype=object), 'n_features_in_': {len(names)}, {body}}})()"
    )
    return pickle.dumps(Runs(eval, make))


HALF = "lambda self, X: __import__('numpy').full((len(X), 2), .5)"
YES = "lambda self, X: __import__('numpy').ones(len(X), int)"
RAISES = "lambda self, X: (_ for _ in ()).throw({what})"
PREDICTING: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "honest": ({"predict": YES, "predict_proba": HALF}, ("completed",)),
    "an exception of no known kind": (
        {"predict": YES, "predict_proba": RAISES.format(what="type('Odd', (BaseException,), {})()")},
        ("check_crashed", "model_cannot_predict"),
    ),
    "an exception that cannot be printed": (
        {
            "predict": YES,
            "predict_proba": RAISES.format(
                what="type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()"
            ),
        },
        ("model_cannot_predict",),
    ),
    "an exception with a name of a million letters": (
        {"predict": YES, "predict_proba": RAISES.format(what="type('O' * 1000000, (Exception,), {})()")},
        ("model_cannot_predict", "check_result_malformed"),
    ),
    "an exception with half a letter for a name": (
        {"predict": YES, "predict_proba": RAISES.format(what="type('\\\\ud800', (Exception,), {})()")},
        ("model_cannot_predict", "model_unreadable"),
    ),
    "exit": ({"predict": YES, "predict_proba": RAISES.format(what="SystemExit(0)")}, ("check_crashed",)),
    "an interrupt": (
        {"predict": YES, "predict_proba": RAISES.format(what="KeyboardInterrupt()")},
        ("check_crashed",),
    ),
    "too few answers": (
        {"predict": YES, "predict_proba": "lambda self, X: __import__('numpy').full((3, 2), .5)"},
        ("prediction_shape",),
    ),
    "answers without end": (
        {"predict": YES, "predict_proba": "lambda self, X: (x for x in iter(int, 1))"},
        ("prediction_shape", "prediction_not_numeric", "check_out_of_memory", "timeout"),
    ),
    "chances of three": (
        {"predict": YES, "predict_proba": "lambda self, X: __import__('numpy').full((len(X), 2), 3.)"},
        ("probability_out_of_range",),
    ),
    "texts for chances": (
        {"predict": YES, "predict_proba": "lambda self, X: __import__('numpy').full((len(X), 2), 'x')"},
        ("prediction_not_numeric",),
    ),
    "an array that strikes when it is read": (
        {
            "predict": YES,
            "predict_proba": "lambda self, X: type('A', (), {'__array__': lambda self, *a, **k: 1 / 0, "
            "'__len__': lambda self: 1 / 0})()",
        },
        ("prediction_shape", "prediction_not_numeric", "check_crashed", "model_cannot_predict"),
    ),
    "ten thousand dimensions": (
        {"predict": YES, "predict_proba": "lambda self, X: __import__('numpy').zeros((len(X),) + (1,) * 60)"},
        ("prediction_shape",),
    ),
    "changes the data it is shown": (
        {
            "predict": YES,
            "predict_proba": "lambda self, X: (X.__setitem__(X.columns[0], 1e9), "
            "__import__('numpy').full((len(X), 2), .5))[1]",
        },
        ("completed",),
    ),
}


@pytest.mark.parametrize("name", list(PREDICTING))
def test_a_model_that_misbehaves_when_asked(judged: Judge, name: str) -> None:
    methods, expected = PREDICTING[name]
    code, params, outcome = judged(model(**methods), "pickle")
    result = result_of(outcome)
    found = code if code == "completed" else getattr(result.error, "code", code)
    assert found in expected, (found, str(params)[:500])
    assert len(json.dumps(params)) < 20_000


SPEAKS = """
import os, stat, json
for fd in range(3, 256):
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode): break
    except OSError: pass
answer = {answer}
os.write(fd, len(answer).to_bytes(8, 'big') + answer)
os._exit(0)
"""
METRIC = {
    "metric": "accuracy",
    "value": 1.0,
    "attribute": None,
    "group": None,
    "interval": None,
    "level": None,
    "n": 1,
    "denominators": {},
    "undefined": None,
    "minimum_n": None,
}


def claims(*metrics: dict[str, Any], **changes: Any) -> bytes:
    result = {"outcome": "completed", "metrics": metrics, "tables": [], "notes": [], "error": None, **changes}
    return json.dumps({"result": result}).encode()


LIES: dict[str, tuple[bytes, str]] = {
    "brackets without end": (b"[" * 500_000, "garbled_output"),
    "a result nested a thousand times": (
        claims(
            notes=[
                {"code": "x", "params": json.loads("[" * 300 + "]" * 300 and '{"a":' * 300 + "1" + "}" * 300)}
            ]
        ),
        "check_result_malformed",
    ),
    "a value of four hundred digits": (claims({**METRIC, "value": 10**400}), "check_result_malformed"),
    "an interval of four hundred digits": (
        claims({**METRIC, "interval": [0, 10**400]}),
        "check_result_malformed",
    ),
    "a count of four hundred digits": (claims({**METRIC, "n": 10**400}), "check_result_malformed"),
    "a number of five thousand digits": (
        claims({**METRIC, "value": 12345}).replace(b"12345", b"9" * 5000),
        "garbled_output",
    ),
    "an interval turned round": (claims({**METRIC, "interval": [1, 0]}), "check_result_malformed"),
    "a value and why there is none": (
        claims({**METRIC, "undefined": {"code": "x", "params": {}}}),
        "check_result_malformed",
    ),
    "a NUL in a name": (claims({**METRIC, "group": "a\0b"}), "garbled_output"),
    "half a letter": (claims({**METRIC, "group": "\ud800"}), "garbled_output"),
    "a member too many": (claims(extra=1), "check_result_malformed"),
    "infinity": (claims({**METRIC, "value": float("inf")}), "garbled_output"),
    "an error without a code": (b'{"error": {"code": "../../etc", "params": {}}}', "garbled_output"),
    "nothing but spaces": (b" " * 1000, "garbled_output"),
}


@pytest.mark.parametrize("name", list(LIES))
def test_a_child_that_answers_for_the_check(judged: Judge, name: str) -> None:
    """Whatever it says, the worker takes it or names it, and does not raise."""
    answer, expected = LIES[name]
    artifact = pickle.dumps(Runs(exec, SPEAKS.format(answer=repr(answer))))
    outcomes: list[ConfinedOutcome] = []
    try:
        outcomes.append(judged(artifact, "pickle")[2])
    except (AssertionError, KeyError, TypeError):  # of `judged`, which expects an honest result
        pytest.fail("the answer came through as an honest one")
    result = result_of(outcomes[0])
    assert (result.outcome, getattr(result.error, "code", None)) == ("errored", expected)
    assert result.metrics == ()


def test_the_same_metric_twice_is_judged_twice(judged: Judge) -> None:
    """A child that adds a good figure beside a bad one gains nothing: every one of them must meet the limit."""
    from datetime import UTC, datetime

    from governance.policy.verdict import Evidence, judge

    answer = claims({**METRIC, "value": 0.1}, {**METRIC, "value": 0.99})
    _, _, outcome = judged(pickle.dumps(Runs(exec, SPEAKS.format(answer=repr(answer)))), "pickle")
    entry = {"check": "evaluation.performance", "require": [{"metric": "accuracy", "min": 0.9}]}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    found = Evidence(result_of(outcome).to_json(), now)
    assert [line.verdict for line in judge({"checks": [entry]}, [found], not_before=now)] == [
        "failed",
        "passed",
    ]


# Files without code


def linked(name: str, target: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_a_link_inside_an_mlflow_folder_is_not_followed(judged: Judge) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("MLmodel", json.dumps({"flavors": {"onnx": {"data": "model.onnx"}}}))
        archive.writestr(linked("model.onnx", ""), "/etc/passwd")
    code, params, _ = judged(buffer.getvalue(), "mlflow")
    assert code in ("model_unreadable", "archive_member_missing", "archive_unreadable"), (code, params)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_mlflow_folder_that_holds_a_name_twice(judged: Judge) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("MLmodel", json.dumps({"flavors": {"onnx": {"data": "m"}}}))
        archive.writestr("m", b"\x08\x08")
        archive.writestr("m", b"x")
    assert judged(buffer.getvalue(), "mlflow")[0] in ("model_unreadable", "archive_unreadable")


def test_onnx_of_a_domain_nobody_knows(judged: Judge) -> None:
    helper = pytest.importorskip("onnx").helper
    node = helper.make_node("Shell", ["x"], ["y"], domain="com.example", command=f"touch {MARK}")
    code, params, _ = judged(onnx_model([node]), "onnx")
    assert code in ("model_unreadable", "library_version_mismatch"), params


@pytest.mark.parametrize("dims", [[1 << 40], [1 << 31, 1 << 31], [-5], [10, 2]])
def test_onnx_with_a_tensor_that_lies_about_its_size(judged: Judge, dims: list[int]) -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 8)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    assert judged(onnx_model([node], [tensor]), "onnx")[0] in (*DIES, "library_version_mismatch")


def test_onnx_whose_functions_call_each_other(judged: Judge) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("f", 1)]
    functions = [
        helper.make_function(
            "f", name, ["a"], ["b"], [helper.make_node(other, ["a"], ["b"], domain="f")], opsets
        )
        for name, other in (("One", "Two"), ("Two", "One"))
    ]
    graph = onnx.ModelProto.FromString(onnx_model([helper.make_node("One", ["x"], ["y"], domain="f")]))
    graph.functions.extend(functions)
    graph.opset_import.append(helper.make_opsetid("f", 1))
    code, params, _ = judged(graph.SerializeToString(), "onnx")
    assert code in (*DIES, "library_version_mismatch"), params


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b"L\x00\x00\x00\x00\x00\x00\x00", b"L\x7f\xff\xff\xff\xff\xff\xff", 3),
        lambda raw: raw.replace(b"L\x00\x00\x00\x00\x00\x00\x00", b"L\xff\xff\xff\xff\xff\xff\xff", 3),
        lambda raw: raw[:200] + b"{" * 100_000 + raw[200:],
        lambda raw: raw[: len(raw) // 3],
    ],
    ids=["long", "negative", "deep", "cut"],
)
def test_a_binary_xgboost_file_with_lying_lengths(judged: Judge, change: Callable[[bytes], bytes]) -> None:
    booster = xgboost.XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1).fit(
        INPUTS, TRAINING["progression"]
    )
    raw = bytes(booster.get_booster().save_raw(raw_format="ubj"))
    content = change(raw)
    assert content != raw
    code, params, _ = judged(content, "xgboost")
    assert code in (*DIES, "library_version_mismatch", "prediction_not_finite", "model_features_unknown"), (
        params
    )


def test_a_lightgbm_file_of_two_billion_columns(judged: Judge) -> None:
    text = leafy()
    at = text.index("max_feature_idx=")
    changed = text[:at] + "max_feature_idx=2000000000" + text[text.index("\n", at) :]
    code, params, _ = judged(changed.encode(), "lightgbm")
    assert code in (*DIES, "model_features_unknown", "column_missing"), (code, params)
