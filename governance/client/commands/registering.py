"""Datasets, models, policies, lineage: what a pipeline tells the registry."""

from __future__ import annotations

import argparse
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from governance.client.api import Crivo
from governance.client.commands.common import OK, Context, asked_before, object_of, text_of
from governance.client.console import plain
from governance.client.errors import Refused, Usage
from governance.client.multipart import unreadable
from governance.client.shapes import Graph


def declare(commands: Any, common: argparse.ArgumentParser) -> None:
    dataset = commands.add_parser("dataset", help="register a dataset version").add_subparsers(
        metavar="register", required=True
    )
    register = dataset.add_parser("register", parents=[common], help="upload a file as a dataset version")
    register.add_argument("file")
    register.add_argument("--name", required=True, help="of the dataset; made if it is not there")
    register.add_argument("--description", default="", help="of the dataset, when it is made")
    register.add_argument(
        "--sensitive", default="", metavar="COLUMN,…", help="sensitive columns, e.g. sex,age"
    )
    register.add_argument(
        "--bins", action="append", default=[], metavar="COLUMN=EDGE,…", help="groups of a number, e.g. age=50,65"
    )  # fmt: skip
    register.add_argument("--format", choices=["csv", "parquet"], help="default: what the file name says")
    register.set_defaults(command=register_dataset)

    model = commands.add_parser("model", help="register a model version").add_subparsers(
        metavar="register", required=True
    )
    register = model.add_parser("register", parents=[common], help="upload a model file as a version")
    register.add_argument("file")
    register.add_argument("--name", required=True, help="of the model; made if it is not there")
    register.add_argument("--description", default="", help="of the model, when it is made")
    register.add_argument("--metadata", required=True, metavar="FILE", help="JSON: what the version declares")
    register.set_defaults(command=register_model)

    policy = commands.add_parser("policy", help="apply policies").add_subparsers(
        metavar="apply", required=True
    )
    apply = policy.add_parser("apply", parents=[common], help="apply a policy file, or all of a folder")
    apply.add_argument("path", metavar="FILE|DIR")
    apply.set_defaults(command=apply_policies)

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


def register_dataset(context: Context) -> int:
    options, console = context.options, context.console
    sensitive = sensitive_of(options.sensitive, options.bins)
    path = Path(options.file)
    crivo = context.server()
    if path.is_file():  # nothing is made for a file that is not there
        crivo.register_dataset(options.name, description=options.description)
    found = crivo.register_dataset_version(
        options.name, path, sensitive=sensitive, format=options.format, progress=console.progress(path.name)
    )
    console.document(found.raw)
    console.say(
        f"dataset version {console.paint(plain(found.reference), 'bold')} {asked_before(found.created)}"
    )
    console.fields(
        [
            ("digest", found.digest),
            ("rows", "known once a check has read it" if found.rows is None else f"{found.rows:,}"),
            ("bytes", f"{found.size:,}"),
            ("sensitive", ", ".join(sensitive) or "none declared"),
        ]
    )
    return OK


def register_model(context: Context) -> int:
    options, console = context.options, context.console
    metadata = object_of(options.metadata)
    path = Path(options.file)
    crivo = context.server()
    if path.is_file():
        crivo.register_model(options.name, description=options.description)
    found = crivo.register_model_version(options.name, path, metadata, progress=console.progress(path.name))
    console.document(found.raw)
    console.say(
        f"model version {console.paint(plain(found.reference), 'bold')} {asked_before(found.created)}"
    )
    console.fields([("artefact", found.artifact_digest), ("manifest", found.manifest_digest)])
    return OK


def policy_files(path: str) -> list[Path]:
    """The file itself, or the *.yaml and *.yml of a folder in the order of their names."""
    place = Path(path)
    try:
        if not place.is_dir():
            return [place]
        found = sorted(
            item for item in place.iterdir() if item.suffix in (".yaml", ".yml") and item.is_file()
        )
    except OSError as error:
        raise unreadable(place, error) from error
    if not found:
        raise Usage(f"There is no policy (*.yaml) in {place}.", code="no_policies")
    return found


def apply_policies(context: Context) -> int:
    crivo, console = context.server(), context.console
    applied = []
    for path in policy_files(context.options.path):
        text = text_of(str(path))
        try:
            found = crivo.apply_policy(text)
        except Refused as refusal:
            refusal.detail = f"{path.name}: {refusal.detail}"
            raise
        applied.append(found)
        console.say(
            f"policy {plain(found.name)}@{found.n} for {plain(found.environment)} "
            f"{'applied' if found.created else 'was current already'}, {plain(found.digest)}"
        )
    console.document([found.raw for found in applied])
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
