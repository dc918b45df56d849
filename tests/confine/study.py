"""A small real study on disk: tables in two formats, a pipeline with a forest, a boosted model."""

from __future__ import annotations

import warnings
from pathlib import Path


def write_study(folder: Path) -> dict[str, Path]:
    """Write training.csv (semicolons, decimal commas, Latin-1), evaluation.parquet, artifact.skops,
    boosted.joblib.
    """
    import joblib
    import numpy
    import pandas
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = numpy.random.default_rng(7)
    frame = pandas.DataFrame(
        {
            "a": random.normal(size=200).round(3),
            "b": random.normal(size=200).round(3),
            "sex": random.choice(["female", "male"], size=200),
            "city": random.choice(["São Paulo", "Belém"], size=200),
        }
    )
    frame["target"] = (frame["a"] + 0.3 * (frame["sex"] == "male") > 0).astype(int)
    frame.loc[::17, "b"] = numpy.nan
    features = ["a", "b", "sex", "city"]
    columns = ColumnTransformer(
        [
            ("numbers", Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())]), ["a", "b"]),
            ("words", OneHotEncoder(sparse_output=False), ["sex", "city"]),
        ]
    )
    forest = RandomForestClassifier(n_estimators=20, max_depth=4, random_state=0, n_jobs=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = Pipeline([("columns", columns), ("forest", forest)]).fit(frame[features], frame["target"])
        boosted = HistGradientBoostingClassifier(max_iter=10).fit(frame[["a", "b"]], frame["target"])
    paths = {
        "training": folder / "training.csv",
        "evaluation": folder / "evaluation.parquet",
        "artifact": folder / "artifact.skops",
        "joblib": folder / "boosted.joblib",
    }
    frame.to_csv(paths["training"], sep=";", decimal=",", encoding="latin-1", index=False)
    frame.to_parquet(paths["evaluation"])
    skops.io.dump(pipeline, paths["artifact"])
    joblib.dump(boosted, paths["joblib"], compress=("lzma", 3))
    return paths
