"""Tables as people write them elsewhere: semicolons, decimal commas, Latin-1; folders of Parquet."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pandas as pd
import pytest

from audits.checks.contract import CheckError
from audits.checks.reading import read_frame


def read(text: str | bytes, format_: str = "csv", **dialect: str) -> pd.DataFrame:
    content = text.encode() if isinstance(text, str) else text
    return read_frame(io.BytesIO(content), format_, "training", dialect)


def refused(text: str | bytes, format_: str = "csv", **dialect: str) -> Any:
    with pytest.raises(CheckError) as caught:
        read(text, format_, **dialect)
    return caught.value.message


def test_a_table_as_written_in_brazil() -> None:
    content = 'nome;renda;idade;"maior, menor"\nJoão;1.234,50;30;x\nZé;-0,5;;y\n'.encode("latin-1")
    frame = read(content, decimal=",", encoding="latin-1")
    assert list(frame.columns) == ["nome", "renda", "idade", "maior, menor"]
    assert frame["nome"].tolist() == ["João", "Zé"]
    assert frame["renda"].tolist() == [1234.5, -0.5]
    assert frame["idade"].isna().tolist() == [False, True]
    assert frame["idade"].iloc[0] == 30


def test_whole_numbers_stay_whole_and_thousands_are_thousands() -> None:
    frame = read("a;b\n1.234;7\n2;8\n", decimal=",")
    assert frame["a"].tolist() == [1234, 2]
    assert str(frame["b"].dtype) == "int64"


def test_a_point_where_a_comma_is_declared_is_not_guessed() -> None:
    message = refused("a;b\n1.5;x\n2,5;y\n", decimal=",")
    assert (message.code, message.params["column"]) == ("csv_decimal_mixed", "a")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "~", "#"])
def test_any_separator(separator: str) -> None:
    frame = read(f"a{separator}b\n1{separator}x\n", separator=separator)
    assert frame.to_dict("records") == [{"a": 1, "b": "x"}]


def test_the_separator_is_the_mark_of_the_header_that_stands_most_often() -> None:
    assert list(read('a;"b, c";d\n1;2;3\n').columns) == ["a", "b, c", "d"]


@pytest.mark.parametrize(
    ("dialect", "field"),
    [
        ({"separator": ";;"}, "separator"),
        ({"separator": '"'}, "separator"),
        ({"decimal": ";"}, "decimal"),
        ({"separator": ",", "decimal": ","}, "decimal"),
        ({"encoding": "utf-7"}, "encoding"),
    ],
)
def test_a_dialect_nobody_speaks(dialect: dict[str, str], field: str) -> None:
    message = refused("a,b\n1,2\n", **dialect)
    assert (message.code, message.params["field"]) == ("csv_dialect_unknown", field)


def test_bytes_that_are_not_in_the_declared_encoding() -> None:
    assert refused("a,b\nJoão,1\n".encode("latin-1")).code == "csv_not_utf8"
    assert refused(b"a,b\n\x81,1\n", encoding="windows-1252").params["position"] == 4


def folder(parts: dict[str, pd.DataFrame | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part if isinstance(part, bytes) else part.to_parquet(index=False))
    return buffer.getvalue()


def test_a_folder_of_parquet_is_one_table_in_the_order_of_its_paths() -> None:
    content = folder(
        {
            "y=2024/part-1.parquet": pd.DataFrame({"a": [3]}),
            "_SUCCESS": b"",
            "y=2023/part-0.parquet": pd.DataFrame({"a": [1, 2]}),
            "y=2023/.hidden.parquet": b"rubbish",
        }
    )
    frame = read(content, "parquet-folder")
    assert frame.to_dict("list") == {"a": [1, 2, 3], "y": ["2023", "2023", "2024"]}
    message = refused(
        folder({"a.parquet": pd.DataFrame({"a": [1]}), "b.parquet": pd.DataFrame({"b": [1]})}),
        "parquet-folder",
    )
    assert (message.code, message.params["part"]) == ("parquet_parts_differ", "b.parquet")
