"""A scenario made ready to run: from a checked configuration to chains, hosts and a simulated runtime.

Everything that is dealt is dealt from the scenario's seed by name: keys, contract seed, streams. So a simulated and a live
run of one scenario have the same identities, and the contracts draw the same prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx

from ledger.access import AccessMessage, LedgerClient
from ledger.access_server import LedgerServer
from ledger.issuing import PowFound, PowNeeded
from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Frozen, digest
from ledger.kernel.identity import PublicKey, Signer, deal_signer, verifier
from ledger.kernel.instant import DAY, MINUTE, Duration, Instant
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import stream
from ledger.kernel.threshold import ThresholdKey, deal_threshold_keys
from ledger.output import AnchorOutput, OutputId, chain_id
from ledger.pow import Grinder, ModelGrinder, RealGrinder
from ledger.profile import PROFILES, Profile, adapted
from ledger.tangle import Tangle, TangleMessage
from ledger.utxo import GenesisLedger
from market.auction import Auction
from market.bidders.bidder import Bidder
from market.bidders.favourable import FavourableBidder
from market.bidders.paper import PaperBidder
from market.clearing import FullMatch
from market.hierarchy import AUCTION, market_places
from market.learning import CorrectedAlgorithm, CorrectedEquations, PrintedAlgorithm, PrintedEquations
from market.meter import Meter, NoisyForecast
from market.parameters import Home, MarketParameters, MarketPlace
from market.prosumer import Prosumer
from market.units import Tariff, price_of
from node.configuration import UTILITY, Configuration, ConfigurationError
from node.experiments.data import HomeData, HouseholdSeries, load_households, worst_day
from node.experiments.plan import ChainPlan, Plan, plan_of
from node.hardware import HardwareProfile, read_hardware, shipped_hardware
from node.host import Household, LedgerHost, records_of
from node.shipped import shipped
from node.simulated.clock import SkewedClock
from node.simulated.delays import (
    ConstantDelay,
    DelayModel,
    LogNormalDelay,
    NormalDelay,
    UniformDelay,
    read_delay_table,
    shipped_delay_table,
)
from node.simulated.disk import DiskParameters
from node.simulated.effects import Effect, hashing_time
from node.simulated.faults import Crash, Heal, Partition, Pause, Restart, ScheduledFault
from node.simulated.machine import Boot, HostFactory
from node.simulated.network import NetworkParameters
from node.simulated.runtime import Observer, SimulatedRuntime
from node.wire import Wire
from wasp.anchoring import committee_address
from wasp.chain import Chain
from wasp.chain_block import ChainBlock, state_metadata_of
from wasp.chain_interface import BlockExecutionNeeded, ChainParameters
from wasp.chain_view import ViewMessage
from wasp.committee import Committee
from wasp.committee_log import CommitteeLogMessage, RecoveryTimes
from wasp.consensus.consensus import ConsensusMessage
from wasp.core_contracts.accounts import total_of
from wasp.mempool import MempoolMessage
from wasp.publishing import PublicationTimes
from wasp.state import State
from wasp.vm.execution import Execution, execute
from wasp.vm.genesis import genesis, genesis_block
from wasp.vm.program import Program

WARM_UP: Duration = MINUTE
"""Before the first market opens: chains find their first log index, clients their layer-1 hosts."""
PARENT_FUNDS = 1_000_000
"""Micro-pence of the utility on a parent chain: it lends one with each surplus that goes up."""
HostMessage = TangleMessage | AccessMessage | CommitteeLogMessage | MempoolMessage | ViewMessage | ConsensusMessage
"""All messages between hosts."""


class ChainSetup(Frozen):
    """What all members of a chain share."""

    plan: ChainPlan
    committee: Committee
    program: Program
    state: State
    block: ChainBlock
    anchor: tuple[OutputId, AnchorOutput]
    keys: tuple[ThresholdKey, ...]


class Scenario:
    """A configuration made ready.

    Errors: ``ConfigurationError`` for what only shows when files are read and parts are put together.
    """

    def __init__(self, configuration: Configuration, folder: Path) -> None:
        self.configuration = configuration
        self.seed = configuration.scenario.seed
        self.network = configuration.scenario.name
        self.folder = folder
        self.plan: Plan = plan_of(configuration)
        crypto = configuration.scenario.crypto
        self.signers: dict[NodeId, Signer] = {
            host: deal_signer(crypto, self.seed, "host", host) for host in self.plan.hosts
        }
        self.verifier = verifier(crypto)
        try:
            self.profile = _ledger_profile(configuration)
            self.hardware = _hardware(configuration, folder)
            self.market = self._market()
            self.series = self._series()
            self.places = self._places()
            self.chains = self._chains()
        except (Rejected, ValueError) as error:
            raise ConfigurationError([str(error)]) from None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legal and probably not meant."""
        return (*self.plan.warnings(), *self.market.warnings(self.profile.confirmation_expected))

    @property
    def end(self) -> Instant:
        """When the last interval is metered."""
        return self.market.metering_at(self.market.intervals - 1)

    @property
    def supply(self) -> int:
        """All tokens there are."""
        return sum(setup.anchor[1].amount for setup in self.chains.values())

    # ------------------------------------------------------------------------------------------------------ the market

    def _market(self) -> MarketParameters:
        section = self.configuration.market
        levels = 1 + max(chain.level for chain in self.plan.chains.values())
        opening = section.opening
        return MarketParameters(
            first_delivery=max(section.interval, opening + WARM_UP),
            interval_length=section.interval,
            intervals=self.configuration.scenario.intervals,
            opening=opening,
            round_length=section.round_length,
            rounds=section.rounds,
            gates=tuple(section.gate - level * section.gate_step for level in range(levels)),
            tariff=Tariff(price_of(str(section.grid_buy_price)), price_of(str(section.grid_sell_price))),
            contract_seed=digest("contract seed", self.seed),
            mechanism=FullMatch(section.price_rule),
            bidder=_bidder(self.configuration),
            delegated_rounds=section.delegated_rounds,
            tolerance=section.price_tolerance,
            reading_grace=section.reading_grace,
            debt_max=section.debt_max,
        )

    def _data_path(self) -> Path:
        """The data file: beside the configuration, else among the shipped files."""
        file = self.configuration.data.file
        beside = self.folder / file
        return beside if beside.exists() or not shipped(file).exists() else shipped(file)

    def _series(self) -> dict[str, HouseholdSeries]:
        section, interval = self.configuration.data, self.configuration.market.interval
        if section.step % interval:
            raise ConfigurationError(
                [
                    f"market.interval: {interval} us does not divide data.step, {section.step} us: expected a whole fraction"
                ]
            )
        homes = {}
        for home in self.plan.homes:
            if home.generation_shift % section.step:
                raise ConfigurationError([f"home {home.name!r}: its generation_shift is no multiple of data.step"])
            homes[home.name] = HomeData(home.data, home.generation_shift // section.step)
        return load_households(
            self._data_path(), section, homes, self.configuration.scenario.intervals, section.step // interval
        )

    def _places(self) -> dict[str, MarketPlace]:
        connection = self.configuration.market.connection
        homes = {
            chain.name: tuple(Home(home.name, connection) for home in chain.homes)
            for chain in self.plan.chains.values()
            if chain.homes
        }
        return market_places({chain.name: chain.parent for chain in self.plan.chains.values()}, homes, UTILITY)

    # ------------------------------------------------------------------------------------------------------ the chains

    def _chains(self) -> dict[str, ChainSetup]:
        setups: dict[str, ChainSetup] = {}
        prepared = {name: self._prepared(chain) for name, chain in self.plan.chains.items()}
        genesis_outputs = [anchor for _, _, _, anchor in prepared.values()]
        self.genesis_ledger = GenesisLedger(self.network, tuple(genesis_outputs))
        for place, (name, (committee, program, state, anchor)) in enumerate(prepared.items()):
            keys = deal_threshold_keys(self.seed, name, committee.n, committee.some_correct)
            setups[name] = ChainSetup(
                self.plan.chains[name],
                committee,
                program,
                state,
                genesis_block(program, state),
                (self.genesis_ledger.output_id(place), anchor),
                keys,
            )
        return setups

    def _prepared(self, chain: ChainPlan) -> tuple[Committee, Program, State, AnchorOutput]:
        committee = Committee(chain.members, [self.signers[member].public_key for member in chain.members])
        relatives = [*chain.children, *([chain.parent] if chain.parent else [])]
        program = Program(
            self.network,
            chain.name,
            {AUCTION: Auction(self.market, self.places[chain.name])},
            self.market.contract_seed,
            {name: chain_id(self.network, name) for name in relatives},
            {self.signers[NodeId(home.name)].public_key: home.name for home in chain.homes},
            committee=chain.members,
        )
        balances = self._funds(chain)
        state = genesis(program, balances, dict.fromkeys(balances, (AUCTION,)))
        block = genesis_block(program, state)
        anchor = AnchorOutput(total_of(state), program.id, 0, state_metadata_of(block), committee_address(committee))
        return committee, program, state, anchor

    def _funds(self, chain: ChainPlan) -> dict[str, int]:
        """Genesis funds: so many days at the data's worst day at the main grid's price; the utility the same per home."""
        if not chain.homes:
            return {UTILITY: PARENT_FUNDS}
        section = self.configuration.data
        days, rows = self.configuration.market.funds_days, max(1, DAY // section.step)
        price = self.market.tariff.buy_price
        funds = {
            home.name: days * price * worst_day(self._data_path(), section, home.data, rows) for home in chain.homes
        }
        return {**funds, UTILITY: sum(funds.values())}

    # ------------------------------------------------------------------------------------------------------- the hosts

    def hosts(self) -> dict[NodeId, HostFactory]:
        """How each host is built, at its first start and at every restart."""
        neighbours = _neighbours(self.configuration, self.plan.ledger_nodes, self.seed)
        hosts: dict[NodeId, HostFactory] = {}
        for node in self.plan.ledger_nodes:
            hosts[node] = partial(self._boot_ledger_host, node, neighbours[node])
        for i, home in enumerate(self.plan.homes):
            server = self.plan.ledger_nodes[i % len(self.plan.ledger_nodes)]
            hosts[NodeId(home.name)] = partial(self._boot_household, NodeId(home.name), home.chain, server)
        return hosts

    def _boot_ledger_host(self, node: NodeId, neighbours: tuple[NodeId, ...], boot: Boot) -> LedgerHost:
        names: dict[PublicKey, NodeId] = {self.signers[name].public_key: name for name in self.plan.ledger_nodes}
        tangle = Tangle(
            node,
            boot.meter.signer(self.signers[node]),
            boot.meter.verifier(self.verifier),
            neighbours,
            dict.fromkeys(names, 1),
            self.profile,
            self.genesis_ledger,
            self.grinder(node),
            stream(self.seed, "tangle", node, boot.incarnation),
            names,
        )
        if boot.records:
            tangle.restore([record.value for record in boot.records], boot.now)  # type: ignore[misc]
        return LedgerHost(tangle, LedgerServer(node, tangle.ledger))

    def _boot_household(self, node: NodeId, home_chain: str, server: NodeId, boot: Boot) -> Household:
        chains = [self._boot_chain(node, self.chains[chain.name], boot) for chain in self.plan.memberships(node)]
        client = LedgerClient(node, server, tuple(chain.id for chain in chains))
        prosumer = None
        if chains and chains[0].name == home_chain:
            series = self.series[node]
            deviation = round(self.configuration.data.forecast_error * 1_000_000)
            forecast = NoisyForecast(deviation, digest("forecasts", self.seed))
            meter = Meter(node, self.configuration.market.connection, series.load, series.generation, forecast)
            signer = boot.meter.signer(self.signers[node])
            prosumer = Prosumer(self.market, self.places[home_chain], meter, signer)
        return Household(client, chains, prosumer, node, partial(self._execute, boot))

    def _boot_chain(self, node: NodeId, setup: ChainSetup, boot: Boot) -> Chain:
        name = setup.plan.name
        return Chain.restore(
            records_of(boot.records, name),
            name,
            self.network,
            setup.committee,
            node,
            boot.meter.signer(self.signers[node]),
            boot.meter.verifier(self.verifier),
            boot.meter.threshold_key(setup.keys[setup.committee.index[node]]),
            setup.program,
            setup.block,
            setup.state,
            setup.anchor,
            self._chain_parameters(),
            stream(self.seed, "chain", name, node, boot.incarnation),
        )

    def _chain_parameters(self) -> ChainParameters:
        section = self.configuration.consensus
        return ChainParameters(
            unconfirmed_anchors_max=section.unconfirmed_anchors_max,
            batch_delay=section.batch_delay,
            protocol=section.protocol,
            recovery=RecoveryTimes(
                section.recovery_timeout, max(section.recovery_timeout, RecoveryTimes().timeout_max)
            ),
            publication=PublicationTimes(section.publish_delay, section.reattach_after),
        )

    def _execute(self, boot: Boot, need: BlockExecutionNeeded) -> Execution | None:
        """Execute a batch at once; its gas is charged to the host's CPU."""
        program = self.chains[need.chain].program
        execution = execute(
            program, need.state, need.previous, need.base, need.log_index, need.timestamp, need.requests, need.entropy
        )
        if execution is not None:
            boot.meter.charge("gas", execution.gas + execution.transition_gas)
        return execution

    def grinder(self, node: NodeId) -> Grinder:
        """The node's way to find nonces."""
        if self.configuration.ledger.pow == "ground":
            return RealGrinder()
        return ModelGrinder(stream(self.seed, "proof of work", node))

    # ----------------------------------------------------------------------------------------------------- the runtime

    def runtime(self, observer: Observer) -> SimulatedRuntime:
        """The simulated runtime of all hosts, booted and not yet run."""
        section = self.configuration.hardware
        hosts = self.hosts()
        skew = section.clock_skew
        skews = {host: SkewedClock(stream(self.seed, "clock", host).randint(-skew, skew)) for host in hosts if skew}
        grinders = {node: self.grinder(node) for node in self.plan.ledger_nodes}
        try:
            network = _network(self.configuration, tuple(hosts), self.folder, self.hardware)
        except Rejected as error:
            raise ConfigurationError([str(error)]) from None
        return SimulatedRuntime(
            self.seed,
            hosts,
            network,
            Wire(HostMessage),
            hardware=self.hardware if section.cpu else None,
            disk=DiskParameters(self.hardware.fsync, self.hardware.disk_rate) if section.disk else None,
            effects={PowNeeded: partial(_find_nonce, grinders, self.hardware.hash_rate)},
            observer=observer,
            faults=self._faults(),
            skews=skews,
            codec="sample",
        )

    def _faults(self) -> tuple[ScheduledFault, ...]:
        faults: list[ScheduledFault] = []
        for i, section in enumerate(self.configuration.faults):
            named = {*section.nodes, *(node for group in section.groups for node in group)}
            strangers = sorted(named - set(self.plan.hosts))
            if strangers:
                raise ConfigurationError(
                    [f"faults[{i}]: {strangers[0]!r} is no host; expected one of the homes or tangle1..."]
                )
            nodes = [NodeId(node) for node in section.nodes]
            match section.kind:
                case "crash":
                    faults += [Crash(section.at, node) for node in nodes]
                case "restart":
                    faults += [Restart(section.at, node) for node in nodes]
                case "pause":
                    faults += [Pause(section.at, node, section.duration) for node in nodes]
                case "partition":
                    faults.append(Partition(section.at, tuple(tuple(map(NodeId, group)) for group in section.groups)))
                case "heal":
                    faults.append(Heal(section.at))
        return tuple(faults)


def _find_nonce(grinders: Mapping[NodeId, Grinder], hash_rate: int, node: NodeId, need: PowNeeded, _: Any) -> Effect:
    work = grinders[node].grind(need.data, need.difficulty)
    return Effect(PowFound(need.id, work.nonce), hashing_time(work.hashes, hash_rate), mines=True)


def _bidder(configuration: Configuration) -> Bidder:
    section = configuration.market
    if section.bidder == "favourable":
        return FavourableBidder()
    return PaperBidder(
        CorrectedEquations() if section.equations == "corrected" else PrintedEquations(),
        CorrectedAlgorithm() if section.learning == "corrected" else PrintedAlgorithm(),
    )


def _ledger_profile(configuration: Configuration) -> Profile:
    section = configuration.ledger
    changes: dict[str, Any] = {}
    if section.pow_difficulty is not None:
        changes["pow_difficulty"] = section.pow_difficulty
    if section.pow_rate is not None:
        changes["pow_rate_thousandths"] = round(section.pow_rate * 1000)
    if section.pow_window is not None:
        changes["pow_window"] = section.pow_window
    if section.profile not in PROFILES:
        raise ConfigurationError(
            [f"ledger.profile: no profile is named {section.profile!r}; known are {', '.join(sorted(PROFILES))}"]
        )
    return adapted(PROFILES[section.profile], **changes)


def _hardware(configuration: Configuration, folder: Path) -> HardwareProfile:
    """A shipped profile by its name, or a file of one's own beside the configuration."""
    name = configuration.hardware.profile
    return read_hardware(folder / name) if name.endswith(".toml") else shipped_hardware(name)


def _neighbours(configuration: Configuration, nodes: tuple[NodeId, ...], seed: int) -> dict[NodeId, tuple[NodeId, ...]]:
    """Who gossips with whom on layer 1."""
    section, n = configuration.ledger, len(nodes)
    match section.topology:
        case "complete":
            graph = nx.complete_graph(n)
        case "ring":
            graph = nx.cycle_graph(n)
        case "watts-strogatz":
            rng = stream(seed, "topology")
            graph = nx.connected_watts_strogatz_graph(n, min(section.neighbours, n - 1), section.rewiring, seed=rng)
        case edges:
            graph = nx.Graph()
            graph.add_nodes_from(range(n))
            graph.add_edges_from((a - 1, b - 1) for a, b in edges)
            if graph.number_of_nodes() != n or not nx.is_connected(graph):
                raise ConfigurationError([f"ledger.topology: expected edges that connect the nodes 1 to {n}"])
    return {nodes[i]: tuple(nodes[j] for j in sorted(graph[i]) if j != i) for i in range(n)}


def _network(
    configuration: Configuration, hosts: tuple[NodeId, ...], folder: Path, hardware: HardwareProfile
) -> NetworkParameters:
    section = configuration.network
    return NetworkParameters(
        _delay_model(configuration, hosts, folder),
        loss=section.loss,
        duplication=section.duplication,
        bandwidth=section.bandwidth or (hardware.bandwidth if configuration.hardware.cpu else None),
        grid=section.grid,
    )


def _delay_model(configuration: Configuration, hosts: tuple[NodeId, ...], folder: Path) -> DelayModel:
    section = configuration.network
    match section.model:
        case "constant":
            return ConstantDelay(section.delay)
        case "uniform":
            return UniformDelay(max(0, section.delay - section.jitter), section.delay + section.jitter)
        case "normal":
            return NormalDelay(section.delay, section.jitter, section.grid)
        case "lognormal":
            return LogNormalDelay(section.delay, section.jitter / max(1, section.delay))
        case "matrix":
            name = section.matrix or "aws-regions"
            table = read_delay_table(folder / name) if name.endswith(".csv") else shipped_delay_table(name)
            regions = section.placement or table.regions
            placement = {host: regions[i % len(regions)] for i, host in enumerate(hosts)}
            return table.place(hosts, placement, section.jitter * 1_000_000 // max(1, section.delay))
