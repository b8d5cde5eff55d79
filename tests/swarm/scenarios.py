"""Random scenarios: one seed, one configuration file with its data, as a person could have written them.

What is drawn: the tree of chains, homes and their readings, the timetable, the market's rules, layer 1, the committees'
times, the network, clocks, and what goes wrong when. Everything is legal; what breaks is over by the end of the last
interval, unless a chain is meant to be down for good. So a run has a plain verdict: all is settled, or what is not is
held by chains that are down.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from ledger.kernel.encoding import Frozen
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream
from node.configuration import Configuration
from node.plan import Plan, plan_of
from node.simulated.faults import ClockSkew, Crash, LinkChange, Restart, ScheduledFault, SlowCpu

HOMES_MAX = 12
"""Homes of one scenario: a run takes seconds."""
LEAVES_MAX = 6
MINUTE = 60
HEALED = ("calm", "minority", "any", "all at once", "layer 1", "pauses", "partitions", "mixed")
STORIES = (*HEALED, "minority", "any", "mixed", "dead node", "offline", "dead")
"""What goes wrong; only the last three for good, and of these only the last two cost a chain its life."""
Outage = tuple[float, float, str]
"""From when until when, in seconds, a host is down."""


class Life(Frozen):
    """One drawn scenario."""

    seed: int
    story: str
    text: str
    readings: str
    funds_per_mille: int
    """Of the genesis funds that the configuration gives: homes that can't pay."""
    beside: tuple[ScheduledFault, ...]
    """What no configuration can say: torn writes, bad links, slow machines, clocks that drift."""


class _Chain:
    def __init__(self, name: str, parent: str | None, depth: int) -> None:
        self.name = name
        self.parent = parent
        self.depth = depth
        self.homes: list[str] = []
        self.offline = False
        self.size: int | None = None

    @property
    def text(self) -> str:
        lines = ["\n[[chains]]", f'name = "{self.name}"']
        if self.parent:
            lines.append(f'parent = "{self.parent}"')
        if self.homes:
            lines.append("homes = [" + ", ".join(f'"{home}"' for home in self.homes) + "]")
        if self.size:
            lines.append(f"committee_size = {self.size}")
        if self.offline:
            lines.append("offline = true")
        return "\n".join(lines)


