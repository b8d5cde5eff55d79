"""One committee without a Tangle, in the simulated runtime: what ``tanglegrid consensus`` and every point of a sweep run.

The run ends when every block has ended at every node that speaks and nothing is under way any more, or when nobody has got
any further for ``PATIENCE``: then it tells who waits for what.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import digest
from ledger.kernel.identity import deal_signer, verifier
from ledger.kernel.instant import HOUR, SECOND, Duration
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.rng import Stream, stream
from ledger.output import AnchorOutput, OutputId, chain_id
from node.experiments.committee_interface import BeginIndex, BeginningNeeded, RequestSource
from node.experiments.committee_member import CommitteeMember, SilentMember
from node.experiments.committee_options import CommitteeOptions
from node.experiments.committee_recorder import CommitteeRecorder
from node.experiments.committee_summary import rows_of, summarise, summary_text
from node.experiments.progress import BlockProgress
from node.experiments.request_sources import FullBatches, OfferedLoad, RequestMaker, WaitingRequests
from node.hosting import Boot, HostFactory
from node.simulated.effects import Effect
from node.simulated.garbage import seldom_collected
from node.simulated.runtime import SimulatedRuntime
from node.wire import Wire
from wasp.committee import Committee
from wasp.consensus.consensus import Consensus
from wasp.signed_anchor import committee_address

CHAIN = "committee"
PATIENCE: Duration = HOUR
"""Longer than any protocol waits before it tries something else, many times over."""
STEP: Duration = 10 * SECOND
"""Virtual time between two looks at how far the run is."""


@dataclass(frozen=True, slots=True)
class CommitteeResult:
    """What came of a run. Pickles."""

    options: CommitteeOptions
    summary: dict[str, Any]
    """The object that ``--json`` prints."""
    rows: tuple[tuple[int | str | None, ...], ...]
    """One per block and node, under the ``ROW_COLUMNS`` of the summary."""

    @property
    def failures(self) -> list[str]:
        """Why the run is no success: broken agreement, or blocks that were not decided."""
        return [*self.summary["violations"], *self.summary["stalled"]]

    def json(self) -> str:
        """The summary as one JSON object."""
        return json.dumps(self.summary, indent=2)

    def text(self) -> str:
        """The summary for people."""
        return summary_text(self.summary)


def run_committee(
    options: CommitteeOptions, folder: Path = Path(), progress: BlockProgress | None = None
) -> CommitteeResult:
    """Run a committee to the end of its last block; files that the options name are looked for in the folder.

    Errors: ``Rejected`` when the conditions can't be made.
    """
    recorder = CommitteeRecorder(options.speaking, options.blocks, progress)
    runtime = _Setup(options, folder).runtime(recorder)
    with seldom_collected():
        began = process_time()
        _run(runtime, recorder, options)
        cpu_seconds = process_time() - began
    summary = summarise(options, recorder, runtime, cpu_seconds)
    return CommitteeResult(options, summary, rows_of(options, recorder, runtime))


def _run(runtime: SimulatedRuntime, recorder: CommitteeRecorder, options: CommitteeOptions) -> None:
    patience = max(PATIENCE, round(100 * SECOND / options.rate) if options.rate else 0)
    horizon, idle = STEP, False
    while not idle and horizon < recorder.progressed_at + patience:
        idle = runtime.run_until_idle(horizon)
        horizon += STEP


class _Setup:
    """The committee's keys, and how its members are built."""

    def __init__(self, options: CommitteeOptions, folder: Path) -> None:
        self._options = options
        self._conditions = options.conditions(folder)
        self._signers = {name: deal_signer(options.crypto, options.seed, name) for name in options.names}
        self._verifier = verifier(options.crypto)
        self._keys = deal_member_keys(options.crypto, options.seed, CHAIN, options.nodes, options.faulty_max)
        public_keys = [signer.public_key for signer in self._signers.values()]
        self._committee = Committee(options.names, public_keys, self._keys[0].signing.group_key)
        address = committee_address(self._committee)
        genesis = AnchorOutput(1, chain_id(CHAIN, CHAIN), 0, digest("genesis"), address)
        self._genesis = (OutputId(digest("genesis", options.seed), 0), genesis)
        self._maker = RequestMaker(options.crypto, options.seed, CHAIN, options.payload)
        self._full_batches = FullBatches(self._maker, options.batch)

    def runtime(self, recorder: CommitteeRecorder) -> SimulatedRuntime:
        """The runtime of all members, told to begin their first index."""
        options, surroundings = self._options, self._conditions
        speaking = set(options.speaking)
        hosts: dict[NodeId, HostFactory] = {
            name: partial(self._boot, name) if name in speaking else _boot_silent for name in options.names
        }
        runtime = SimulatedRuntime(
            options.seed,
            hosts,
            surroundings.network,
            Wire(),
            hardware=surroundings.cpu,
            disk=surroundings.disk,
            effects={BeginningNeeded: _begin_next},
            observer=recorder,
            codec="sample",
        )
        for name in options.speaking:
            runtime.inject(name, BeginIndex(1))
        if options.rate is not None:
            OfferedLoad(options, options.rate, self._maker, runtime, recorder)
        return runtime

    def _boot(self, me: NodeId, boot: Boot) -> CommitteeMember:
        options = self._options
        source: RequestSource = self._full_batches if options.rate is None else WaitingRequests(options.batch)
        return CommitteeMember(
            CHAIN,
            self._committee,
            me,
            partial(self._open_instance, me, boot),
            source,
            self._genesis,
            options.blocks,
            options.speaking,
            boot.meter,
            boot.meter.verifier(self._verifier),
        )

    def _open_instance(self, me: NodeId, boot: Boot, log_index: int) -> Consensus:
        return Consensus(
            (CHAIN, log_index),
            self._committee,
            me,
            boot.meter.signer(self._signers[me]),
            boot.meter.verifier(self._verifier),
            boot.meter.member_keys(self._keys[self._committee.index[me]]),
            stream(self._options.seed, "instance", me, log_index),
            self._options.protocol,
            self._options.times,
        )


def _boot_silent(boot: Boot) -> SilentMember:
    return SilentMember()


def _begin_next(node: NodeId, need: BeginningNeeded, stream: Stream) -> Effect:
    """At once, as an event of its own."""
    return Effect(BeginIndex(need.log_index))
