from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from governance.client import Unreachable, Usage
from governance.client.unpack import MAX_ZIPPED, prepared, unpack, unzipped


def archive(*members: tuple[str, bytes | tarfile.TarInfo]) -> io.BytesIO:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return sink


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_files_and_folders(tmp_path: Path) -> None:
    source = archive(
        ("tile", special("tile", tarfile.DIRTYPE)), ("checkpoint", b"c"), ("./tile/0/x001/067.p/112", b"t")
    )
    assert unpack(source, prepared(tmp_path / "new" / "export")) == 2
    assert (tmp_path / "new/export/tile/0/x001/067.p/112").read_bytes() == b"t"
    assert (tmp_path / "new/export/checkpoint").read_bytes() == b"c"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["export"]


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "a/\x07", ".hidden", "a\\b", "a/" * 20 + "b", "é", "-rf"]
)
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    target = prepared(tmp_path / "in" / "export")
    with pytest.raises(Unreachable, match="holds a file called"):
        unpack(archive(("good", b"1"), (name, b"2")), target)
    assert list(tmp_path.rglob("*")) == [tmp_path / "in"]


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
    ],
)
def test_what_is_no_plain_file(kind: bytes, target: str, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="is not a plain file"):
        unpack(archive(("x", special("x", kind, target))), prepared(tmp_path / "in" / "export"))
    assert list((tmp_path / "in").iterdir()) == []


def test_the_same_name_twice(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="cannot be written"):
        unpack(archive(("x", b"1"), ("x", b"2")), prepared(tmp_path / "export"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"no tar at all", b"\x1f\x8b" + b"\x00" * 600])
def test_what_is_no_archive(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="is not one"):
        unpack(io.BytesIO(data), prepared(tmp_path / "export"))


def test_a_cut_archive(tmp_path: Path) -> None:
    whole = archive(("x", b"1" * 5000)).getvalue()
    with pytest.raises(Unreachable, match="is not one"):
        unpack(io.BytesIO(whole[:3000]), prepared(tmp_path / "export"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(Usage, match="not empty"):
        prepared(tmp_path)
    with pytest.raises(Usage, match="not empty"):
        prepared(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"


class Raw(zipfile.ZipInfo):
    """A member whose name is written as it stands; zipfile cuts at a NUL and cannot do without a letter."""

    def __init__(self, name: str) -> None:
        super().__init__("x")
        self.filename = name

    def is_dir(self) -> bool:
        return False


def zipped(*members: tuple[str, bytes]) -> io.BytesIO:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in members:
            archive.writestr(Raw(name), content)
    return sink


def test_a_zip_for_people(tmp_path: Path) -> None:
    source = zipped(("events.csv", b"a,b\r\n"), ("about.json", b"{}"))
    assert unzipped(source, prepared(tmp_path / "export")) == 2
    assert (tmp_path / "export/events.csv").read_bytes() == b"a,b\r\n"


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/b", "", "..", "a\x00b"])
def test_a_zip_that_wants_out(tmp_path: Path, name: str) -> None:
    source = zipped(("fine.csv", b"1"), (name, b"2"))
    with pytest.raises(Unreachable):
        unzipped(source, prepared(tmp_path / "export"))
    assert list(tmp_path.iterdir()) == []


def test_a_zip_that_is_none_or_too_many(tmp_path: Path) -> None:
    many = zipped(*((f"f{n}", b"") for n in range(MAX_ZIPPED + 1)))
    for source in (io.BytesIO(b"PK not a zip"), many):
        with pytest.raises(Unreachable):
            unzipped(source, prepared(tmp_path / "export"))
    assert list(tmp_path.iterdir()) == []
