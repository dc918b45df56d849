"""What `crivo` sends for data in a zone, what it refuses before it sends anything, and the digest of a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from audits.folders import pack
from governance.client import Crivo, Usage
from governance.client.packing import pack_folder
from tests.client.double import Double, answer

Run = Callable[..., Any]
DIGEST = f"sha256:{'a' * 64}"
URI = "s3://clinic/p.parquet"
VERSION = {"name": "p", "n": 1, "reference": "p@1", "digest": DIGEST, "size": 0, "rows": None}
ZONE = ("--digest", DIGEST, "--name", "p", "--zone", "clinic")


def test_data_in_a_zone_is_declared_and_not_sent(run: Run, double: Double) -> None:
    double.replies = [answer(201, {"name": "p"}), answer(201, VERSION)]
    ran = run(
        "dataset",
        "register",
        URI,
        *ZONE,
        "--smallest-cell",
        12,
        "--columns",
        "age, sex",
        "--sensitive",
        "sex",
    )
    assert ran.code == 0, ran.err
    assert [asked.path for asked in double.asked] == ["/api/v1/datasets", "/api/v1/datasets/p/versions"]
    assert double.asked[0].json == {"name": "p", "description": "", "zone": "clinic", "smallest_cell": 12}
    assert double.asked[1].json == {
        "uri": URI,
        "digest": DIGEST,
        "metadata": {"format": "parquet", "sensitive": {"sex": {}}, "columns": ["age", "sex"]},
    }
    assert ("zone       clinic" in ran.out, "bytes" in ran.out) == (True, False), ran.out


def test_without_a_zone_nothing_more_is_said_than_before(run: Run, double: Double) -> None:
    double.replies = [answer(201, {"name": "p"}), answer(201, VERSION)]
    assert run("dataset", "register", URI, "--digest", DIGEST, "--name", "p").code == 0
    assert double.asked[0].json == {"name": "p", "description": ""}
    assert set(double.asked[1].json["metadata"]) == {"format", "sensitive"}


@pytest.mark.parametrize(
    "arguments",
    [
        (URI, *ZONE),  # no columns
        (URI, *ZONE, "--columns", " , "),
        (URI, "--name", "p", "--zone", "clinic", "--columns", "age"),  # no digest
        (URI, *ZONE, "--columns", "age", "--sensitive", "sex"),
        (URI, "--digest", DIGEST, "--name", "p", "--columns", "age"),  # no zone
        (URI, "--digest", DIGEST, "--name", "p", "--smallest-cell", "5"),
        (__file__, "--name", "p", "--zone", "clinic", "--columns", "age"),  # an upload
    ],
)
def test_what_a_server_would_refuse_is_not_sent(arguments: tuple[str, ...], run: Run, double: Double) -> None:
    """Else the dataset would be made, its zone decided for good, and its version refused."""
    ran = run("dataset", "register", *arguments)
    assert (ran.code, double.asked) == (2, [])


def test_columns_with_their_types(crivo: Crivo, double: Double) -> None:
    double.replies = [answer(201, VERSION)]
    crivo.register_dataset_version("p", URI, digest=DIGEST, columns=[{"name": "age", "type": "number"}])
    assert double.asked[0].json["metadata"]["columns"] == [{"name": "age", "type": "number"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in ("b.parquet", "Z", "p=2/a.parquet", "p=10/ü.parquet", "empty/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / "nothing").mkdir()
    return folder


def test_a_folder_is_packed_as_the_server_packs_it(
    folder: Path, tmp_path: Path, run: Run, double: Double
) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    packed = io.BytesIO()
    pack([(name, io.BytesIO((folder / name).read_bytes())) for name in names], packed)
    digest = f"sha256:{sha256(packed.getvalue()).hexdigest()}"
    ran = run("digest", folder)
    assert (ran.code, ran.out) == (0, f"{digest}\n")
    ran = run("digest", folder, "--pack", tmp_path / "data.zip", "--json")
    assert json.loads(ran.out) == {"digest": digest}
    assert (tmp_path / "data.zip").read_bytes() == packed.getvalue()
    assert double.asked == []


def test_the_digest_of_a_file(tmp_path: Path, run: Run) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert run("digest", tmp_path / "f").out == f"sha256:{sha256(b'abc').hexdigest()}\n"
    assert run("digest", tmp_path / "f", "--pack", tmp_path / "z").code == 2
    assert run("digest", tmp_path / "none").code == 2


def test_a_zip_is_never_written_over_a_file_nor_into_what_it_packs(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    there = tmp_path / "there.zip"
    there.write_bytes(b"mine")
    assert run("digest", folder, "--pack", there).code == 2
    assert there.read_bytes() == b"mine"
    assert run("digest", folder, "--pack", folder / "new.zip").code == 2
    assert not (folder / "new.zip").exists()
    (tmp_path / "hollow").mkdir()
    with pytest.raises(Usage, match="no file"):
        pack_folder(tmp_path / "hollow")
