"""A scenario made ready to run: from a checked configuration and identities to chains and hosts, for every runtime.

What hosts agree on is a function of the configuration and of public identities: genesis, committees, the market, whose
draws come from the scenario's seed by name. So simulated and live hosts of one scenario draw the same prices. What is a
host's own comes from outside: its secrets with the identities, its randomness as ``Streams``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ledger.access import LedgerClient
from ledger.access_server import LedgerServer
from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Digest, Frozen, digest, digest_of
from ledger.kernel.identity import PublicKey
from ledger.kernel.instant import DAY, MINUTE, Duration, Instant, format_duration
from ledger.kernel.rng import Stream, stream
from ledger.output import AnchorOutput, OutputId, chain_id
from ledger.pow import Grinder, ModelGrinder, RealGrinder
from ledger.tangle import Tangle
from ledger.utxo import GenesisLedger
from market.auction import Auction
from market.bidders.bidder import Bidder
from market.bidders.favourable import FavourableBidder
from market.bidders.paper import PaperBidder
from market.clearing import FullMatch
from market.hierarchy import AUCTION, market_places
from market.learning import CorrectedAlgorithm, CorrectedEquations, PrintedAlgorithm, PrintedEquations
from market.meter import MILLION, Forecast, Meter, NoisyForecast, PerfectForecast, PersistenceForecast
from market.parameters import Home, MarketParameters, MarketPlace
from market.prosumer import Prosumer
from market.units import Tariff, price_of
from node.configuration import UTILITY, Configuration, ConfigurationError, FieldProblem
from node.environment import blaming, ledger_profile, neighbours_of
from node.host import Household, LedgerHost, records_of
from node.hosting import Boot, HostFactory
from node.household_data import HomeData, Households, load_households
from node.identities import Identities
from node.plan import ChainPlan, Plan, plan_of
from node.shipped import shipped
from wasp.chain import Chain
from wasp.chain_block import ChainBlock, state_metadata_of
from wasp.chain_interface import ChainBlockExecutionNeeded, ChainParameters
from wasp.committee import Committee
from wasp.committee_log import RecoveryTimes
from wasp.consensus.protocol_times import ProtocolTimes
from wasp.core_contracts.accounts import total_of
from wasp.core_contracts.governance import GOVERNANCE
from wasp.publishing import PublicationTimes
from wasp.signed_anchor import committee_address
from wasp.state import State
from wasp.vm.execution import Execution, execute
from wasp.vm.genesis import genesis, genesis_block
from wasp.vm.program import Program

WARM_UP: Duration = MINUTE
"""Before the first market opens: chains find their first log index, clients their layer-1 hosts."""
PARENT_FUNDS = 1_000_000
"""Micro-pence of the utility on a parent chain. It lends one with each surplus that goes up, at most one per interval,
however many children it has, and gets it back: enough for ten times the longest run, also if none came back.
"""
ANCHOR_FUNDS = 1
"""A token of every chain that no contract can send away: an anchor must keep one, so all the others can always leave."""
TOKENS_MAX = 2**63 - 1
"""Tokens on both layers: no account can ever have more than an integer of the encoding holds."""


Streams: TypeAlias = Callable[..., Stream]
"""A host's own randomness: the stream with a label of its name, purpose and incarnation."""


class ChainSetup(Frozen):
    """What all members of a chain share."""

    plan: ChainPlan
    committee: Committee
    program: Program
    state: State
    block: ChainBlock
    anchor: tuple[OutputId, AnchorOutput]