def draw(seed: int) -> Life:
    """The scenario of this seed."""
    rng = stream(seed, "swarm")
    chains = _tree(rng)
    story = rng.choice(STORIES)
    if story == "offline":
        rng.choice([chain for chain in chains if not chain.homes] or chains).offline = True
    minutes, intervals = rng.choice([10, 10, 12, 15, 1, 2]), rng.choice([1, 1, 2, 2, 3])
    if minutes <= 2:
        intervals = rng.choice([4, 8, 55]) if sum(len(chain.homes) for chain in chains) <= 4 else 4
    parts = rng.choice([1, 1, 1, 2, 3])
    levels = 1 + max(chain.depth for chain in chains)
    connection = rng.choice([25_000, 25_000, 25_000, 1, 1_000, 10**9])
    homes = [home for chain in chains for home in chain.homes]
    readings = _readings(rng, homes, -(-intervals // parts), connection)
    nodes = 4 if story == "dead node" else rng.choice([1, 2, 3, 4, 4, 5])
    text = "\n".join(
        [
            f'[scenario]\nname = "swarm{seed}"\nseed = {seed}\nintervals = {intervals}\ndrain_max = "40m"',
            f'crypto = "{"real" if len(homes) < 7 and rng.random() < 0.1 else "model"}"',
            f'\n[data]\nfile = "readings.csv"\nstep = "{minutes * parts}m"',
            f'forecast = "{rng.choice(["noisy", "noisy", "perfect", "persistence"])}"',
            f"forecast_error = {rng.choice([0.0, 0.1, 0.5, 2.0])}",
            _market(rng, minutes * MINUTE, levels, connection),
            *(chain.text for chain in chains),
            _layer1(rng, nodes),
            _surroundings(rng),
        ]
    )
    plan = plan_of(Configuration.model_validate(tomllib.loads(text)))
    span = (intervals + 1) * minutes * MINUTE
    text += "".join(_faults(rng, story, plan, span))
    per_mille = rng.choice([1000, 1000, 1000, 1000, 300, 20, 0])
    beside = tuple(_beside(rng, plan, span)) if "crash" in text and story != "dead" and rng.random() < 0.5 else ()
    return Life(seed, story, text + "\n", readings, per_mille, beside)


def write(life: Life, folder: Path) -> Path:
    """The scenario's file, beside its data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "readings.csv").write_text(life.readings)
    path = folder / "scenario.toml"
    path.write_text(f"# {life.story}; funds: {life.funds_per_mille} per mille; {life.beside}\n{life.text}")
    return path


# ------------------------------------------------------------------------------------------------- homes and the market


def _tree(rng: Random) -> list[_Chain]:
    depth = rng.choice([0, 1, 1, 1, 2, 2, 3])
    chains = [_Chain("c0", None, depth)]
    waiting, leaves = list(chains), []
    while waiting:
        parent = waiting.pop(0)
        if not parent.depth:
            leaves.append(parent)
            continue
        for child in range(rng.choice([1, 2, 2, 3, 3, 6])):
            if child and len(leaves) + len(waiting) >= LEAVES_MAX:
                break
            below = parent.depth - 1 if child == 0 else rng.randrange(parent.depth)
            chains.append(_Chain(f"c{len(chains)}", parent.name, below))
            waiting.append(chains[-1])
        if rng.random() < 0.5:
            parent.size = rng.randint(1, 7)
    count = 0
    for leaf in leaves:
        most = min(5, max(1, HOMES_MAX // len(leaves))) if len(leaves) > 1 else 7
        wanted = rng.choice([most, most, rng.randint(1, most)])
        leaf.homes = [f"h{count + i}" for i in range(wanted)]
        count += wanted
    return chains


def _readings(rng: Random, homes: Sequence[str], intervals: int, connection: int) -> str:
    """A few rows of Wh: zeros, one-sided, equal, and as much as the connection carries."""
    kinds = {home: rng.choice(["any", "any", "any", "producer", "consumer", "zero", "full", "equal"]) for home in homes}
    if rng.random() < 0.15:
        kinds = dict.fromkeys(homes, rng.choice(["zero", "producer", "consumer", "full", "equal"]))
    lines = [",".join(f"{home}.load_wh,{home}.generation_wh" for home in homes)]
    lines += [",".join(_reading(rng, kinds[home], connection) for home in homes) for _ in range(intervals)]
    return "\n".join(lines) + "\n"


def _reading(rng: Random, kind: str, connection: int) -> str:
    match kind:
        case "producer":
            return f"0,{rng.randint(0, connection)}"
        case "consumer":
            return f"{rng.randint(0, connection)},0"
        case "zero":
            return "0,0"
        case "full":
            return rng.choice([f"{connection},0", f"0,{connection}"])
        case "equal":
            return rng.choice([f"{min(connection, 500)},0", f"0,{min(connection, 500)}"])
        case _:
            return f"{rng.randint(0, connection)},{rng.choice([0, rng.randint(0, connection)])}"


def _market(rng: Random, interval: int, levels: int, connection: int) -> str:
    """A legal timetable, in seconds."""
    shortest, longest = 1, 0
    while shortest > longest:
        step, last = rng.choice([5, 15, 40, 60]), rng.choice([0, 0, 1, 30])
        gate = last + (levels - 1) * step
        rounds, length = rng.choice([1, 1, 2, 3, 5]), rng.choice([1, 5, 15, 20])
        shortest, longest = gate + rounds * length, interval + last
    opening = rng.randint(shortest, longest)
    buy, sell = rng.choice([(18.9, 3.2), (18.9, 3.2), (0.002, 0), (100_000, 0), (5.003, 5.001)])
    return "\n".join(
        [
            f'\n[market]\ngrid_charges = {buy}\ngrid_pays = {sell}\ninterval = "{interval}s"',
            f'opening = "{opening}s"\ngate = "{gate}s"\ngate_step = "{step}s"',
            f'rounds = {rounds}\nround_length = "{length}s"\ndelegated_rounds = {rng.choice([1, 2, 10, 20])}',
            f'reading_grace = "{rng.choice([1, 5, 30, 120])}s"\nconnection = {connection}',
            f'price_rule = "{rng.choice(["competitive", "marginal_pair"])}"',
            f'bidder = "{rng.choice(["paper", "paper", "favourable"])}"',
            f'equations = "{rng.choice(["corrected", "corrected", "as_printed"])}"',
            f'learning = "{rng.choice(["corrected", "corrected", "as_printed"])}"',
            f"price_tolerance = {rng.choice([0, 0, 1, 1000])}",
            f"funds_days = {1 if connection == 10**9 else rng.choice([1, 1, 2, 400])}",
            f"debt_max = {rng.choice([0, 1000, 10**10])}",
        ]
    )


# ------------------------------------------------------------------------------------------------------- the machines


def _layer1(rng: Random, nodes: int) -> str:
    lines = [f"\n\n[ledger]\nnodes = {nodes}"]
    topologies = ["complete", "complete", "ring", "watts-strogatz"] if nodes in (3, 5) else ["complete", "ring"]
    lines.append(f'topology = "{rng.choice(topologies)}"\nneighbours = 2')
    if rng.random() < 0.08:
        lines.append(f'pow = "ground"\npow_difficulty = {rng.randint(0, 8)}')
    else:
        lines.append(
            f"pow_difficulty = {rng.choice([0, 10, 18, 20, 21, 22])}\npow_rate = {rng.choice([0.0, 0.1, 0.2])}"
        )
    lines.append(
        f'\n[consensus]\nbatch_delay = "{rng.choice([0, 100, 500, 2000])}ms"\n'
        f'gather_delay = "{rng.choice([0, 100, 300])}ms"\npublish_delay = "{rng.choice([200, 1000, 5000])}ms"\n'
        f'reattach_after = "{rng.choice([5, 20])}s"\nrecovery_timeout = "{rng.choice([2, 5, 20])}s"\n'
        f"unconfirmed_anchors_max = {rng.choice([1, 1, 2, 3, 8, 32])}"
    )
    return "\n".join(lines)


def _surroundings(rng: Random) -> str:
    delay = rng.choice([5, 5, 25, 25, 25, 25, 80, 80, 80, 150, 150, 300, 300, 2000])
    lossy = rng.random() < 0.5
    return "\n".join(
        [
            f'\n[network]\nmodel = "{rng.choice(["constant", "uniform", "normal", "lognormal", "matrix"])}"',
            *rng.choice([[], [], [], ["bandwidth = 10_000_000"], ["bandwidth = 100_000_000"]]),
            f'delay = "{delay}ms"\njitter = "{rng.choice([0, delay // 5, delay])}ms"',
            f"loss = {rng.choice([0.0, 0.01, 0.05, 0.1]) if lossy else 0.0}",
            f"duplication = {rng.choice([0.0, 0.01, 0.1]) if lossy else 0.0}",
            f'\n[hardware]\nprofile = "{rng.choice(["laptop", "laptop", "raspberry-pi-4"])}"',
            f"cpu = {rng.choice(['true', 'true', 'false'])}\ndisk = {rng.choice(['true', 'true', 'false'])}",
            f'clock_skew = "{rng.choice([0, 0, 10, 200, 2000])}ms"\n',
        ]
    )


# -------------------------------------------------------------------------------------------------------- what goes wrong


def _faults(rng: Random, story: str, plan: Plan, span: int) -> Iterator[str]:
    """The fault schedule of a story over so many seconds."""
    homes = [home.name for home in plan.homes]
    kinds = rng.sample(HEALED[1:], 3) if story == "mixed" else [story]
    for kind in kinds:
        match kind:
            case "minority":
                yield from _down(_of_minorities(plan, _outages(rng, homes, span, rng.randint(1, 12))))
            case "any":
                yield from _down(_outages(rng, homes, span, rng.randint(1, 12)))
            case "layer 1":
                yield from _down(_outages(rng, plan.ledger_nodes, span, rng.randint(1, 5)))
            case "dead node" if len(plan.ledger_nodes) == 4:  # the others are connected, and weigh enough
                yield _fault(rng.uniform(0, span), "crash", f'nodes = ["{rng.choice(plan.ledger_nodes)}"]')
            case "all at once":
                at, rest = rng.uniform(0, span), rng.uniform(0, 120)
                hosts = homes if rng.random() < 0.5 else list(plan.hosts)
                yield from _down([(at, min(span, at + rng.uniform(0, rest)), host) for host in hosts])
            case "pauses":
                for _ in range(rng.randint(1, 6)):
                    at, length = rng.uniform(0, span), rng.choice([1, 10, 60])
                    node = rng.choice(plan.hosts)
                    yield _fault(min(at, span - length), "pause", f'nodes = ["{node}"]\nduration = "{length}s"')
            case "partitions":
                yield from _partitions(rng, plan.hosts, span)
            case "dead":
                chain = rng.choice(list(plan.chains.values()))
                dead = rng.sample(chain.members, rng.randint(max_faulty(len(chain.members)) + 1, len(chain.members)))
                at = rng.uniform(0, span)
                for node in dead:
                    yield _fault(at, "crash", f'nodes = ["{node}"]')
            case _:
                pass


def _outages(rng: Random, hosts: Sequence[str], span: int, count: int) -> list[Outage]:
    """Some hosts, each down for a while."""
    outages = []
    for _ in range(count):
        at = rng.uniform(0, span)
        outages.append((at, min(span, at + rng.choice([0.01, 1, 10, 100, 600]) * rng.random()), rng.choice(hosts)))
    return outages


def _of_minorities(plan: Plan, outages: Sequence[Outage]) -> list[Outage]:
    """As many of the outages as no chain minds."""
    kept: list[Outage] = []
    for outage in outages:
        holds = True
        for chain in plan.chains.values():
            beside = {
                host
                for start, end, host in kept
                if start <= outage[1] + 30 and outage[0] <= end + 30 and host in chain.members
            }
            too_many = len(beside | {outage[2]}) > max_faulty(len(chain.members))
            holds = holds and not (outage[2] in chain.members and too_many)
        if holds:
            kept.append(outage)
    return kept


def _down(outages: Sequence[Outage]) -> Iterator[str]:
    for start, end, host in outages:
        yield _fault(start, "crash", f'nodes = ["{host}"]')
        yield _fault(end, "restart", f'nodes = ["{host}"]')


def _partitions(rng: Random, hosts: Sequence[str], span: int) -> Iterator[str]:
    at = 0.0
    for _ in range(rng.randint(1, 3)):
        start = rng.uniform(at, span)
        at = min(span, start + rng.choice([1, 10, 60, 300]))
        groups: list[list[str]] = [[] for _ in range(rng.choice([2, 2, 3]))]
        for host in hosts:
            rng.choice(groups).append(host)
        told = ", ".join("[" + ", ".join(f'"{host}"' for host in group) + "]" for group in groups)
        yield _fault(start, "partition", f"groups = [{told}]")
        yield _fault(at, "heal", "")


def _fault(at: float, kind: str, more: str) -> str:
    return f'\n[[faults]]\nat = "{round(at * 1_000_000)}us"\nkind = "{kind}"\n{more}\n'


def _beside(rng: Random, plan: Plan, span: int) -> Iterator[ScheduledFault]:
    """Faults that need links that repeat what was lost, which a schedule with crashes has."""
    second, hosts = 1_000_000, plan.hosts
    for _ in range(rng.randint(1, 5)):
        at, node = rng.randrange(span * second), rng.choice(hosts)
        end = min(span * second, at + rng.randint(1, 120) * second)
        match rng.randrange(4):
            case 0:
                yield Crash(at, node, "torn")
                yield Restart(end, node)
            case 1:
                peers = tuple(rng.sample(hosts, rng.randint(1, len(hosts))))
                yield LinkChange(at, (node,), peers, rng.choice([0.0, 0.3, 1.0]), 0.2, rng.randint(0, 2 * second))
                yield LinkChange(end, (node,), peers)
            case 2:
                yield SlowCpu(at, node, rng.choice([300, 1000, 5000]))
                yield SlowCpu(end, node, 100)
            case _:
                yield ClockSkew(at, node, rng.randint(0, second), rng.choice([0, 100, 1000]))
