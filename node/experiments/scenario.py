"""A scenario for the simulation: all hosts' identities and randomness come from its seed, and so does what surrounds them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ledger.issuing import PowNeeded
from ledger.kernel.rng import stream
from node.configuration import Configuration
from node.environment import blaming
from node.experiments.doubts import doubts
from node.experiments.environment import conditions_of, scheduled_faults
from node.hardware import hardware_profile
from node.hosting import Observer
from node.identities import SeededIdentities
from node.plan import plan_of
from node.scenario import Scenario
from node.simulated.clock import SkewedClock
from node.simulated.effects import PowKind, ProofOfWork
from node.simulated.runtime import SimulatedRuntime
from node.wire import Wire


class SimulatedScenario(Scenario):
    """A configuration made ready to be simulated.

    Errors: ``ConfigurationError`` for what only shows when files are read and parts are put together.
    """

    def __init__(self, configuration: Configuration, folder: Path) -> None:
        seed, crypto = configuration.scenario.seed, configuration.scenario.crypto
        identities = SeededIdentities(crypto, seed, plan_of(configuration))
        super().__init__(configuration, folder, identities, partial(stream, seed))
        with blaming("hardware", "profile"):
            self.hardware = hardware_profile(configuration.hardware.profile, folder)

    @property
    def warnings(self) -> tuple[str, ...]:
        delay = conditions_of(self.configuration, self.plan.hosts, self.folder).network.delay.usual_max
        return (*super().warnings, *doubts(self.configuration, self.profile, self.end, delay))

    def runtime(self, observer: Observer) -> SimulatedRuntime:
        """The simulated runtime of all hosts, booted and not yet run."""
        hosts = self.hosts()
        skew = self.configuration.hardware.clock_skew
        skews = {host: SkewedClock(stream(self.seed, "clock", host).randint(-skew, skew)) for host in hosts if skew}
        conditions = conditions_of(self.configuration, tuple(hosts), self.folder)
        kind: PowKind = "real" if self.configuration.ledger.pow == "ground" else "model"
        self.proof_of_work = ProofOfWork(kind, self.hardware.hash_rate)
        return SimulatedRuntime(
            self.seed,
            hosts,
            conditions.network,
            Wire(),
            hardware=conditions.cpu,
            disk=conditions.disk,
            effects={PowNeeded: self.proof_of_work},
            observer=observer,
            faults=scheduled_faults(self.configuration),
            skews=skews,
            codec="sample",
        )