class Scenario:
    """A configuration made ready.

    Errors: ``ConfigurationError`` for what only shows when files are read and parts are put together.
    """

    def __init__(self, configuration: Configuration, folder: Path, identities: Identities, streams: Streams) -> None:
        self.configuration = configuration
        self.seed = configuration.scenario.seed
        self.network = configuration.scenario.name
        self.folder = folder
        self.plan: Plan = plan_of(configuration)
        self.identities = identities
        self._streams = streams
        self.profile = ledger_profile(configuration)
        with blaming("market"):
            self.market = self._market()
        self._households = self._read_households()
        self.series = self._households.series
        self.places = self._places()
        self.chains = self._chains()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legal and probably not meant."""
        return (
            *self.plan.warnings(),
            *self.market.warnings(self.profile.confirmation_expected),
            *self._households.warnings,
        )

    @property
    def genesis(self) -> Digest:
        """What tells two networks apart: the digest of all that layer 1 begins with, the committees' keys among it."""
        return digest_of(self.genesis_ledger)

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
        opening, length = section.opening, section.interval // self.configuration.scenario.speed_up
        gates = tuple(section.gate - level * section.gate_step for level in range(levels))
        self._check_speed_up(opening - gates[-1])
        return MarketParameters(
            first_delivery=first_opening(self.configuration) + opening,
            interval_length=length,
            intervals=self.configuration.scenario.intervals,
            opening=opening,
            round_length=section.round_length,
            rounds=section.rounds,
            gates=gates,
            tariff=Tariff(price_of(str(section.grid_charges)), price_of(str(section.grid_pays))),
            contract_seed=digest("contract seed", self.seed),
            mechanism=FullMatch(section.price_rule),
            bidder=_bidder(self.configuration),
            delegated_rounds=section.delegated_rounds,
            tolerance=section.price_tolerance,
            reading_grace=section.reading_grace,
            debt_max=section.debt_max,
        )

    def _check_speed_up(self, market: Duration) -> None:
        """The market of an interval, from its opening to its last gate, takes as long at any speed-up."""
        speed_up, interval = self.configuration.scenario.speed_up, self.configuration.market.interval
        if speed_up > 1 and market > interval // speed_up:
            found = (
                f"an interval of {format_duration(interval)} takes {format_duration(interval // speed_up)} at {speed_up}, "
                f"and its market {format_duration(market)} from the opening to the last gate: expected at most "
                f"{interval // market}, or a market that takes less"
            )
            raise ConfigurationError([FieldProblem(("scenario", "speed_up"), found)])

    def _data_path(self) -> Path:
        """The data file: beside the configuration, else among the shipped files."""
        file = self.configuration.data.file
        beside = self.folder / file
        return beside if beside.exists() or not shipped(file).exists() else shipped(file)

    def _read_households(self) -> Households:
        section, market = self.configuration.data, self.configuration.market
        homes = {home.name: HomeData(home.data, home.generation_shift // section.step) for home in self.plan.homes}
        intervals, parts = self.configuration.scenario.intervals, section.step // market.interval
        households = load_households(self._data_path(), section, homes, intervals, parts)
        for home, energies in households.series.items():
            for k, (load, generation) in enumerate(zip(energies.load, energies.generation, strict=True)):
                if abs(generation - load) > market.connection:
                    found = (
                        f"{home} has a net of {generation - load} Wh in interval {k}, at most {market.connection} expected: "
                        "raise market.connection, or check data.unit"
                    )
                    raise ConfigurationError([FieldProblem(("market", "connection"), found)])
        return households

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
        funds = {name: self._funds(chain) for name, chain in self.plan.chains.items()}
        tokens = sum(ANCHOR_FUNDS + sum(balances.values()) for balances in funds.values())
        if tokens > TOKENS_MAX:
            found = f"the genesis funds of all accounts are {tokens} micro-pence, expected at most {TOKENS_MAX}"
            raise ConfigurationError([FieldProblem(("market", "funds_days"), found)])
        prepared = {name: self._prepared(chain, funds[name]) for name, chain in self.plan.chains.items()}
        genesis_outputs = [anchor for *_, anchor in prepared.values()]
        self.genesis_ledger = GenesisLedger(self.network, tuple(genesis_outputs))
        for place, (name, (committee, program, state, anchor)) in enumerate(prepared.items()):
            setups[name] = ChainSetup(
                self.plan.chains[name],
                committee,
                program,
                state,
                genesis_block(program, state),
                (self.genesis_ledger.output_id(place), anchor),
            )
        return setups

    def _prepared(self, chain: ChainPlan, funds: dict[str, int]) -> tuple[Committee, Program, State, AnchorOutput]:
        public_key = self.identities.public_key
        committee = Committee(
            chain.members, [public_key(member) for member in chain.members], self.identities.group_key(chain.name)
        )
        relatives = [*chain.children, *([chain.parent] if chain.parent else [])]
        program = Program(
            self.network,
            chain.name,
            {AUCTION: Auction(self.market, self.places[chain.name])},
            self.market.contract_seed,
            {name: chain_id(self.network, name) for name in relatives},
            {public_key(NodeId(home.name)): home.name for home in chain.homes},
            committee=chain.members,
        )
        state = genesis(program, {**funds, GOVERNANCE: ANCHOR_FUNDS}, dict.fromkeys(funds, (AUCTION,)))
        block = genesis_block(program, state)
        anchor = AnchorOutput(total_of(state), program.id, 0, state_metadata_of(block), committee_address(committee))
        return committee, program, state, anchor

    def _funds(self, chain: ChainPlan) -> dict[str, int]:
        """Genesis funds: so many days at the data's worst day at the main grid's price; the utility the same per home."""
        if not chain.homes:
            return {UTILITY: PARENT_FUNDS}
        worth = self.configuration.market.funds_days * self.market.tariff.buy_price
        funds = {home.name: worth * self.series[home.name].worst_day for home in chain.homes}
        return {**funds, UTILITY: sum(funds.values())}

    # ------------------------------------------------------------------------------------------------------- the hosts

    def hosts(self) -> dict[NodeId, HostFactory]:
        """How each host is built, at its first start and at every restart."""
        neighbours = neighbours_of(self.configuration, self.plan.ledger_nodes, self.seed)
        hosts: dict[NodeId, HostFactory] = {}
        for node in self.plan.ledger_nodes:
            hosts[node] = partial(self._boot_ledger_host, node, neighbours[node])
        for i, home in enumerate(self.plan.homes):
            nearest = i % len(self.plan.ledger_nodes)
            servers = (*self.plan.ledger_nodes[nearest:], *self.plan.ledger_nodes[:nearest])
            hosts[NodeId(home.name)] = partial(self._boot_household, NodeId(home.name), home.chain, servers)
        return hosts

    def _boot_ledger_host(self, node: NodeId, neighbours: tuple[NodeId, ...], boot: Boot) -> LedgerHost:
        names: dict[PublicKey, NodeId] = {self.identities.public_key(name): name for name in self.plan.ledger_nodes}
        tangle = Tangle(
            node,
            boot.meter.signer(self.identities.signer(node)),
            boot.meter.verifier(self.identities.verifier),
            neighbours,
            dict.fromkeys(names, 1),
            self.profile,
            self.genesis_ledger,
            self._grinder(node),
            self._streams("tangle", node, boot.incarnation),
            names,
        )
        if boot.records:
            tangle.restore([record.value for record in boot.records], boot.now)  # type: ignore[misc]
        return LedgerHost(tangle, LedgerServer(node, tangle.ledger))

    def _boot_household(self, node: NodeId, home_chain: str, servers: tuple[NodeId, ...], boot: Boot) -> Household:
        chains = [self._boot_chain(node, self.chains[chain.name], boot) for chain in self.plan.memberships(node)]
        client = LedgerClient(node, servers, tuple(chain.id for chain in chains))
        prosumer = None
        if chains and chains[0].name == home_chain:
            series = self.series[node]
            forecast = _forecast(self.configuration, self.seed)
            meter = Meter(node, self.configuration.market.connection, series.load, series.generation, forecast)
            signer = boot.meter.signer(self.identities.signer(node))
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
            boot.meter.signer(self.identities.signer(node)),
            boot.meter.verifier(self.identities.verifier),
            boot.meter.member_keys(self.identities.member_keys(name, node)),
            setup.program,
            setup.block,
            setup.state,
            setup.anchor,
            self._chain_parameters(),
            self._streams("chain", name, node, boot.incarnation),
        )

    def _chain_parameters(self) -> ChainParameters:
        section = self.configuration.consensus
        return ChainParameters(
            unconfirmed_anchors_max=section.unconfirmed_anchors_max,
            batch_delay=section.batch_delay,
            gather_delay=section.gather_delay,
            protocol=section.protocol,
            times=ProtocolTimes(section.view_timeout, section.attempt_timeout),
            recovery=RecoveryTimes(
                section.recovery_timeout, max(section.recovery_timeout, RecoveryTimes().timeout_max)
            ),
            publication=PublicationTimes(section.publish_delay, section.reattach_after),
        )

    def _execute(self, boot: Boot, need: ChainBlockExecutionNeeded) -> Execution | None:
        """Execute a batch at once; its gas is charged to the host's CPU."""
        program = self.chains[need.chain].program
        execution = execute(
            program, need.state, need.previous, need.base, need.log_index, need.timestamp, need.requests, need.entropy
        )
        if execution is not None:
            boot.meter.charge("gas", execution.gas + execution.transition_gas)
        return execution

    def _grinder(self, node: NodeId) -> Grinder:
        """What judges nonces at this node; they are found by the runtime."""
        is_ground = self.configuration.ledger.pow == "ground"
        return RealGrinder() if is_ground else ModelGrinder(stream(self.seed, "proof of work", node))


def _bidder(configuration: Configuration) -> Bidder:
    section = configuration.market
    if section.bidder == "favourable":
        return FavourableBidder()
    return PaperBidder(
        CorrectedEquations() if section.equations == "corrected" else PrintedEquations(),
        CorrectedAlgorithm() if section.learning == "corrected" else PrintedAlgorithm(),
    )


def _forecast(configuration: Configuration, seed: int) -> Forecast:
    section = configuration.data
    match section.forecast:
        case "perfect":
            return PerfectForecast()
        case "persistence":
            return PersistenceForecast(DAY // configuration.market.interval)
        case "noisy":
            return NoisyForecast(round(section.forecast_error * MILLION), digest("forecasts", seed))


def first_opening(configuration: Configuration) -> Instant:
    """When the market of the first interval opens."""
    section = configuration.market
    return max(section.interval // configuration.scenario.speed_up - section.opening, WARM_UP)
