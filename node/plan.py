"""The plan of a scenario: which chains there are, who is above whom, and who sits on which committee.

A microgrid's committee is its homes' meters, in the order of the configuration. A parent chain's is made of its children's
members: every child's first member, then every child's second, and so on in the order of the configuration, whole turns
until there are at least ``PARENT_COMMITTEE_MIN``, cut at ``PARENT_COMMITTEE_MAX``; all of them where there are fewer.
A member is a host's name; one host may be a member of several chains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen
from ledger.kernel.quorum import max_faulty
from node.configuration import ChainSection, Configuration, HomeSection
from node.configuration_checks import ledger_node_names

PARENT_COMMITTEE_MIN = 7
"""Two faulty members are survived."""
PARENT_COMMITTEE_MAX = 10
"""Three faulty members are survived; more would only cost messages."""


class HomePlan(Frozen):
    """One household."""

    name: str
    chain: str
    data: str
    generation_shift: int


class ChainPlan(Frozen):
    """One committee chain."""

    name: str
    level: int
    parent: str | None
    children: tuple[str, ...]
    homes: tuple[HomePlan, ...]
    members: tuple[NodeId, ...]
    offline: bool


class Plan(Frozen):
    """All chains by name, children before parents."""

    chains: Mapping[str, ChainPlan]
    ledger_nodes: tuple[NodeId, ...]

    @property
    def homes(self) -> tuple[HomePlan, ...]:
        """All households, in the order of their chains."""
        return tuple(home for chain in self.chains.values() for home in chain.homes)

    @property
    def hosts(self) -> tuple[NodeId, ...]:
        """All hosts: layer 1 first, then the households."""
        return (*self.ledger_nodes, *(NodeId(home.name) for home in self.homes))

    def memberships(self, host: NodeId) -> tuple[ChainPlan, ...]:
        """The chains that this host is a member of, its own microgrid first."""
        return tuple(chain for chain in self.chains.values() if host in chain.members and not chain.offline)

    def warnings(self) -> tuple[str, ...]:
        """Committees that survive no fault."""
        return tuple(
            f"chain {chain.name!r} has {len(chain.members)} members, at least 4 expected: it survives no faulty member"
            for chain in self.chains.values()
            if max_faulty(len(chain.members)) == 0
        )


def plan_of(configuration: Configuration) -> Plan:
    """The plan of a checked configuration."""
    sections = {section.name: section for section in configuration.chains}
    children: dict[str, list[str]] = {name: [] for name in sections}
    for name, section in sections.items():
        if section.parent is not None:
            children[section.parent].append(name)
    plans: dict[str, ChainPlan] = {}
    waiting = list(sections)
    while waiting:
        name = next(name for name in waiting if all(child in plans for child in children[name]))
        waiting.remove(name)
        plans[name] = _chain_plan(sections[name], [plans[child] for child in children[name]])
    return Plan(plans, tuple(NodeId(name) for name in ledger_node_names(configuration)))


def _chain_plan(section: ChainSection, children: Sequence[ChainPlan]) -> ChainPlan:
    homes = tuple(_home_plan(home, section) for home in section.homes)
    if children:
        members = parent_members([child.members for child in children], section.committee_size)
        level = 1 + max(child.level for child in children)
    else:
        members = tuple(NodeId(home.name) for home in homes)
        level = 0
    names = tuple(child.name for child in children)
    return ChainPlan(section.name, level, section.parent, names, homes, members, section.offline)


def _home_plan(home: HomeSection, section: ChainSection) -> HomePlan:
    return HomePlan(home.name, section.name, home.data, home.generation_shift + section.generation_shift)


def parent_members(committees: Sequence[Sequence[NodeId]], size: int | None = None) -> tuple[NodeId, ...]:
    """Whole turns over the children's committees until there are enough; of a size that is asked for, exactly so many."""
    members: list[NodeId] = []
    for turn in zip_longest(*committees):
        if len(members) >= (size or PARENT_COMMITTEE_MIN):
            break
        members += [member for member in turn if member is not None]
    return tuple(members[: size or PARENT_COMMITTEE_MAX])
