"""The limits of peering: what strangers and peers may take of this node, and its times.

A stranger, who has not proved to be a peer, costs a socket and a few kilobytes for a few seconds, at a bounded rate. A
peer may send as much as a busy committee does, some times over; what is beyond is read later, and who keeps it up is
sent away.
"""

from __future__ import annotations

from ledger.kernel.encoding import FRAME_SIZE_MAX, Frozen
from ledger.kernel.instant import MILLISECOND, SECOND, Duration
from node.link import LinkParameters


class PeeringLimits(Frozen):
    """How much, and how long."""

    newcomers_max: int = 256
    """Connections that have not proved anything: with one, some 40 kilobytes; so 10 megabytes, and a quarter of the usual
    1,024 descriptors of a process.
    """
    newcomers_per_address_max: int = 128
    """Of these from one address: a cluster on one machine has one address, so not fewer than it has nodes."""
    newcomers_per_second_max: int = 200
    """Connections accepted: each costs half a millisecond, so a flood takes a tenth of a core; the rest waits in the
    kernel.
    """
    newcomers_burst_max: int = 256
    """A cluster that starts at once is not slowed down."""
    handshake_timeout: Duration = 5 * SECOND
    """From accepting, or dialling, to the last message: three round trips across the world, on a busy machine."""
    frames_per_second_max: int = 2_000
    """From one peer: a turn sends one frame, and no host has so many turns."""
    frames_burst_max: int = 8_192
    """Twice what a link holds back: a peer that returns may hand over all it had kept."""
    bytes_per_second_max: int = 16 * 1024 * 1024
    """From one peer: blocks of the largest batches several times a second; opening them takes a quarter of a core."""
    bytes_burst_max: int = 32 * 1024 * 1024
    throttled_max: Duration = 30 * SECOND
    """How long a peer may be at its limit without a pause: longer than any catching up within the bursts."""
    suspension: Duration = 30 * SECOND
    """How long a peer that broke the rules of peering is sent away for."""
    frames_at_once_max: int = 64
    """Frames of one peer that are handled before others have their turn."""
    queue_max: int = 4_096
    """Frames held for one peer until it has acknowledged them: seconds of a busy committee. Beyond, the oldest is given up;
    a peer that was away so long catches up by its protocols.
    """
    queue_bytes_max: int = 8 * 1024 * 1024
    """Bytes of these: two of the largest frames, and for sixteen peers no more than 128 megabytes."""
    keep_alive_every: Duration = 2 * SECOND
    """After so long without sending, something is sent."""
    silent_checks_max: int = 4
    """So many of these spans without hearing anything end a connection: 8 to 10 seconds. Spans are counted, not time, so
    that a node that stood still itself does not take its peers for dead.
    """
    back_off_first: Duration = 100 * MILLISECOND
    """Before dialling again; doubled each time."""
    back_off_max: Duration = 10 * SECOND
    head_start: Duration = 200 * MILLISECOND
    """How much earlier of two nodes the one with the smaller name dials: the other's dialling is mostly not needed then."""
    closing_timeout: Duration = SECOND
    """For what waits to be sent when the node stops, and for saying goodbye."""
    acknowledge_after: Duration = 25 * MILLISECOND
    """Mostly a frame goes the other way sooner and takes the acknowledgement along."""
    refusals_kept_max: int = 64
    """The latest that are shown; all are counted."""
    reports_burst_max: int = 60
    """Refusals and faults that are told to whoever logs them at once, and then one a second: a flood must not fill a
    disk.
    """

    def link_parameters(self) -> LinkParameters:
        """Of links over connections that lose nothing while they last.

        Sending again is for losses that are injected, and for frames of an earlier connection; a busy machine must not
        provoke it, so its times are longer than in the simulation.
        """
        return LinkParameters(
            resend_initial=SECOND,
            resend_min=250 * MILLISECOND,
            resend_max=10 * SECOND,
            acknowledge_after=self.acknowledge_after,
            unacknowledged_max=self.queue_max,
        )

    def __post_init__(self) -> None:
        assert self.frames_burst_max >= 2 * self.queue_max, "a peer that hands over what it kept is no flood"
        assert self.bytes_burst_max >= FRAME_SIZE_MAX, "the largest frame passes"
        assert self.newcomers_per_address_max <= self.newcomers_max
