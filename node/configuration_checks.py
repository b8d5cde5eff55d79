"""What must hold between the fields of a configuration: the tree of chains, names, faults, and numbers that depend on others.

Each check tells the field that is to blame, so that the message can name its line. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger.access import ACCESS_PATH
from ledger.booking import TANGLE_PATH
from ledger.kernel.instant import DAY, format_duration
from ledger.profile import PROFILES
from market.hierarchy import AUCTION
from market.parameters import LEVELS_MAX
from market.units import price_of
from node.configuration import (
    UTILITY,
    ChainSection,
    Configuration,
    FaultSection,
    FieldPath,
    FieldProblem,
)
from wasp.core_contracts.accounts import ACCOUNTS, OUTBOX_ACCOUNT
from wasp.core_contracts.blocklog import BLOCKLOG
from wasp.core_contracts.governance import GOVERNANCE
from wasp.core_contracts.root import ROOT

_NODES: FieldPath = ("ledger", "nodes")
RESERVED = frozenset(
    {UTILITY, AUCTION, ACCOUNTS, BLOCKLOG, GOVERNANCE, ROOT, OUTBOX_ACCOUNT, str(ACCESS_PATH[0]), str(TANGLE_PATH[0])}
)
"""Accounts that every chain has, and first words of paths that are not chains."""


def ledger_node_names(configuration: Configuration) -> tuple[str, ...]:
    """The names of the layer-1 hosts."""
    return tuple(f"tangle{i + 1}" for i in range(configuration.ledger.nodes))


def field_problems(configuration: Configuration) -> list[FieldProblem]:
    """All that is wrong between the fields."""
    return [
        *chain_problems(configuration.chains, ledger_node_names(configuration)),
        *_data_problems(configuration),
        *_market_problems(configuration),
        *_ledger_problems(configuration),
        *_network_problems(configuration),
        *_fault_problems(configuration),
    ]


def chain_problems(chains: Sequence[ChainSection], taken: Sequence[str] = ()) -> Iterator[FieldProblem]:
    """What is wrong with the tree of chains, and with names, of which some are taken."""
    named = dict.fromkeys(taken)
    for i, chain in enumerate(chains):
        names: list[tuple[FieldPath, str]] = [(("chains", i, "name"), chain.name)]
        names += [(("chains", i, "homes", j), home.name) for j, home in enumerate(chain.homes)]
        for field, name in names:
            if name in RESERVED:
                yield FieldProblem(
                    field, f"{name!r} has another meaning: expected none of {', '.join(sorted(RESERVED))}"
                )
            elif name in named:
                yield FieldProblem(
                    field, f"{name!r} is used twice: expected a name that no other chain or host has", (_NODES,)
                )
            named[name] = None
    tree = list(_tree_problems(chains))
    yield from tree
    if not tree:  # else a chain can seem to have no children because they name their parent wrongly
        yield from _place_problems(chains)
    for i, chain in enumerate(chains):
        if chain.homes and chain.committee_size is not None and chain.committee_size != len(chain.homes):
            members = f"expected {len(chain.homes)}, or no size: all homes of a microgrid are members of its committee"
            yield FieldProblem(("chains", i, "committee_size"), members, (("chains", i, "homes"),))


def _tree_problems(chains: Sequence[ChainSection]) -> Iterator[FieldProblem]:
    """Parents that are none, circles of chains (each told once), and trees that are too high."""
    parents = {chain.name: chain.parent for chain in chains}
    names: tuple[FieldPath, ...] = tuple(("chains", i, "name") for i in range(len(chains)))
    ways: tuple[FieldPath, ...] = tuple(("chains", i, "parent") for i in range(len(chains)))
    circles: set[str] = set()
    for i, chain in enumerate(chains):
        field: FieldPath = ("chains", i, "parent")
        if chain.parent is not None and chain.parent not in parents:
            known = ", ".join(name for name in parents if name != chain.name)
            yield FieldProblem(field, f"{chain.parent!r} is no chain: expected one of {known}", names)
        above = chains_above(chain.name, parents)
        if chain.name in above and chain.name not in circles:
            circles.update(above)
            expected = f"{chain.name!r} is its own ancestor: expected a chain above it, or none"
            yield FieldProblem(field, expected, (*names, *ways))
        elif chain.name not in above and len(above) >= LEVELS_MAX:
            expected = f"{len(above)} chains above each other: expected less than {LEVELS_MAX}"
            yield FieldProblem(field, expected, (*names, *ways))


def _place_problems(chains: Sequence[ChainSection]) -> Iterator[FieldProblem]:
    """A chain has homes, or children. This rests on all fields of all chains: a misspelt one may have been the parent's."""
    parents = {chain.parent for chain in chains}
    for i, chain in enumerate(chains):
        is_parent = chain.name in parents
        if bool(chain.homes) == is_parent:
            what = "both homes and child chains" if is_parent else "neither homes nor child chains"
            yield FieldProblem(
                ("chains", i), f"{chain.name!r} has {what}: expected exactly one of them", (("chains",),)
            )


def chains_above(name: str, parents: dict[str, str | None]) -> list[str]:
    """The chains above this one, from its parent up, to the first that comes again."""
    way: list[str] = []
    parent = parents.get(name)
    while parent is not None and parent not in way:
        way.append(parent)
        parent = parents.get(parent)
    return way


