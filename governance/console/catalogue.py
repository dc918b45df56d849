"""Message catalogues: what is to be translated, and the .po files compiled with Babel (no gettext needed).

`python -m governance.console.catalogue compile` writes the .mo files that Django reads (they are not kept in git);
`… extract` brings the .po files up to date with the source.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_python
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent.parent
LOCALE = ROOT / "templates" / "locale"
KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
Found = tuple[int, str | None, Any, list[str]]


def extract_template(fileobj: IO[bytes], keywords: Any, comment_tags: Any, options: Any) -> Iterator[Found]:
    """The messages of a Django template: Django turns it into Python, Babel reads that."""
    from django.utils.translation.template import templatize

    source = templatize(fileobj.read().decode())
    found: Any = extract_python(io.BytesIO(source.encode()), KEYWORDS, comment_tags, options)
    yield from found


def extract_sentences(fileobj: IO[bytes], keywords: Any, comment_tags: Any, options: Any) -> Iterator[Found]:
    """The values of the dictionary of sentences in audits/checks/messages.py."""
    for node in ast.walk(ast.parse(fileobj.read())):
        if isinstance(node, ast.Dict):
            for value in node.values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.lineno, None, value.value, []


def extracted() -> Catalog:
    """Every message of the project, in the order of the files."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    catalog = Catalog(project="Crivo", charset="utf-8")
    found = extract_from_dir(
        ROOT, methods, options, KEYWORDS, directory_filter=lambda folder: not _skipped(Path(folder))
    )
    for name, line, message, comments, context in found:
        if message:
            catalog.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return catalog


def _skipped(folder: Path) -> bool:
    return folder.name.startswith((".", "_")) or folder.name in {"tests", "docs", "script", "locale"}


def catalogues() -> list[Path]:
    return sorted(LOCALE.glob("*/LC_MESSAGES/*.po"))


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def compile_all() -> list[Path]:
    """Write the .mo beside each .po, if it is older; returns those written."""
    written = []
    for path in catalogues():
        target = path.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= path.stat().st_mtime:
            continue
        with target.open("wb") as file:
            write_mo(file, read(path))
        written.append(target)
    return written


def update_all() -> None:
    template = extracted()
    for path in catalogues():
        catalog = read(path)
        # The date of the first one stays: a new one at each extraction would conflict in every merge.
        template.creation_date = catalog.creation_date
        catalog.update(template, no_fuzzy_matching=True)
        with path.open("wb") as file:
            # Without line numbers: a change of code elsewhere would otherwise touch every entry.
            write_po(file, catalog, width=110, ignore_obsolete=True, include_lineno=False)


def main(arguments: list[str]) -> int:
    if arguments == ["extract"]:
        update_all()
    elif arguments in ([], ["compile"]):
        compile_all()
    else:
        print("usage: python -m governance.console.catalogue [compile | extract]", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
