"""Model files of every format: the same answers as the library that wrote them, or an error that names the reason."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from audits.checks.contract import CheckError
from audits.checks.formats import FORMATS
from audits.checks.loading import load_model
from audits.checks.predictor import Predictor
from audits.checks.semantics import Semantics
from tests.checks import cast

onnx = pytest.importorskip("onnx")
skl2onnx = pytest.importorskip("skl2onnx")


def study() -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    training, evaluation = cast.diabetes()
    return (
        training.drop(columns="progression"),
        training["progression"],
        evaluation.drop(columns="progression"),
    )


def xgboost_bytes(model: Any, kind: str) -> bytes:
    return bytes(model.get_booster().save_raw(raw_format=kind))


def lightgbm_bytes(model: Any) -> bytes:
    return str(model.booster_.model_to_string()).encode()


def onnx_bytes(model: Any, inputs: Any, **options: Any) -> bytes:
    return bytes(skl2onnx.to_onnx(model, inputs, **options).SerializeToString())


def packed(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def loaded(content: bytes, format_: str, **how: Any) -> Any:
    return load_model(io.BytesIO(content), format_, **how).estimator


def refused(content: bytes, format_: str, **how: Any) -> Any:
    with pytest.raises(CheckError) as caught:
        load_model(io.BytesIO(content), format_, **how)
    return caught.value.message


class TestXGBoost:
    @pytest.mark.parametrize("kind", ["json", "ubj"])
    def test_binary_answers_are_the_library_s(self, kind: str) -> None:
        inputs, target, later = study()
        model = xgboost.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1).fit(inputs, target)
        found = loaded(xgboost_bytes(model, kind), "xgboost")
        assert list(found.feature_names_in_) == list(inputs.columns)
        assert list(found.classes_) == [0, 1]
        assert np.allclose(found.predict_proba(later), model.predict_proba(later), atol=1e-6)
        assert (found.predict(later) == model.predict(later)).all()

    def test_declared_classes_name_the_outputs(self) -> None:
        inputs, target, later = study()
        model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(inputs, target)
        content = xgboost_bytes(model, "json")
        found = loaded(content, "xgboost", classes=("no", "yes"))
        assert set(found.predict(later)) == {"no", "yes"}
        message = refused(content, "xgboost", classes=("a", "b", "c"))
        assert (message.code, message.params) == ("classes_declared_differ", {"declared": 3, "found": 2})

    def test_three_classes(self) -> None:
        inputs, _, later = study()
        target = pd.qcut(inputs["bmi"] + inputs["s5"], 3, labels=False)
        model = xgboost.XGBClassifier(n_estimators=6, max_depth=3, n_jobs=1).fit(inputs, target)
        found = loaded(xgboost_bytes(model, "ubj"), "xgboost", task="multi-class")
        assert found.margins(later).shape == (len(later), 3)
        assert np.allclose(found.predict_proba(later), model.predict_proba(later), atol=1e-6)

    def test_an_early_stop_is_followed(self) -> None:
        inputs, target, later = study()
        model = xgboost.XGBClassifier(n_estimators=200, n_jobs=1, early_stopping_rounds=2, learning_rate=1.0)
        model.fit(
            inputs.iloc[:150], target[:150], eval_set=[(inputs.iloc[150:], target[150:])], verbose=False
        )
        assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
        found = loaded(xgboost_bytes(model, "json"), "xgboost")
        assert np.allclose(found.predict_proba(later), model.predict_proba(later), atol=1e-6)

    def test_categories_are_matched_by_name(self) -> None:
        inputs, target, later = study()
        words = {1: "f", 2: "m"}
        named, later = (frame.assign(sex=frame["sex"].map(words)) for frame in (inputs, later))
        model = xgboost.XGBClassifier(n_estimators=8, n_jobs=1, enable_categorical=True)
        model.fit(named.astype({"sex": "category"}), target)
        found = loaded(xgboost_bytes(model, "json"), "xgboost")
        expected = model.predict_proba(later.astype({"sex": "category"}))
        assert np.allclose(found.predict_proba(later), expected, atol=1e-6)
        men = later[later["sex"] == "m"]  # one category only: its code is 0 here and 1 in the model
        assert np.allclose(found.predict_proba(men), expected[(later["sex"] == "m").to_numpy()], atol=1e-6)

    @pytest.mark.parametrize("kind", ["json", "ubj"])
    def test_a_file_of_a_later_library_names_both_versions(self, kind: str) -> None:
        inputs, target, _ = study()
        content = xgboost_bytes(xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(inputs, target), kind)
        content = content.replace(b"num_feature", b"num_futures")  # a field we do not know
        if kind == "json":
            text = re.sub(rb'"version":\[[\d,]+\]', b'"version":[9,1,0]', content)
        else:
            text = re.sub(
                rb"(version\[#L.{8}i).(i.i.)", lambda at: at[1] + b"\x09" + at[2], content, flags=re.DOTALL
            )
        message = refused(text, "xgboost")
        assert message.code == "library_version_mismatch"
        assert message.params["library"] == "xgboost"
        assert message.params["written_with"].startswith("9.")
        assert message.params["read_with"] == xgboost.__version__

    def test_the_wrong_task_and_an_unknown_objective(self) -> None:
        inputs, target, _ = study()
        regression = xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(inputs, target)
        assert refused(xgboost_bytes(regression, "json"), "xgboost").code == "model_task_differs"
        ranking = xgboost.XGBRanker(n_estimators=2, n_jobs=1).fit(
            inputs, target, qid=np.zeros(len(target), int)
        )
        message = refused(xgboost_bytes(ranking, "json"), "xgboost")
        assert message.code == "model_objective_unsupported"

    @pytest.mark.parametrize("content", [b"binf\x00\x01", b"{}", b'{"learner":{}}', b"\x80\x04."])
    def test_what_is_no_model(self, content: bytes) -> None:
        assert refused(content, "xgboost").code in ("model_unreadable", "library_version_mismatch")


class TestLightGBM:
    @pytest.mark.parametrize("classes", [2, 3])
    def test_answers_are_the_library_s(self, classes: int) -> None:
        inputs, _, later = study()
        target = pd.qcut(inputs["bmi"] + inputs["s5"], classes, labels=False)
        model = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1).fit(inputs, target)
        task = "binary" if classes == 2 else "multi-class"
        found = loaded(lightgbm_bytes(model), "lightgbm", task=task)
        assert list(found.feature_names_in_) == list(inputs.columns)
        assert np.allclose(found.predict_proba(later), model.predict_proba(later), atol=1e-9)

    def test_categories_are_matched_by_name(self) -> None:
        inputs, target, later = study()
        words = {1: "f", 2: "m"}
        named, later = (frame.assign(sex=frame["sex"].map(words)) for frame in (inputs, later))
        model = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1, min_child_samples=5)
        model.fit(named.astype({"sex": "category"}), target)
        found = loaded(lightgbm_bytes(model), "lightgbm")
        expected = model.predict_proba(later.astype({"sex": "category"}))
        assert np.allclose(found.predict_proba(later), expected, atol=1e-9)

    def test_a_regression(self) -> None:
        inputs, _, later = study()
        model = lightgbm.LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1).fit(inputs, inputs["bmi"] * 2)
        found = loaded(lightgbm_bytes(model), "lightgbm", task="regression")
        assert np.allclose(found.predict(later), model.predict(later))

    def test_what_is_no_model(self) -> None:
        assert refused(b"trees\n", "lightgbm").params["problem"] == "NotLightGBMText"
        assert refused(b"tree\nversion=v4\nnum_class=1\n", "lightgbm").code == "model_unreadable"


class TestOnnx:
    def test_one_input_without_names(self) -> None:
        inputs, target, later = study()
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs.to_numpy(), target)
        content = onnx_bytes(model, inputs.to_numpy(np.float32), options={"zipmap": False})
        found = loaded(content, "onnx")
        assert found.n_features_in_ == 10
        assert not hasattr(found, "feature_names_in_")
        assert np.allclose(found.predict_proba(later), model.predict_proba(later.to_numpy()), atol=1e-4)

    def test_an_input_for_each_column_and_a_dictionary_for_each_row(self) -> None:
        inputs, target, later = study()
        few = ["sex", "bmi"]
        words = {1: "f", 2: "m"}
        named, later = (
            frame[few].assign(sex=frame["sex"].map(words), bmi=frame["bmi"].astype("float32"))
            for frame in (inputs, later)
        )
        labels = target.map({0: "no", 1: "yes"})
        prepare = make_column_transformer((OneHotEncoder(), ["sex"]), (StandardScaler(), ["bmi"]))
        model = make_pipeline(prepare, LogisticRegression()).fit(named, labels)
        content = onnx_bytes(model, named.iloc[:1])
        found = loaded(content, "onnx", classes=("no", "yes"))
        assert list(found.feature_names_in_) == few
        assert np.allclose(found.predict_proba(later), model.predict_proba(later), atol=1e-4)
        assert refused(content, "onnx").code == "classes_undeclared"

    def test_a_regression(self) -> None:
        inputs, _, later = study()
        model = LinearRegression().fit(inputs.to_numpy(), inputs["bmi"] * 2 + inputs["bp"])
        found = loaded(onnx_bytes(model, inputs.to_numpy(np.float32)), "onnx", task="regression")
        declared = {"task": "regression", "output": "value", "positive_label": None, "favourable_label": None}
        seen = Predictor(found, Semantics.read(cast.semantics(**declared)), columns=tuple(inputs.columns))
        assert np.allclose(seen.values(later), model.predict(later.to_numpy()), rtol=1e-4)

    def test_a_format_later_than_ours_names_both_versions(self) -> None:
        inputs, target, _ = study()
        model = LogisticRegression().fit(inputs.to_numpy(), target)
        proto = skl2onnx.to_onnx(model, inputs.to_numpy(np.float32), options={"zipmap": False})
        proto.ir_version = 99
        message = refused(proto.SerializeToString(), "onnx")
        assert (message.code, message.params["written_with"]) == ("library_version_mismatch", "IR 99")

    def test_tensors_in_another_file_are_not_fetched(self, tmp_path: Any, monkeypatch: Any) -> None:
        """External data names a path; a session made from bytes must not follow it, up or down."""
        secret = tmp_path / "secret"
        secret.write_bytes(np.ones(10, np.float32).tobytes())
        monkeypatch.chdir(tmp_path)
        for location in ("secret", "../secret", str(secret)):
            message = refused(external(location), "onnx")
            assert message.code == "onnx_external_data", location


def external(location: str) -> bytes:
    """A model whose only weights lie in the file `location`."""
    from onnx import TensorProto, helper

    weights = helper.make_tensor(
        "w", TensorProto.FLOAT, [10, 1], np.zeros(10, np.float32).tobytes(), raw=True
    )
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "40")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        initializer=[weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def described(flavours: dict[str, Any]) -> str:
    return json.dumps({"artifact_path": "model", "flavors": {**flavours, "python_function": {}}})


class TestMLflow:
    def test_every_flavour_is_read(self) -> None:
        inputs, target, later = study()
        boosted = xgboost.XGBClassifier(n_estimators=4, n_jobs=1).fit(inputs, target)
        leaves = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(inputs, target)
        linear = LogisticRegression(max_iter=5000).fit(inputs, target)
        cases = {
            "xgboost": (
                boosted,
                "model.ubj",
                xgboost_bytes(boosted, "ubj"),
                {"data": "model.ubj", "xgb_version": "3"},
            ),
            "lightgbm": (leaves, "model.lgb", lightgbm_bytes(leaves), {"data": "model.lgb"}),
            "sklearn": (
                linear,
                "model.skops",
                skops.io.dumps(linear),
                {"pickled_model": "model.skops", "serialization_format": "skops", "sklearn_version": "1.9.1"},
            ),
        }
        for flavour, (model, name, content, about) in cases.items():
            folder = packed({"m/MLmodel": described({flavour: about}), f"m/{name}": content})
            found = loaded(folder, "mlflow")
            assert np.allclose(found.predict_proba(later), model.predict_proba(later), atol=1e-6), flavour

    def test_a_pickle_inside_needs_the_format_that_says_so(self) -> None:
        inputs, target, later = study()
        model = LogisticRegression(max_iter=5000).fit(inputs, target)
        import pickle

        about = {
            "pickled_model": "model.pkl",
            "serialization_format": "cloudpickle",
            "sklearn_version": "0.24.1",
        }
        folder = packed({"MLmodel": described({"sklearn": about}), "model.pkl": pickle.dumps(model)})
        assert refused(folder, "mlflow").code == "mlflow_pickle_undeclared"
        assert (loaded(folder, "mlflow-pickle").predict(later) == model.predict(later)).all()
        broken = packed(
            {"MLmodel": described({"sklearn": about}), "model.pkl": b"\x80\x04cmissing\nThing\n."}
        )
        message = refused(broken, "mlflow-pickle")
        assert (message.code, message.params["written_with"]) == ("model_version_mismatch", "0.24.1")

    @pytest.mark.parametrize(
        ("files", "code"),
        [
            ({"model.pkl": b"x"}, "archive_member_missing"),
            ({"MLmodel": "flavors: [a"}, "mlflow_undescribed"),
            ({"MLmodel": "flavors: !!python/object/apply:os.system [ls]"}, "mlflow_undescribed"),
            ({"MLmodel": described({"pytorch": {}})}, "mlflow_flavour_unsupported"),
            ({"MLmodel": described({"onnx": {"data": "../../etc/passwd"}})}, "archive_member_missing"),
            ({"MLmodel": described({"onnx": {"data": "/etc/passwd"}})}, "archive_member_missing"),
        ],
    )
    def test_folders_that_are_none(self, files: dict[str, Any], code: str) -> None:
        assert refused(packed(files), "mlflow").code == code

    def test_a_bomb_is_refused_by_what_it_promises_and_by_what_it_does(self) -> None:
        bomb = packed({"MLmodel": described({"onnx": {}}), "model.onnx": bytes(200 << 20)})
        assert len(bomb) < 1 << 20
        # the directory promises less than the member holds: never more than promised is read
        place = bomb.rfind((200 << 20).to_bytes(4, "little"))
        lying = bomb[:place] + (10).to_bytes(4, "little") + bomb[place + 4 :]
        assert refused(lying, "mlflow").code in ("archive_too_large", "archive_unreadable")
        assert refused(packed({f"{n}": b"" for n in range(2100)}), "mlflow").code == "archive_too_large"
        assert refused(b"PK\x03\x04nonsense", "mlflow").code == "archive_unreadable"


def test_an_unknown_format_loads_nothing() -> None:
    assert "tensorflow" not in FORMATS
    assert refused(b"anything", "tensorflow").code == "model_format_unsupported"


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_skops_pipeline_may_end_in_a_booster(library: str) -> None:
    inputs, target, later = study()
    last: Any = xgboost.XGBClassifier(n_estimators=4, n_jobs=1)
    if library == "lightgbm":
        last = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1)
    model = make_pipeline(StandardScaler(), last).fit(inputs, target)
    found = loaded(skops.io.dumps(model), "skops")
    assert np.allclose(found.predict_proba(later), model.predict_proba(later))