def _data_problems(configuration: Configuration) -> Iterator[FieldProblem]:
    data, interval = configuration.data, configuration.market.interval
    step, rests_on = format_duration(data.step), (("data", "step"),)
    if data.step % interval:
        given = format_duration(interval)
        expected = f"expected a whole fraction of data.step, {step}, not {given}"
        yield FieldProblem(("market", "interval"), expected, rests_on)
    for i, chain in enumerate(configuration.chains):
        shifts: list[tuple[FieldPath, int]] = [(("chains", i, "generation_shift"), chain.generation_shift)]
        shifts += [
            (("chains", i, "homes", j, "generation_shift"), home.generation_shift) for j, home in enumerate(chain.homes)
        ]
        for field, shift in shifts:
            if shift % data.step:
                given = format_duration(shift)
                yield FieldProblem(field, f"expected a multiple of data.step, {step}, not {given}", rests_on)
    if data.forecast == "persistence" and DAY // interval < 2:
        expected = "persistence: expected at least two intervals per day"
        yield FieldProblem(("data", "forecast"), expected, (("market", "interval"),))


def _market_problems(configuration: Configuration) -> Iterator[FieldProblem]:
    market = configuration.market
    charges, pays = price_of(market.grid_charges), price_of(market.grid_pays)
    if charges - pays < 2:
        expected = f"expected at least 0.002 p/kWh less than grid_charges, {market.grid_charges}"
        yield FieldProblem(
            ("market", "grid_pays"), f"{expected}, not {market.grid_pays}", (("market", "grid_charges"),)
        )


def _ledger_problems(configuration: Configuration) -> Iterator[FieldProblem]:
    ledger = configuration.ledger
    if ledger.profile not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        yield FieldProblem(("ledger", "profile"), f"no profile is named {ledger.profile!r}: expected one of {known}")
    if bool(ledger.links) != (ledger.topology == "given"):
        expected = 'expected links with the topology "given", and only with it'
        yield FieldProblem(("ledger", "topology"), expected, (("ledger", "links"),))
    for i, link in enumerate(ledger.links):
        if not (1 <= min(link) < max(link) <= ledger.nodes):
            expected = f"expected two different nodes from 1 to {ledger.nodes}"
            yield FieldProblem(("ledger", "links", i), f"{expected}, not {list(link)}", (_NODES,))


def _network_problems(configuration: Configuration) -> Iterator[FieldProblem]:
    network = configuration.network
    for field in ("matrix", "placement"):
        if getattr(network, field) and network.model != "matrix":
            expected = f'expected only with model = "matrix", not with "{network.model}"'
            yield FieldProblem(("network", field), expected, (("network", "model"),))


def _fault_problems(configuration: Configuration) -> Iterator[FieldProblem]:
    homes = [home.name for chain in configuration.chains for home in chain.homes]
    hosts = dict.fromkeys([*ledger_node_names(configuration), *homes])
    known = f"expected a home, or tangle1 to tangle{configuration.ledger.nodes}"
    named_by: tuple[FieldPath, ...] = (
        _NODES,
        *(
            ("chains", i, "homes", j, "name")
            for i, chain in enumerate(configuration.chains)
            for j in range(max(1, len(chain.homes)))
        ),
    )
    for i, fault in enumerate(configuration.faults):
        place: FieldPath = ("faults", i)
        named: list[tuple[FieldPath, str]] = [
            ((*place, field, j), node)
            for field in ("nodes", "senders", "recipients")
            for j, node in enumerate(getattr(fault, field))
        ]
        named += [
            ((*place, "groups", j, k), node) for j, group in enumerate(fault.groups) for k, node in enumerate(group)
        ]
        for field, node in named:
            if node not in hosts:
                yield FieldProblem(field, f"{node!r} is no host: {known}", named_by)
        yield from _kind_problems(place, fault)


_KINDS_NEED = {
    "nodes": ("crash", "restart", "pause", "slow", "skew"),
    "duration": ("pause",),
    "per_cent": ("slow",),
    "offset": ("skew",),
    "groups": ("partition",),
}
"""The kinds of fault that need a field; no others take it."""
_KINDS_TAKE = {
    "disk_loss": "crash", "one_way": "partition",
    **dict.fromkeys(("senders", "recipients", "loss", "duplication", "extra_delay"), "link"),
}  # fmt: skip
"""The only kind of fault that takes a field, and can do without."""


def _kind_problems(place: FieldPath, fault: FaultSection) -> Iterator[FieldProblem]:
    """Each kind of fault has fields that it needs, fields that it takes, and no others."""
    rests_on: tuple[FieldPath, ...] = ((*place, "kind"),)
    for field, section_field in FaultSection.model_fields.items():
        if field in ("at", "kind"):
            continue
        given = getattr(fault, field) != section_field.default
        is_needed = fault.kind in _KINDS_NEED.get(field, ())
        if is_needed and not given:
            yield FieldProblem((*place, field), f'is missing: expected with kind = "{fault.kind}"', rests_on)
        elif given and not is_needed and _KINDS_TAKE.get(field) != fault.kind:
            expected = f'has no meaning: expected none with kind = "{fault.kind}"'
            yield FieldProblem((*place, field), expected, rests_on)
    if fault.kind == "partition" and len(fault.groups) == 1:
        yield FieldProblem((*place, "groups"), "expected two groups or more", rests_on)
