"""Hostile artefacts and datasets through the real checks, as a worker runs them: what happened is named.

Every case runs in one zygote; after each of them it serves an honest job, and no process, file or connection is left.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import re
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from lightgbm import LGBMClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from audits.checks.contract import Message
from tests.checks import cast
from tests.confine.judge import INPUTS, MARK, TRAINING, Judge, packed
from tests.confine.judge import judged as judged
from tests.confine.judge import zygote as zygote
from tests.confine.test_escape import Runs

# Files that run code

TOUCH = f"touch {MARK}"
CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
FLOOD = """
import os, stat
for fd in range(3, 256):
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode): break
    except OSError: pass
os.write(fd, (1 << 30).to_bytes(8, 'big'))
while True: os.write(fd, b'x' * (1 << 20))
"""
CODE: dict[str, tuple[Any, str]] = {
    "system": (Runs(os.system, TOUCH), "model_not_an_estimator"),
    "popen": (Runs(subprocess.check_output, ["sh", "-c", TOUCH]), "model_unreadable"),
    "read a secret": (Runs(open, "/etc/passwd"), "model_unreadable"),
    "read the environment": (Runs(open, "/proc/self/environ"), "model_unreadable"),
    "write a file": (Runs(open, str(MARK), "w"), "model_unreadable"),
    "eval": (Runs(eval, f"__import__('os').system('{TOUCH}')"), "model_not_an_estimator"),
    "fork": (Runs(exec, "import os\nwhile True: os.fork()"), "model_unreadable"),
    "endless loop": (Runs(exec, "while True: pass"), "timeout"),
    "memory": (Runs(exec, "x = [bytearray(1 << 24) for _ in range(1 << 20)]"), "check_out_of_memory"),
    "one allocation": (Runs(bytearray, 1 << 42), "check_out_of_memory"),
    "gigabyte of results": (Runs(exec, FLOOD), "output_too_large"),
    "exit": (Runs(os._exit, 0), "garbled_output"),
    "abort": (Runs(os.abort), "killed_by_signal"),
    "kill everybody": (Runs(os.kill, -1, 9), "model_unreadable"),
    "numpy: read raw": (Runs(np.fromfile, "/etc/passwd", "u1"), "model_unreadable"),
    "numpy: map a file": (Runs(np.memmap, "/etc/passwd", "u1"), "model_unreadable"),
    "numpy: write a table": (Runs(np.savetxt, str(MARK), [1.0]), "model_unreadable"),
    "numpy: load from elsewhere": (Runs(np.load, "/etc/passwd", None, True), "model_unreadable"),
    "pandas: fetch": (Runs(pd.read_csv, "http://127.0.0.1:1/x"), "model_unreadable"),
    "joblib: load from elsewhere": (Runs(joblib.load, "/etc/passwd"), "model_unreadable"),
}


@pytest.mark.parametrize("name", list(CODE))
def test_a_pickle_that_runs_code(judged: Judge, name: str) -> None:
    payload, expected = CODE[name]
    code, params, _ = judged(pickle.dumps(payload), "pickle")
    assert code == expected, params


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_a_compressed_joblib_that_runs_code(judged: Judge, compress: tuple[str, int]) -> None:
    """Scanners that look for opcodes do not look in here."""
    buffer = io.BytesIO()
    joblib.dump(Runs(subprocess.check_output, ["touch", str(MARK)]), buffer, compress=compress)
    if compress[0] in ("zlib", "gzip", "bz2"):  # what is too short for the others is stored as it is
        assert b"subprocess" not in buffer.getvalue()
    code, params, _ = judged(buffer.getvalue(), "joblib")
    assert (code, params["problem"]) == ("model_unreadable", "PermissionError")


def test_code_inside_an_array_of_numpy(judged: Judge) -> None:
    buffer = io.BytesIO()
    joblib.dump(np.array([Runs(os.system, TOUCH)], dtype=object), buffer)
    assert judged(buffer.getvalue(), "joblib")[0] == "model_not_an_estimator"


def test_a_server_on_this_machine_hears_nothing(judged: Judge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[Any] = []
        server.settimeout(3)

        def listen() -> None:
            try:
                heard.append(server.accept())
            except OSError:
                pass

        thread = threading.Thread(target=listen)
        thread.start()
        payload = Runs(exec, CONNECT.format(port=server.getsockname()[1]))
        assert judged(pickle.dumps(payload), "pickle")[1]["problem"] == "PermissionError"
        thread.join()
    assert heard == []


def test_a_pickle_nested_a_hundred_thousand_times(judged: Judge) -> None:
    code = judged(b"\x80\x04" + b"(" * 100_000 + b"t" * 100_000 + b".", "pickle")[0]
    assert code in ("model_not_an_estimator", "model_unreadable", "killed_by_signal")


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress])
def test_a_joblib_that_swells(judged: Judge, squeeze: Any) -> None:
    bomb = squeeze(pickle.dumps(bytes(1 << 30)))
    assert len(bomb) < 2 << 20
    code = judged(bomb, "joblib")[0]
    assert code in ("check_out_of_memory", "out_of_memory", "model_unreadable", "timeout")


# Files without code


def rewritten(content: bytes, change: Callable[[str], str]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["schema.json"] = change(files["schema.json"].decode()).encode()
    return packed(files)


def test_skops_naming_a_function_that_runs_commands(judged: Judge) -> None:
    def change(schema: str) -> str:
        return schema.replace('"LogisticRegression"', '"system"').replace(
            '"sklearn.linear_model._logistic"', '"os"'
        )

    content = rewritten(
        skops.io.dumps(LogisticRegression(max_iter=5000).fit(INPUTS, TRAINING["progression"])), change
    )
    code, params, _ = judged(content)
    assert code == "model_untrusted_types", params
    assert "os.system" in params["types"]


def test_skops_that_swells(judged: Judge) -> None:
    code = judged(packed({"schema.json": b" " * (1 << 30)}))[0]
    assert code in ("check_out_of_memory", "out_of_memory", "model_unreadable")


def test_a_tree_that_points_outside_itself(judged: Judge) -> None:
    """skops trusts its type; at predict it walks into memory that is not its own. The child dies, nobody else."""
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(INPUTS, TRAINING["progression"])
    state = model.tree_.__getstate__()
    nodes = state["nodes"].copy()
    nodes["left_child"][0] = nodes["right_child"][0] = 1 << 40
    content = skops.io.dumps(model)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    original = state["nodes"].tobytes()
    for name, part in files.items():
        if original in part:
            files[name] = part.replace(original, nodes.tobytes())
            break
    else:
        pytest.fail("the tree's nodes are not in the file as they are in memory")
    code, params, outcome = judged(packed(files))
    assert (code, params) in (("killed_by_signal", {"signal": "SIGSEGV"}), ("model_unreadable", params))
    assert outcome.confinement is not None


def boosted() -> bytes:
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1).fit(INPUTS, TRAINING["progression"])
    return bytes(model.get_booster().save_raw(raw_format="json"))


def leafy() -> str:
    model = LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(INPUTS, TRAINING["progression"])
    return str(model.booster_.model_to_string())


DIES = ("killed_by_signal", "model_unreadable", "model_cannot_predict", "timeout", "check_out_of_memory")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: re.sub(rb'"left_children":\[\d+', b'"left_children":[99999999', text),
        lambda text: re.sub(rb'"split_indices":\[\d+', b'"split_indices":[88888888', text),
        lambda text: re.sub(rb'"num_nodes":"\d+"', b'"num_nodes":"2147483647"', text),
        lambda text: b'{"learner":' * 200_000,
        lambda text: text[: len(text) // 2],
    ],
    ids=["child", "column", "count", "depth", "cut"],
)
def test_a_tampered_xgboost_file(judged: Judge, change: Callable[[bytes], bytes]) -> None:
    content = change(boosted())
    code, params, _ = judged(content, "xgboost")
    assert code in (*DIES, "library_version_mismatch", "prediction_not_finite"), (code, params)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: re.sub(r"left_child=\S+", "left_child=99999999", text, count=1),
        lambda text: re.sub(r"left_child=\S+ ", "left_child=0 ", text, count=1),  # a circle
        lambda text: re.sub(r"split_feature=\S+", "split_feature=77777777", text, count=1),
        lambda text: re.sub(r"num_leaves=\d+", "num_leaves=2000000000", text, count=1),
        lambda text: text[: len(text) // 2],
    ],
    ids=["child", "circle", "column", "leaves", "cut"],
)
def test_a_tampered_lightgbm_file(judged: Judge, change: Callable[[str], str]) -> None:
    code, params, _ = judged(change(leafy()).encode(), "lightgbm")
    assert code in (*DIES, "prediction_not_finite"), (code, params)


def onnx_model(nodes: list[Any], initializers: list[Any] = (), outputs: Any = None) -> bytes:  # type: ignore[assignment]
    helper = pytest.importorskip("onnx").helper
    types = pytest.importorskip("onnx").TensorProto
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", types.FLOAT, [None, 10])],
        [helper.make_tensor_value_info("y", types.FLOAT, [None, 2])],
        initializer=list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def test_onnx_with_tensors_elsewhere(judged: Judge) -> None:
    from tests.checks.test_formats import external

    for location in ("../../../../etc/passwd", "/etc/passwd", "evaluation"):
        assert judged(external(location), "onnx")[0] == "onnx_external_data"
    # the key written with a longer length: the search misses it, the lock does not
    crooked = external("/etc/passwd").replace(b"\x0a\x08location", b"\x0a\x08locatiom")
    assert judged(crooked, "onnx")[0] == "model_unreadable"


def test_onnx_that_swells(judged: Judge) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    shape = helper.make_tensor("s", onnx.TensorProto.INT64, [2], [1 << 20, 1 << 20])
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["t"], keepdims=0),
        helper.make_node("Add", ["x", "t"], ["y"]),
    ]
    declared = cast.semantics(task="regression", output="value", positive_label=None, favourable_label=None)
    assert judged(onnx_model(nodes, [shape]), "onnx", declared=declared)[0] in DIES


def test_onnx_that_never_ends(judged: Judge) -> None:
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    true = helper.make_tensor("c", types.BOOL, [], [True])
    count = helper.make_tensor("n", types.INT64, [], [2**62])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["cond"], ["again"]),
            helper.make_node("Identity", ["value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", types.INT64, []),
            helper.make_tensor_value_info("cond", types.BOOL, []),
            helper.make_tensor_value_info("value", types.FLOAT, [None, 10]),
        ],
        [
            helper.make_tensor_value_info("again", types.BOOL, []),
            helper.make_tensor_value_info("next", types.FLOAT, [None, 10]),
        ],
    )
    nodes = [helper.make_node("Loop", ["n", "c", "x"], ["y"], body=body)]
    code, params, _ = judged(onnx_model(nodes, [true, count]), "onnx")
    assert (code, params) == ("timeout", {"kind": "cpu", "seconds": 4})


def test_mlflow_folders(judged: Judge) -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
    )
    cases = {
        "archive_too_large": packed(
            {"MLmodel": json.dumps({"flavors": {"onnx": {}}}).encode(), **{f"{i}": b"" for i in range(2100)}}
        ),
        "archive_member_missing": packed(
            {"MLmodel": b'{"flavors": {"onnx": {"data": "../../../etc/passwd"}}}'}
        ),
        "mlflow_undescribed": packed(
            {"MLmodel": b"!!python/object/apply:os.system ['" + TOUCH.encode() + b"']"}
        ),
        "mlflow_flavour_unsupported": packed({"MLmodel": (laughs + "flavors: {keras: *u}").encode()}),
    }
    for expected, content in cases.items():
        assert judged(content, "mlflow")[0] == expected


# Answers that are no numbers


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_a_model_whose_answers_are_no_numbers(judged: Judge, value: float) -> None:
    model = LinearRegression().fit(INPUTS, TRAINING["progression"])
    model.coef_ = np.full_like(model.coef_, value)
    declared = cast.semantics(task="regression", output="value", positive_label=None, favourable_label=None)
    code, params, _ = judged(skops.io.dumps(model), declared=declared)
    assert code == "prediction_not_finite", params
    assert params["rows"] > 0


def test_a_message_says_which_level_held(judged: Judge) -> None:
    _, _, outcome = judged(pickle.dumps(Runs(os.abort)), "pickle")
    assert outcome.error == Message("killed_by_signal", {"signal": "SIGABRT"})
    assert outcome.confinement is not None
    assert outcome.confinement.level in (1, 2)
