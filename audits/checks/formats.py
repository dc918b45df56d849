"""Names of formats. Standard library only: the web process reads them.

Any other name can be registered for an artefact; it may carry attested evidence, and no computed check passes on it.
"""

from __future__ import annotations

# Files that hold no code, by preference first; and those that run code when they are read, which a policy must accept.
SAFE_FORMATS = ("skops", "xgboost", "lightgbm", "onnx", "mlflow")
CODE_FORMATS = ("joblib", "pickle", "mlflow-pickle")
FORMATS = (*SAFE_FORMATS, *CODE_FORMATS)

DATA_FORMATS = ("csv", "parquet", "parquet-folder")
# Of a CSV. Python's names of the encodings.
ENCODINGS = {"utf-8": "utf-8-sig", "latin-1": "iso-8859-1", "windows-1252": "cp1252"}
DECIMALS = (".", ",")
