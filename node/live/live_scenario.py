"""A scenario made fit to run live: real crypto, ground proof of work that a machine can bear, committees of a wanted size.

What is changed is told. The base difficulty, where the configuration gives none, is the highest at which all layer-1 nodes
together, each issuing ``BLOCKS_PER_SECOND`` with one bit of difficulty added by its own rate, grind for at most a tenth of
a core of this machine.
"""

from __future__ import annotations

from itertools import count
from time import perf_counter

from ledger.pow import RealGrinder
from node.configuration import ChainSection, Configuration, ConfigurationError
from node.configuration_checks import RESERVED, ledger_node_names

BLOCKS_PER_SECOND = 1
"""Of a busy layer-1 node: an activity block every two seconds, and as many payloads."""
ADAPTED = 2
"""What the node's own rate makes of the work: one bit."""
SHARE_OF_CORE = 10
"""The tenth part."""
NAME_HEAD = 24
"""Characters of a chain's name that its further homes begin with: names have at most 32."""
MEASURED_DIFFICULTY = 12
MEASURED_BLOCKS = 24
"""A tenth of a second's work, enough for a rate within a third."""


def made_live(configuration: Configuration, members: int | None = None) -> tuple[Configuration, list[str]]:
    """The configuration that runs live, and what was changed, in sentences."""
    notes: list[str] = []
    scenario, ledger = configuration.scenario, configuration.ledger
    if scenario.crypto != "real":
        notes.append('scenario.crypto is "real": live nodes take no other')
        scenario = scenario.model_copy(update={"crypto": "real"})
    if ledger.pow != "ground":
        notes.append('ledger.pow is "ground": live nodes take no other')
        ledger = ledger.model_copy(update={"pow": "ground"})
    if ledger.pow_difficulty is None:
        difficulty = bearable_difficulty(hash_rate(), ledger.nodes)
        notes.append(
            f"ledger.pow_difficulty is {difficulty}: all nodes' proof of work takes at most a tenth of a core here"
        )
        ledger = ledger.model_copy(update={"pow_difficulty": difficulty})
    if configuration.faults:
        notes.append("the scenario's faults are left out: they are the simulation's")
    chains = configuration.chains
    if members is not None:
        chains = _resized(configuration, members)
    changed = {"scenario": scenario, "ledger": ledger, "chains": chains, "faults": ()}
    return configuration.model_copy(update=changed), notes


def bearable_difficulty(hashes_per_second: float, nodes: int) -> int:
    """The highest base difficulty at which proof of work takes at most its share of a core."""
    budget = hashes_per_second / SHARE_OF_CORE / (nodes * BLOCKS_PER_SECOND * ADAPTED)
    return max(0, int(budget).bit_length() - 1)


def hash_rate() -> float:
    """Hashes per second of one core of this machine, about."""
    grinder = RealGrinder()
    begun = perf_counter()
    hashes = sum(grinder.grind(bytes([block]), MEASURED_DIFFICULTY).hashes for block in range(MEASURED_BLOCKS))
    return hashes / (perf_counter() - begun)


def _resized(configuration: Configuration, members: int) -> tuple[ChainSection, ...]:
    """The chains, each microgrid with so many homes: the first ones, or more, which take the readings of these in turn."""
    if members < 1:
        raise ConfigurationError([f"-n {members}: expected at least 1 member"])
    taken = {*RESERVED, *ledger_node_names(configuration), *(chain.name for chain in configuration.chains)}
    taken |= {home.name for chain in configuration.chains for home in chain.homes}
    chains = []
    for chain in configuration.chains:
        if not chain.homes:
            chains.append(chain)
            continue
        homes = list(chain.homes[:members])
        for place in range(len(homes), members):
            name = _free_name(chain.name, place + 1, taken)
            homes.append(chain.homes[place % len(chain.homes)].model_copy(update={"name": name}))
        chains.append(chain.model_copy(update={"homes": tuple(homes), "committee_size": None}))
    return tuple(chains)


def _free_name(chain: str, first: int, taken: set[str]) -> str:
    """A name for another home of the chain, from this number on."""
    names = (f"{chain[:NAME_HEAD]}-{number}" for number in count(first))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name
