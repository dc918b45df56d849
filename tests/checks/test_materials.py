"""What a check is given: strict tables, guarded models, labels that compare by meaning."""

from __future__ import annotations

import io
import os
import pickle
import re
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from audits.checks.contract import CheckError, CheckInput, Material, numbered
from audits.checks.execute import execute
from audits.checks.labels import canonical, canonical_column
from audits.checks.loading import load_model, trusted
from audits.checks.materials import Materials
from audits.checks.predictor import Predictor
from audits.checks.reading import read_frame
from audits.checks.semantics import Semantics
from tests.checks import cast


def refused(content: str | bytes, format_: str = "csv") -> Any:
    with pytest.raises(CheckError) as caught:
        read_frame(cast.data_file(content), format_, "evaluation")
    return caught.value.message


class TestTables:
    @pytest.mark.parametrize(
        ("content", "code", "params"),
        [
            ("", "data_empty", {}),
            ("  \n\n", "data_empty", {}),
            ("a,b\n", "data_empty", {}),
            ("a,b\n1,2\n3\n", "csv_ragged", {"line": 3, "expected": 2, "found": 1}),
            ("a,b\n1,2,3\n", "csv_ragged", {"line": 2, "expected": 2, "found": 3}),
            ('a,b\n"1\n2",3\n4\n', "csv_ragged", {"line": 4, "expected": 2, "found": 1}),
            ("a,a\n1,2\n", "column_duplicated", {"columns": "a"}),
            ("a,,b\n1,2,3\n", "column_name_blank", {"position": 2}),
            ("a, b\n1,2\n", "column_name_padded", {"position": 2, "column": "b"}),
            ("1,2\n3,4\n", "csv_no_header", {}),
            ('a,b\n1,"2\n', "csv_malformed", {"line": 2}),
            (b"a,b\n1,\xe9\n", "csv_not_utf8", {"line": 2}),
            (b"a,b\n1,2\n3,\x00\n", "csv_not_text", {"line": 3}),
        ],
    )
    def test_a_csv_that_is_no_clean_table_is_refused_with_the_place(
        self, content: str | bytes, code: str, params: dict[str, Any]
    ) -> None:
        message = refused(content)
        assert message.code == code
        assert {**message.params, **params, "role": "evaluation"} == message.params

    def test_a_csv_reads_with_its_separator_byte_order_mark_and_blank_lines(self) -> None:
        frame = read_frame(cast.data_file("﻿a;b\n\n1;x,y\n2;z\n"), "csv", "training")
        assert frame.to_dict("list") == {"a": [1, 2], "b": ["x,y", "z"]}

    def test_parquet_is_read_and_refused_alike(self) -> None:
        frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
        read = read_frame(cast.data_file(frame, "parquet"), "parquet", "training")
        assert read["a"].tolist() == [1, 2]
        assert read["b"].isna().tolist() == [False, True]
        whole = cast.data_file(frame, "parquet").read()
        assert refused(whole[: len(whole) // 2], "parquet").code == "parquet_unreadable"
        assert refused(b"", "parquet").code == "parquet_unreadable"
        nested = pd.DataFrame({"a": [[1], [2]]}).to_parquet(index=False)
        assert refused(nested, "parquet").params["column"] == "a"

    def test_parquet_with_a_name_twice_is_refused(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), buffer)
        assert refused(buffer.getvalue(), "parquet").code == "column_duplicated"

    def test_an_unknown_format_is_refused(self) -> None:
        assert refused("a\n1\n", "xlsx").params == {"role": "evaluation", "format": "xlsx"}


class Escape:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.path.join(os.sep, "nowhere", "at", "all"),)


class Quit:
    def __reduce__(self) -> Any:
        return SystemExit, (0,)


