"""Datasets, models, policies, lineage: what a pipeline tells the registry."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from governance.client import mlflow
from governance.client.api import Crivo
from governance.client.commands import sketching
from governance.client.commands.common import OK, Context, asked_before, object_of
from governance.client.console import plain
from governance.client.errors import Refused, Usage
from governance.client.multipart import digest_of_file
from governance.client.packing import pack_folder
from governance.client.shapes import Graph


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    dataset = commands.add_parser(
        "dataset", help="register a dataset version, keep its reference sketch"
    ).add_subparsers(metavar="ACTION", required=True)
    sketching.declare(dataset, common)
    register = dataset.add_parser("register", parents=[common], help="upload a file as a dataset version")
    register.add_argument("file", help="a file, or a URI (file, http, https, s3) with --digest")
    register.add_argument("--digest", help="of what is at the URI: sha256:…")
    register.add_argument(
        "--hidden", action="store_true", help="an evaluation set that only those who validate may see"
    )
    register.add_argument(
        "--zone", help="a data zone that the content never leaves: registered by URI, digest and --columns"
    )
    register.add_argument(
        "--smallest-cell",
        type=int,
        metavar="K",
        help="with --zone: rows a figure rests on at least; default 10",
    )
    register.add_argument(
        "--columns", metavar="COLUMN,…", help="with --zone: what the columns are called, in their order"
    )
    register.add_argument("--name", required=True, help="of the dataset; made if it is not there")
    register.add_argument("--description", default="", help="of the dataset, when it is made")
    register.add_argument(
        "--sensitive", default="", metavar="COLUMN,…", help="sensitive columns, e.g. sex,age"
    )
    register.add_argument(
        "--bins", action="append", default=[], metavar="COLUMN=EDGE,…", help="groups of a number, e.g. age=50,65"
    )  # fmt: skip
    register.add_argument(
        "--format", choices=["csv", "parquet", "parquet-folder"], help="default: what the file name says"
    )
    register.add_argument("--separator", help="of a CSV; default: the mark the header has most of")
    register.add_argument("--decimal", choices=[".", ","], help="of the numbers in a CSV; default .")
    register.add_argument(
        "--encoding", choices=["utf-8", "latin-1", "windows-1252"], help="of a CSV; default utf-8"
    )
    register.set_defaults(command=register_dataset)

    digest = commands.add_parser(
        "digest", parents=[common], help="of a file, or of a folder as Crivo packs it; asks no server"
    )
    digest.add_argument("path", metavar="FILE|FOLDER")
    digest.add_argument(
        "--pack", metavar="ZIP", help="of a folder: write what it is packed to here, to upload it"
    )
    digest.set_defaults(command=digest_command)

    model = commands.add_parser("model", help="register a model version").add_subparsers(
        metavar="register", required=True
    )
    register = model.add_parser("register", parents=[common], help="upload a model file as a version")
    register.add_argument("file", nargs="?", help="a file, or a URI with --digest")
    register.add_argument("--digest", help="of what is at the URI: sha256:…")
    register.add_argument("--name", help="of the model; made if it is not there")
    register.add_argument("--description", default="", help="of the model, when it is made")
    register.add_argument("--metadata", required=True, metavar="FILE", help="JSON: what the version declares")
    register.add_argument(
        "--from-mlflow", metavar="models:/NAME/VERSION",
        help="file, parameters, metrics, data digests from MLflow (MLFLOW_TRACKING_URI); --metadata adds to them",
    )  # fmt: skip
    register.add_argument(
        "--artifact", metavar="PATH", help="with --from-mlflow: which of its files is the model"
    )
    register.add_argument(
        "--lock", metavar="FILE", help="lock file of the environment: declared by its digest, and kept"
    )
    register.set_defaults(command=register_model)

    lineage = commands.add_parser(
        "lineage", parents=[common], help="show what something came from and what came of it; or record an event"
    )  # fmt: skip
    lineage.add_argument(
        "node", metavar="NODE|record", help="kind:namespace:name, or name@n of a dataset or model version of ours"
    )  # fmt: skip
    lineage.add_argument("file", nargs="?", help="with record: a file with one OpenLineage event (JSON)")
    lineage.add_argument("--direction", choices=["up", "down", "both"], default="both")
    lineage.add_argument("--depth", type=int, default=20)
    lineage.set_defaults(command=lineage_command)


def sensitive_of(columns: str, bins: list[str]) -> dict[str, dict[str, Any]]:
    """{"sex": {}, "age": {"bins": [50.0, 65.0]}} from `sex,age` and `["age=50,65"]`."""
    declared: dict[str, dict[str, Any]] = {
        column.strip(): {} for column in columns.split(",") if column.strip()
    }
    for text in bins:
        column, sign, edges = text.partition("=")
        column = column.strip()
        if not sign or column not in declared:
            raise Usage(
                f"--bins {text!r}: write COLUMN=EDGE,… for a column that --sensitive names.",
                code="bins_malformed",
            )
        try:
            numbers = [float(edge) for edge in edges.split(",")]
        except ValueError:
            numbers = []
        ascending = all(low < high for low, high in pairwise(numbers))
        if not numbers or not ascending or not all(map(isfinite, numbers)):
            raise Usage(f"--bins {text!r}: the edges are ascending numbers.", code="bins_malformed")
        declared[column]["bins"] = [int(edge) if edge.is_integer() else edge for edge in numbers]
    return declared


def _dialect(options: argparse.Namespace) -> dict[str, str]:
    separator = {"tab": "\t", "\\t": "\t"}.get(options.separator, options.separator)
    given = {"separator": separator, "decimal": options.decimal, "encoding": options.encoding}
    return {name: value for name, value in given.items() if value is not None}


def _columns_in_zone(options: argparse.Namespace, sensitive: Iterable[str]) -> list[str] | None:
    """The columns that are declared because nobody outside the zone looks; None without a zone.

    Usage for what a server would refuse, before anything is made or sent.
    """
    if options.zone is None:
        if options.smallest_cell is not None or options.columns is not None:
            raise Usage("--smallest-cell and --columns belong to a data zone: say --zone too.")
        return None
    if "://" not in options.file:
        raise Usage(
            "What is in a data zone is not sent: name its URI there, with --digest.",
            code="zone_upload_refused",
        )
    if options.digest is None:
        raise Usage("A URI needs the digest of what is there: sha256:….", code="digest_missing")
    columns = [column.strip() for column in (options.columns or "").split(",") if column.strip()]
    if not columns:
        raise Usage(
            "Nobody outside a data zone looks into the data: name its columns with --columns COLUMN,….",
            code="zone_columns_missing",
        )
    unknown = [column for column in sensitive if column not in columns]
    if unknown:
        raise Usage(f"--sensitive names {', '.join(unknown)}, which is not among --columns.")
    return columns


def register_dataset(context: Context) -> int:
    options, console = context.options, context.console
    sensitive = sensitive_of(options.sensitive, options.bins)
    columns = _columns_in_zone(options, sensitive)
    crivo, source = context.server(), options.file
    if _there(source):  # nothing is made for a file that is not there
        crivo.register_dataset(
            options.name,
            description=options.description,
            hidden=options.hidden,
            zone=options.zone,
            smallest_cell=options.smallest_cell,
        )
    found = crivo.register_dataset_version(
        options.name,
        source,
        digest=options.digest,
        sensitive=sensitive,
        format=options.format,
        dialect=_dialect(options),
        columns=columns,
        progress=console.progress(Path(source).name),
    )
    console.document(found.raw)
    console.say(
        f"dataset version {console.paint(plain(found.reference), 'bold')} {asked_before(found.created)}"
    )
    unseen = options.zone is not None
    rows = "nobody outside the zone looks" if unseen else "known once a check has read it"
    console.fields(
        [
            ("digest", found.digest),
            *([("zone", plain(options.zone))] if unseen else []),
            ("rows", rows if found.rows is None else f"{found.rows:,}"),
            *([] if unseen else [("bytes", f"{found.size:,}")]),
            ("sensitive", ", ".join(sensitive) or "none declared"),
        ]
    )
    return OK


def digest_command(context: Context) -> int:
    """Where the data lies, before anything is registered: what `--digest` is told."""
    options = context.options
    path = Path(options.path)
    if path.is_dir():
        digest = pack_folder(path, None if options.pack is None else Path(options.pack))
    elif options.pack is not None:
        raise Usage("--pack is for a folder: a file is uploaded as it is.")
    else:
        digest = digest_of_file(path)
    context.console.document({"digest": digest})
    context.console.say(digest)
    return OK


def register_model(context: Context) -> int:
    options = context.options
    metadata = object_of(options.metadata)
    if options.lock is not None:  # a digest that the metadata declares by hand has to agree
        metadata.setdefault("environment_digest", digest_of_file(Path(options.lock)))
    if options.from_mlflow is None:
        if options.file is None or options.name is None:
            raise Usage(
                "crivo model register FILE --name NAME --metadata FILE, or --from-mlflow models:/NAME/VERSION."
            )
        return _register_model(context, options.file, options.name, metadata)
    if options.file is not None:
        raise Usage("With --from-mlflow the file comes from there.")
    version = mlflow.read(options.from_mlflow, mlflow.tracking_uri())
    found = mlflow.carried(version, options.artifact)
    # What a person declares counts before what was logged.
    metadata = {**found.metadata, **metadata}
    with tempfile.TemporaryDirectory(prefix="crivo-") as folder:
        path = Path(folder) / Path(found.path).name
        with path.open("wb") as sink:
            version.artifacts.read(found.path, sink)
        return _register_model(context, str(path), options.name or version.name, metadata)


def _there(source: str) -> bool:
    return "://" in source or Path(source).is_file()


def _register_model(context: Context, source: str, name: str, metadata: dict[str, Any]) -> int:
    options, console = context.options, context.console
    crivo = context.server()
    if _there(source):
        crivo.register_model(name, description=options.description)
    found = crivo.register_model_version(
        name, source, metadata, digest=options.digest, progress=console.progress(Path(source).name)
    )
    if options.lock is not None:
        crivo.keep_lock(name, found.n, options.lock)
    console.document(found.raw)
    console.say(
        f"model version {console.paint(plain(found.reference), 'bold')} {asked_before(found.created)}"
    )
    console.fields([("artefact", found.artifact_digest), ("manifest", found.manifest_digest)])
    return OK


def lineage_command(context: Context) -> int:
    options = context.options
    if options.node == "record":
        if options.file is None:
            raise Usage("crivo lineage record FILE: name the file with the event.")
        return _record(context)
    if options.file is not None:
        raise Usage(f"crivo lineage NODE takes one node; what is {options.file!r}?")
    graph = _graph(context.server(), options.node, options.direction, options.depth)
    context.console.document(graph.raw)
    nodes = {node["id"]: node for node in graph.nodes}
    for node in nodes.values():
        context.console.say(f"  {node['depth']:>3}  {plain(node['id'])}")
    context.console.say()
    for edge in graph.edges:
        context.console.say(f"  {plain(edge['origin'])} → {plain(edge['destination'])}")
    if graph.truncated:
        context.console.say("There is more than this: ask again from a node at the border.")
    return OK


def _graph(crivo: Crivo, node: str, direction: str, depth: int) -> Graph:
    """A node by its id; `name@n` alone may be a dataset version or a model version of this registry."""
    if ":" in node:
        return crivo.lineage(node, direction=direction, depth=depth)
    try:
        return crivo.lineage(f"dataset:crivo:{node}", direction=direction, depth=depth)
    except Refused as refusal:
        if refusal.code != "node_unknown":
            raise
    return crivo.lineage(f"model:crivo:{node}", direction=direction, depth=depth)


def _record(context: Context) -> int:
    event = object_of(context.options.file)
    found = context.server().record_lineage(event)
    context.console.document(found.raw)
    context.console.say(
        f"lineage event {'recorded' if found.created else 'was recorded already'}, {plain(found.digest)}"
    )
    context.console.reasons([f"finding: {plain(finding)}" for finding in found.findings])
    return OK
