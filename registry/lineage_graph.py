"""Walking the lineage graph in the database: both directions separately, to any depth, complete or said not to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from django.db import connection
from django.db.models import QuerySet

from registry.models import LineageNode

CAP = 5_000
Direction = Literal["up", "down", "both"]

# UNION (not UNION ALL) drops what was reached before, so a cycle ends by itself; LIMIT cap + 1 shows a cut answer.
_WALK = """
WITH RECURSIVE walk(node, depth) AS (
    SELECT %s::bigint, 0
  UNION
    SELECT e.{far}, walk.depth + 1 FROM walk JOIN registry_lineage_edge e ON e.{near} = walk.node
    WHERE walk.depth < %s AND e.valid_to IS NULL
)
SELECT node, min(depth) FROM walk GROUP BY node ORDER BY 2, 1 LIMIT %s
"""


@dataclass(frozen=True)
class Graph:
    nodes: list[dict[str, Any]]
    edges: list[dict[str, str]]
    truncated: bool


def walk(seen: QuerySet[LineageNode], start: LineageNode, *, depth: int, direction: Direction) -> Graph:
    """Nodes and edges within `depth` of `start`; `truncated` is True when there is more than this answer shows.

    `seen` are the nodes that may be shown: what lies behind one that may not is cut off, and said to be."""
    ways = {"up": [("source_id", "target_id")], "down": [("target_id", "source_id")]}
    steps = ways["up"] + ways["down"] if direction == "both" else ways[direction]
    found: dict[int, int] = {}
    truncated = False
    with connection.cursor() as cursor:
        for far, near in steps:
            cursor.execute(_WALK.format(far=far, near=near), [start.pk, depth, CAP + 1])
            rows = cursor.fetchall()
            truncated = truncated or len(rows) > CAP
            for node, distance in rows[:CAP]:
                found[node] = min(distance, found.get(node, distance))
        cursor.execute(
            "SELECT source_id, target_id FROM registry_lineage_edge "
            "WHERE source_id = ANY(%s) AND target_id = ANY(%s) AND valid_to IS NULL ORDER BY id",
            [list(found), list(found)],
        )
        edges = cursor.fetchall()
    nodes = _connected(start.pk, seen.in_bulk(list(found)), edges)
    truncated = truncated or len(nodes) < len(found)
    return Graph(
        nodes=[
            {"id": nodes[key].node_id, "type": nodes[key].kind, "name": nodes[key].name, "depth": found[key]}
            for key in sorted(found, key=lambda key: (found[key], key))
            if key in nodes
        ],
        edges=[
            {"origin": nodes[a].node_id, "destination": nodes[b].node_id}
            for a, b in edges
            if {a, b} <= set(nodes)
        ],
        truncated=truncated,
    )


def _connected(
    start: int, nodes: dict[int, LineageNode], edges: list[tuple[int, int]]
) -> dict[int, LineageNode]:
    """Those reached from `start` over nodes that may be shown: a hidden one does not say what is behind it."""
    beside: dict[int, set[int]] = {}
    for source, target in edges:
        if source in nodes and target in nodes:
            beside.setdefault(source, set()).add(target)
            beside.setdefault(target, set()).add(source)
    reached, front = {start}, [start]
    while front:
        for node in beside.get(front.pop(), set()) - reached:
            reached.add(node)
            front.append(node)
    return {key: node for key, node in nodes.items() if key in reached}
