"""A reliable link to one peer over a network that may lose, duplicate and reorder frames; sans I/O, for both runtimes.

The automata assume what a committee's papers assume: a message between correct nodes arrives in the end, once. TCP
gives that within one connection, not over a reconnect. So each frame carries a header:

1. ``session`` numbers the sender's incarnation; a higher one makes the receiver forget the lower, whose frames are stale.
2. ``sequence`` counts the sender's frames from 1; 0 marks a frame that only acknowledges.
3. ``oldest`` is the lowest sequence that the sender still holds: nothing below it will come (again), so a restarted
   receiver, or one whose sender had to give frames up, starts there.
4. ``acknowledged`` (of ``acknowledged_session``): every sequence up to it has come; bit k of ``acknowledged_more`` tells the
   same of ``acknowledged + 2 + k``.
5. An acknowledgement rides on the next frame to the peer, or goes alone after ``acknowledge_after``.
6. The frame that has waited longest is sent again when its time is over, and with it all others whose time is over
   (at most ``resend_burst_max``). The time is RFC 6298's: smoothed round trip plus four deviations, doubled at each resend;
   Karn's rule: a frame that was sent twice gives no sample. Anything from the peer ends the doubling. A peer that has been
   silent through ``silent_after`` doublings is asked with the oldest frame alone: it may be down for good.
7. At most ``unacknowledged_max`` frames are held; the oldest is given up and counted in ``lost``. A peer that was away so
   long catches up by its protocol.
8. Over a connection that loses nothing while it lasts, each side begins with an acknowledgement alone, and when it has
   heard the peer sends all again that is still held: what was lost with the connection before.

A link that sees a new session of a peer that it knew, or hears again from one for which frames were given up, says so
(``reconnected``): what protocols had told that peer may be lost.

The content of a new frame is handed over at once, not in order: no protocol here needs order, and waiting costs latency.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

from ledger.kernel.encoding import Frozen, Natural
from ledger.kernel.instant import MILLISECOND, SECOND, Duration, Instant, earliest

Payload = TypeVar("Payload")


class LinkHeader(Frozen, array_like=True, forbid_unknown_fields=True):
    """What a frame says about the frames before it, in both directions."""

    session: Natural
    sequence: Natural
    oldest: Natural
    acknowledged_session: Natural
    acknowledged: Natural
    acknowledged_more: bytes = b""


class LinkParameters(Frozen):
    """The times and limits of a link."""

    resend_initial: Duration = SECOND
    resend_min: Duration = 20 * MILLISECOND
    resend_max: Duration = 2 * SECOND
    acknowledge_after: Duration = 5 * MILLISECOND
    unacknowledged_max: int = 4096
    """Frames held for one peer: some seconds of a busy committee, a few megabytes."""
    resend_burst_max: int = 64
    """Frames sent again at one time: a healed link is not flooded."""
    silent_after: int = 4
    """Doublings without a sign of life after which one frame asks for all: losses are rarely so many in a row."""


class _Held(Generic[Payload]):
    __slots__ = ("payload", "sent_at", "sent_times")

    def __init__(self, payload: Payload, now: Instant) -> None:
        self.payload = payload
        self.sent_at = now
        self.sent_times = 1


class Link(Generic[Payload]):
    """Both directions of the link between this node's incarnation ``session`` and one peer."""

    def __init__(self, session: int, parameters: LinkParameters) -> None:
        self._session = session
        self._parameters = parameters
        self._sequence = 0
        self._held: dict[int, _Held[Payload]] = {}
        self._peer_session = 0
        self._through = 0
        self._beyond = 0
        self._acknowledge_at: Instant | None = None
        self._round_trip: Duration | None = None
        self._deviation: Duration = 0
        self._doublings = 0
        self._gave_up = False
        self.reconnected = False
        """Whether the frame just received tells that what was sent to the peer may have been lost until now."""
        self.lost = 0
        self.resent = 0
        self.deadline: Instant | None = None
        """When ``handle_timer`` has something to do."""

    def send(self, payload: Payload, now: Instant) -> LinkHeader:
        """The header for a new frame with this content, which is held until the peer has acknowledged it (5, 7)."""
        if len(self._held) >= self._parameters.unacknowledged_max:
            self.give_up_oldest()
        self._sequence += 1
        self._held[self._sequence] = _Held(payload, now)
        header = self._header(self._sequence)
        self._note_deadline()
        return header

    def give_up_oldest(self) -> None:
        """Hold the oldest frame no longer; there must be one (7)."""
        del self._held[next(iter(self._held))]
        self.lost += 1
        self._gave_up = True

    def acknowledgement(self) -> LinkHeader:
        """A frame that acknowledges and says nothing else (5, 8)."""
        header = self._header(0)
        self._note_deadline()
        return header

    def resend_all(self, now: Instant) -> list[tuple[LinkHeader, Payload]]:
        """All frames that are held, to be sent again over a new connection (8)."""
        self._doublings = 0
        frames: list[tuple[LinkHeader, Payload]] = []
        for sequence, held in self._held.items():
            held.sent_at, held.sent_times = now, held.sent_times + 1
            frames.append((self._header(sequence), held.payload))
        self.resent += len(frames)
        self._note_deadline()
        return frames

    def receive(self, header: LinkHeader, now: Instant) -> bool:
        """Take a frame's header in; whether its content is new, to be handed over (1-4). Total."""
        is_new = self._take_in(header, now)
        self._note_deadline()
        return is_new

    def _take_in(self, header: LinkHeader, now: Instant) -> bool:
        self.reconnected = False
        if header.session < self._peer_session:
            return False
        self.reconnected = self._gave_up or 0 < self._peer_session < header.session
        self._gave_up = False
        if header.session > self._peer_session:
            self._peer_session, self._through, self._beyond = header.session, 0, 0
        self._doublings = 0
        if header.acknowledged_session == self._session:
            self._release(header, now)
        if not header.sequence:
            return False
        if self._acknowledge_at is None:
            self._acknowledge_at = now + self._parameters.acknowledge_after
        self._skip_to(header.oldest - 1)
        place = header.sequence - self._through - 1
        if place < 0 or self._beyond >> place & 1 or place >= self._parameters.unacknowledged_max:
            return False
        self._beyond |= 1 << place
        while self._beyond & 1:
            self._beyond >>= 1
            self._through += 1
        return True

    def handle_timer(self, now: Instant) -> list[tuple[LinkHeader, Payload | None]]:
        """The frames that are due: those to send again, or an acknowledgement alone (5, 6)."""
        frames: list[tuple[LinkHeader, Payload | None]] = []
        if (resend_at := self._resend_at) is not None and resend_at <= now:
            for sequence in self._due(now - self._resend_after):
                held = self._held[sequence]
                held.sent_at, held.sent_times = now, held.sent_times + 1
                frames.append((self._header(sequence), held.payload))
            self.resent += len(frames)
            self._doublings += 1
        if self._acknowledge_at is not None and self._acknowledge_at <= now:
            frames.append((self._header(0), None))
        self._note_deadline()
        return frames

    def _note_deadline(self) -> None:
        self.deadline = earliest(self._acknowledge_at, self._resend_at)

    def _due(self, overdue: Instant) -> list[int]:
        """The frames that are sent again, of those last sent at this instant or before (6)."""
        if self._doublings >= self._parameters.silent_after:
            return [next(iter(self._held))]
        due = (sequence for sequence, held in self._held.items() if held.sent_at <= overdue)
        return list(islice(due, self._parameters.resend_burst_max))

    @property
    def unacknowledged(self) -> int:
        """Frames that the peer has not acknowledged."""
        return len(self._held)

    def held(self) -> Iterator[Payload]:
        """The contents of these, the oldest first."""
        return (frame.payload for frame in self._held.values())

    @property
    def round_trip(self) -> Duration | None:
        """How long a frame takes to be acknowledged, smoothed; None while nothing tells."""
        return self._round_trip

    @property
    def _resend_at(self) -> Instant | None:
        if not self._held:
            return None
        return next(iter(self._held.values())).sent_at + self._resend_after

    @property
    def _resend_after(self) -> Duration:
        parameters = self._parameters
        if self._round_trip is None:
            after = parameters.resend_initial
        else:
            after = max(self._round_trip + 4 * self._deviation + parameters.acknowledge_after, parameters.resend_min)
        return min(after << min(self._doublings, 16), max(parameters.resend_max, after))

    def _header(self, sequence: int) -> LinkHeader:
        self._acknowledge_at = None
        oldest = next(iter(self._held)) if self._held else self._sequence + 1
        beyond = self._beyond >> 1
        more = beyond.to_bytes((beyond.bit_length() + 7) // 8, "little")
        return LinkHeader(self._session, sequence, oldest, self._peer_session, self._through, more)

    def _skip_to(self, through: int) -> None:
        if through > self._through:
            self._beyond >>= through - self._through
            self._through = through
            while self._beyond & 1:
                self._beyond >>= 1
                self._through += 1

    def _release(self, header: LinkHeader, now: Instant) -> None:
        more = int.from_bytes(header.acknowledged_more[: self._parameters.unacknowledged_max // 8], "little")
        first = header.acknowledged + 2
        done = []
        for sequence in self._held:
            if sequence <= header.acknowledged:
                done.append(sequence)
            elif not (beyond := more >> max(sequence - first, 0)):
                break
            elif sequence >= first and beyond & 1:
                done.append(sequence)
        for sequence in done:
            held = self._held.pop(sequence)
            if held.sent_times == 1 and sequence == done[-1]:
                self._sample(now - held.sent_at)

    def _sample(self, round_trip: Duration) -> None:
        if self._round_trip is None:
            self._round_trip, self._deviation = round_trip, round_trip // 2
        else:
            self._deviation += (abs(self._round_trip - round_trip) - self._deviation) // 4
            self._round_trip += (round_trip - self._round_trip) // 8