class Unknown(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers whatever it was told to."""

    def __init__(self, answer: Any = None, classes: Any = (0, 1), probabilities: Any = None) -> None:
        self.answer = answer
        self.classes = classes
        self.probabilities = probabilities
        self.classes_ = np.asarray(classes)
        self.feature_names_in_ = np.array(["a", "b"], dtype=object)

    def predict(self, data: Any) -> Any:
        return np.resize(np.asarray(self.answer), len(data))

    def __getattr__(self, name: str) -> Any:
        if name == "predict_proba" and self.__dict__.get("probabilities") is not None:
            return lambda data: np.asarray([self.probabilities] * len(data), dtype=float)
        raise AttributeError(name)


class TestModelFiles:
    @pytest.mark.parametrize("format_", ["skops", "joblib", "pickle"])
    def test_each_format_gives_the_same_decisions(self, format_: str) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        loaded = load_model(cast.model_file(model, format_), format_)
        assert loaded.other_version is None
        again = loaded.estimator.predict_proba(evaluation[list(model.feature_names_in_)])
        assert np.array_equal(again, model.predict_proba(evaluation[list(model.feature_names_in_)]))

    @pytest.mark.parametrize("model", [RandomForestClassifier(3), HistGradientBoostingClassifier(max_iter=3)])
    def test_trees_of_scikit_learn_are_trusted_in_skops(self, model: Any) -> None:
        training, _ = cast.diabetes()
        model.fit(training.drop(columns="progression"), training["progression"])
        load_model(cast.model_file(model), "skops")

    def test_a_foreign_type_is_named_and_not_loaded(self) -> None:
        content = skops.io.dumps(Unknown(answer=1))
        with pytest.raises(CheckError) as caught:
            load_model(io.BytesIO(content), "skops")
        assert caught.value.message.code == "model_untrusted_types"
        assert "Unknown" in caught.value.message.params["types"]

    @pytest.mark.parametrize(
        ("name", "allowed"),
        [
            ("sklearn.tree._tree.Tree", True),
            ("numpy.dtype", True),
            ("sklearn.utils._testing.TempMemmap", False),
            ("numpy.testing._private.utils.KnownFailureException", False),
            ("numpy.f2py.crackfortran.X", False),
            ("numpy.ctypeslib.load_library", False),
            ("scipy.io.loadmat", False),
            ("sklearnevil.Tree", False),
            ("os.PathLike", False),
        ],
    )
    def test_only_classes_of_our_own_packages_are_trusted(self, name: str, allowed: bool) -> None:
        assert trusted(name) is allowed

    @pytest.mark.parametrize("hostile", [Escape(), Quit(), {"no": "model"}])
    def test_a_hostile_or_foolish_pickle_is_an_error_with_a_name(self, hostile: Any) -> None:
        with pytest.raises(CheckError) as caught:
            load_model(io.BytesIO(pickle.dumps(hostile)), "pickle")
        assert caught.value.message.code in ("model_unreadable", "model_not_an_estimator")

    def test_an_empty_or_cut_file_is_unreadable(self) -> None:
        whole = cast.model_file(LogisticRegression(), "skops").read()
        for content in (b"", whole[: len(whole) // 2], b"not a model"):
            for format_ in ("skops", "joblib", "pickle"):
                with pytest.raises(CheckError, match="model_unreadable"):
                    load_model(io.BytesIO(content), format_)

    def test_a_file_of_another_version_that_fails_names_both(self) -> None:
        training, _ = cast.diabetes()
        content = pickle.dumps(cast.logistic(training))
        own = sklearn.__version__
        other = re.sub(r"\d", "0", own, count=1)
        old = content.replace(own.encode(), other.encode())
        assert load_model(io.BytesIO(old), "pickle").other_version == other
        # the same file, whose class has since moved
        moved = old.replace(b"sklearn.linear_model._logistic", b"sklearn.linear_model._logistik")
        with pytest.raises(CheckError) as caught:
            load_model(io.BytesIO(moved), "pickle")
        assert caught.value.message.code == "model_version_mismatch"
        assert caught.value.message.params == {"written_with": other, "read_with": own}

    def test_a_compressed_joblib_reads(self) -> None:
        buffer = io.BytesIO()
        joblib.dump(LogisticRegression(), buffer, compress=3)
        assert isinstance(load_model(buffer, "joblib").estimator, LogisticRegression)

    def test_an_unknown_format_is_refused(self) -> None:
        with pytest.raises(CheckError, match="model_format_unsupported"):
            load_model(io.BytesIO(b"x"), "tensorflow")


class TestLabels:
    @pytest.mark.parametrize(
        "label", [1, 1.0, "1", " 1 ", "1.0", True, np.int64(1), np.float32(1), np.True_, "true"]
    )
    def test_one_is_one(self, label: Any) -> None:
        assert canonical(label) == "1"

    @pytest.mark.parametrize("label", [None, float("nan"), np.nan, pd.NA, pd.NaT])
    def test_missing_is_missing(self, label: Any) -> None:
        assert canonical(label) is None

    @pytest.mark.parametrize(
        ("label", "text"),
        [
            ("1_000", "1_000"),
            ("inf", "inf"),
            ("nan", "nan"),
            (0.5, "0.5"),
            (".5", "0.5"),
            ("9007199254740993",) * 2,
        ],
    )
    def test_what_is_not_quite_a_number_stays_itself(self, label: Any, text: str) -> None:
        assert canonical(label) == text

    def test_a_column_is_coded_with_missing_as_minus_one(self) -> None:
        codes, levels = canonical_column(pd.Series([1.0, None, 0.0, 1.0]))
        assert levels == ("0", "1")
        assert codes.tolist() == [1, -1, 0, 1]


def predictor(model: Any, **changes: Any) -> Predictor:
    return Predictor(model, Semantics.read(cast.semantics(**changes)))


FRAME = pd.DataFrame({"b": [1.0, 2.0, 3.0], "a": [0.0, 1.0, 2.0], "rest": [1, 2, 3]})


class TestPredictor:
    def test_columns_are_taken_by_name_in_any_order(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        found = predictor(model)
        turned = evaluation[evaluation.columns[::-1]]
        assert found.features == tuple(model.feature_names_in_)
        assert np.array_equal(found.label_codes(evaluation), found.label_codes(turned))
        assert np.array_equal(found.decisions(evaluation), cast.predicted(model, evaluation))

    def test_a_missing_column_is_named(self) -> None:
        with pytest.raises(CheckError) as caught:
            predictor(Unknown(answer=1), output="label").decisions(FRAME.drop(columns="b"))
        assert caught.value.message.params == {"columns": "b", "reader": "model"}

    def test_a_model_without_names_takes_the_data_in_file_order(self) -> None:
        training, evaluation = cast.diabetes()
        inputs = training.drop(columns="progression")
        bare = GaussianNB().fit(inputs.to_numpy(), training["progression"])
        given = cast.materials(model=bare, evaluation=evaluation)
        assert given.model().features == tuple(inputs.columns)
        short = cast.materials(model=bare, evaluation=evaluation.drop(columns="bmi"))
        with pytest.raises(CheckError, match="model_features_unknown"):
            short.model()

    @pytest.mark.parametrize(
        ("model", "changes", "code"),
        [
            (Unknown(answer=np.nan, classes=(0.0, 1.0)), {"output": "label"}, "prediction_not_finite"),
            (Unknown(answer=2), {"output": "label"}, "prediction_unknown_label"),
            (Unknown(answer=1, probabilities=[np.nan, 1]), {}, "prediction_not_finite"),
            (Unknown(answer=1, probabilities=[np.inf, 1]), {}, "prediction_not_finite"),
            (Unknown(answer=1, probabilities=[-1, 2]), {}, "probability_out_of_range"),
            (Unknown(answer=1, probabilities=[1, 0, 0]), {}, "prediction_shape"),
            (Unknown(answer=1), {}, "model_lacks_output"),
            (Unknown(answer=1), {"output": "score"}, "model_lacks_output"),
            (Unknown(answer=1, classes=(0, 1, 2)), {}, "model_not_binary"),
            (Unknown(answer=1, classes=("no", "yes")), {}, "model_classes_mismatch"),
            (Unknown(answer=1, classes=np.array([1, "1"], dtype=object)), {}, "labels_ambiguous"),
            (Unknown(answer=1), {"favourable_label": "granted"}, "model_classes_mismatch"),
            (Unknown(answer=1), {"output": "label", "favourable_label": None}, "semantics_missing"),
        ],
    )
    def test_what_a_model_may_not_answer(self, model: Any, changes: dict[str, Any], code: str) -> None:
        with pytest.raises(CheckError) as caught:
            predictor(model, **changes).decisions(FRAME)
        assert caught.value.message.code == code

    def test_infinite_inputs_are_named_before_the_model_sees_them(self) -> None:
        frame = FRAME.assign(a=[0.0, np.inf, 1.0])
        with pytest.raises(CheckError) as caught:
            predictor(Unknown(answer=1), output="label").decisions(frame)
        assert caught.value.message.params == {"column": "a"}

    def test_a_model_that_fails_on_empty_cells_names_the_columns_and_quotes_no_data(self) -> None:
        training, evaluation = cast.diabetes()
        found = predictor(cast.logistic(training))
        evaluation.loc[0, "bmi"] = np.nan
        with pytest.raises(CheckError) as caught:
            found.decisions(evaluation)
        assert caught.value.message.params == {
            "method": "predict_proba",
            "problem": "ValueError",
            "columns": "bmi",
        }
        texts = evaluation.assign(bmi="Maria da Silva")
        with pytest.raises(CheckError) as caught:
            found.decisions(texts)
        assert "Maria" not in str(caught.value)
        assert caught.value.message.code == "model_rejects_text"
        assert caught.value.message.params["columns"] == "bmi"

    @pytest.mark.parametrize("kinds", [(0, 1), ("0", "1"), (0.0, 1.0), (False, True)])
    @pytest.mark.parametrize("declared", [1, "1", 1.0, True])
    def test_declared_and_learned_labels_compare_by_meaning(self, kinds: Any, declared: Any) -> None:
        training, evaluation = cast.diabetes()
        labels = np.array(kinds)[training["progression"].to_numpy()]
        model = GaussianNB().fit(training.drop(columns="progression"), labels)
        found = predictor(model, positive_label=declared, favourable_label=declared)
        expected = model.predict_proba(evaluation.drop(columns="progression"))[:, 1] >= 0.5
        assert np.array_equal(found.decisions(evaluation), expected)

    def test_favourable_may_be_the_other_label_and_positive_the_first_class(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        chance = model.predict_proba(evaluation[list(model.feature_names_in_)])
        other = predictor(model, favourable_label=0, threshold=0.3)
        assert np.array_equal(other.decisions(evaluation), chance[:, 1] < 0.3)
        first = predictor(model, positive_label=0, favourable_label=0, threshold=0.3)
        assert np.array_equal(first.decisions(evaluation), chance[:, 0] >= 0.3)
        scores = first.scores(evaluation)
        margin = first.margin(evaluation)
        assert scores is not None
        assert margin is not None
        assert np.array_equal(scores, chance[:, 0])
        assert np.array_equal(np.argsort(margin), np.argsort(scores))


class TestTruth:
    @pytest.mark.parametrize(
        ("column", "code"),
        [
            (None, "target_missing"),
            ([1, None, 0], "target_missing_values"),
            ([1, 2, 0], "label_unknown_to_model"),
        ],
    )
    def test_a_bad_target_is_named(self, column: Any, code: str) -> None:
        frame = FRAME if column is None else FRAME.assign(progression=column)
        with pytest.raises(CheckError) as caught:
            cast.materials(evaluation=frame).truth("evaluation", ("0", "1"))
        assert caught.value.message.code == code
        assert caught.value.message.params["column"] == "progression"

    @pytest.mark.parametrize("format_", ["csv", "parquet"])
    def test_truth_reads_the_same_however_it_was_written(self, format_: str) -> None:
        for values in ([1, 0, 1], ["1", "0", "1"], [1.0, 0.0, 1.0], [True, False, True]):
            given = cast.materials(evaluation=FRAME.assign(progression=values), data_format=format_)
            assert given.truth("evaluation", ("0", "1")).tolist() == [1, 0, 1]


class TestSemantics:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"task": None}, "task"),
            ({"task": "ranking"}, "task"),
            ({"target": ""}, "target"),
            ({"output": "vibes"}, "output"),
            ({"positive_label": None}, "positive_label"),
            ({"threshold": float("nan")}, "threshold"),
            ({"threshold": "0.5"}, "threshold"),
            ({"sensitive": {"age": {"bins": [65, 50]}}}, "sensitive.age.bins"),
            ({"sensitive": {"age": {"use": "whatever"}}}, "sensitive.age.use"),
        ],
    )
    def test_the_field_is_named(self, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(CheckError) as caught:
            Semantics.read(cast.semantics(**changes))
        assert caught.value.message.params["field"] == field


class TestSeveralTrainingSets:
    """A version trained on more than one data set is examined beside all of them."""

    def of(self, *parts: pd.DataFrame) -> tuple[CheckInput, dict[str, Any]]:
        _, evaluation = cast.diabetes()
        inputs, files = cast.given(
            "evaluation.performance",
            model=cast.logistic(parts[0]),
            training=parts[0],
            evaluation=evaluation,
        )
        materials = list(inputs.materials)
        for place, part in enumerate(parts[1:], start=2):
            role = numbered("training", place)
            files[role] = cast.data_file(part, "parquet")
            materials.append(Material(role, "sha256:00", "parquet"))
        return replace(inputs, materials=tuple(materials)), files

    def test_they_are_one_table_whatever_the_order_of_their_columns(self) -> None:
        training, _ = cast.diabetes()
        first, second = training.iloc[:100], training.iloc[100:]
        inputs, files = self.of(first, second[list(reversed(second.columns))])
        whole = Materials(inputs, files).frame("training")
        assert whole.columns.tolist() == training.columns.tolist()
        pd.testing.assert_frame_equal(whole, training)

    def test_rows_of_the_second_count_as_seen(self) -> None:
        training, evaluation = cast.diabetes()
        inputs, files = self.of(training, evaluation.iloc[:7])
        result = execute(inputs.to_json(), files)
        assert cast.metric(result, "row_overlap")["denominators"] == {"shared": 7, "rows": 177}

    def test_other_columns_are_named(self) -> None:
        training, _ = cast.diabetes()
        inputs, files = self.of(training, training.rename(columns={"bmi": "weight"}))
        error = execute(inputs.to_json(), files)["error"]
        assert error == {
            "code": "datasets_differ",
            "params": {"role": "training", "columns": "bmi, weight"},
        }
