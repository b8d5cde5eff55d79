"""Faults of the links of a running cluster, made on purpose: partitions, delays, losses.

1. What is wanted of every link, in both directions, is in ``links.json``. A command changes that, and tells the nodes.
2. A node that is started, or goes on after a pause, is told again: it remembers nothing of it.
3. Groups part what is between them: with one group, its members and all others; with more, members of different ones. Who
   is in no group still reaches everybody.
4. A new partition takes the place of the former one, a delay of the former delay, a loss of the former loss.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import Duration, format_duration
from node.configuration import ConfigurationError
from node.live.cluster import Cluster
from node.live.cluster_client import ClusterClient, Silent

LINKS_FILE = "links.json"


class LinkWish(Frozen):
    """What is wanted of the way from one node to another."""

    cut: bool = False
    delay: Duration = 0
    loss: float = 0.0

    def setting(self) -> dict[str, Any]:
        """As the API takes it, and as it stands in the file."""
        return {"cut": self.cut, "delayUs": self.delay, "loss": self.loss}


GOOD = LinkWish()
Pair = tuple[NodeId, NodeId]


class Links:
    """What is wanted of all links; those that are good are left out."""

    def __init__(self, wishes: dict[Pair, LinkWish]) -> None:
        self.wishes = wishes

    def changed(self, pairs: Iterable[Pair], change: Callable[[LinkWish, bool], LinkWish]) -> Links:
        """With every wish changed: what it was, and whether the pair is one of these."""
        chosen = dict.fromkeys(pairs)
        changed = {
            pair: change(self.wishes.get(pair, GOOD), pair in chosen) for pair in dict.fromkeys([*self.wishes, *chosen])
        }
        return Links({pair: wish for pair, wish in changed.items() if wish != GOOD})

    def of(self, node: NodeId) -> dict[str, Any]:
        """What the node is told."""
        return {"links": {to: wish.setting() for (source, to), wish in self.wishes.items() if source == node}}

    def told(self) -> tuple[str, ...]:
        """For people: what is done, and to how many links."""
        counts: dict[str, int] = {}
        for wish in self.wishes.values():
            kinds = ["cut"] if wish.cut else []
            kinds += [f"delayed by {format_duration(wish.delay)}"] if wish.delay else []
            kinds += [f"losing {wish.loss:g} of the frames"] if wish.loss else []
            for kind in kinds:
                counts[kind] = counts.get(kind, 0) + 1
        return tuple(
            f"{count // 2} {'link is' if count == 2 else 'links are'} {kind}" for kind, count in counts.items()
        )


def read_links(cluster: Cluster) -> Links:
    """What is wanted now."""
    path = cluster.folder / LINKS_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        wishes = {
            (NodeId(source), NodeId(to)): LinkWish(bool(wish["cut"]), int(wish["delayUs"]), float(wish["loss"]))
            for source, to, wish in rows
        }
        return Links(wishes)
    except FileNotFoundError:
        return Links({})
    except (ValueError, KeyError, TypeError):
        expected = f"tanglegrid cluster heal {cluster.folder} begins anew"
        raise ConfigurationError([f"{path}: is not what this program wrote: {expected}"]) from None


def write_links(cluster: Cluster, links: Links) -> None:
    """This is wanted from now on."""
    path = cluster.folder / LINKS_FILE
    if not links.wishes:
        path.unlink(missing_ok=True)
        return
    rows = [[source, to, wish.setting()] for (source, to), wish in links.wishes.items()]
    draft = path.with_name(f".{LINKS_FILE}")
    draft.write_text(json.dumps(rows) + "\n", encoding="utf-8")
    draft.replace(path)


def groups_of(cluster: Cluster, words: Sequence[str]) -> list[list[NodeId]]:
    """The groups of "A,B | C,D": between bars, or each an argument of its own.

    Errors: ``ConfigurationError``.
    """
    text = re.sub(r"\s*,\s*", ",", " ".join(words))
    groups = [cluster.named(filter(None, group.split(","))) for group in re.split(r"[|\s]+", text) if group]
    seen: dict[NodeId, None] = {}
    for group in groups:
        for node in group:
            if node in seen:
                raise ConfigurationError([f"{node}: expected in one group only"])
        seen |= dict.fromkeys(group)
    if len(groups) == 1:
        others = [node for node in cluster.names if node not in seen]
        groups.append(others)
    return groups


def pairs_between(cluster: Cluster, groups: Sequence[Sequence[NodeId]]) -> Iterator[Pair]:
    """The links between members of different groups, in both directions; without groups, all links."""
    if not groups:
        groups = [[node] for node in cluster.names]
    for ours, theirs in combinations(groups, 2):
        for one in ours:
            for other in theirs:
                if other in cluster.files.nodes[one].peers:
                    yield one, other
                if one in cluster.files.nodes[other].peers:
                    yield other, one


async def apply_links(client: ClusterClient, links: Links, nodes: Iterable[NodeId]) -> list[str]:
    """Tell these nodes; who could not be told, and why."""
    unreached = []
    for node in nodes:
        try:
            await client.ask(node, "/admin/links", links.of(node))
        except Silent as silent:
            unreached.append(f"{node} was not told: {silent}")
    return unreached
