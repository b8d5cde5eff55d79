"""Proof of work, adaptive by the issuer's own rate.

IOTA 2.0 research specification, section 4.5: at time t the required difficulty of issuer m is

    d_m(t) = d_0 + floor(gamma * r_m(t)),   r_m(t) = m's blocks with issuing times in [t - w, t]

where gamma = 0 is what GoShimmer deployed. Difficulty counts leading zero bits of BLAKE2b-512 over the data and the
nonce's 8 bytes, so that 2^d hashes are expected. gamma is given in thousandths, for integer arithmetic.

A node only sees a part of an issuer's blocks, never more than the issuer itself, so an honest issuer always passes. Two
nodes that saw an issuer's blocks in different orders may still judge differently. Hence only d_0 makes a block
*invalid*; what exceeds it is asked of blocks that arrive by gossip, not of those that were asked for because another
block approves them.

Two ways to find a nonce, with the same code above them: ``RealGrinder`` grinds; ``ModelGrinder`` draws the number of
hashes from the true distribution, geometric with success probability 2^-d, and marks the nonce with the difficulty,
as model signatures do: honest bytes without the work, which a runtime charges to virtual time and energy.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from math import ceil, log, log1p
from typing import Protocol

from ledger.kernel.encoding import Frozen
from ledger.kernel.identity import PublicKey
from ledger.kernel.instant import Duration, Instant
from ledger.kernel.rng import Stream

DIFFICULTY_MAX = 60
"""Bits beyond which nobody finds a nonce of 8 bytes."""
WINDOW_BLOCKS_MAX = 1_000
"""Remembered blocks per issuer: at any sensible gamma the difficulty is out of reach long before."""


class Work(Frozen):
    """A nonce, and how many hashes it took."""

    nonce: int
    hashes: int


class Grinder(Protocol):
    """Finds nonces and judges them."""

    def grind(self, data: bytes, difficulty: int) -> Work:
        """A nonce with at least ``difficulty`` zero bits."""
        ...

    def zero_bits(self, data: bytes, nonce: int) -> int:
        """How many zero bits this nonce yields. Total, for nonces of up to 8 bytes."""
        ...


def required_difficulty(base: int, rate_thousandths: int, blocks_in_window: int) -> int:
    """d_0 + floor(gamma * r_m)."""
    return base + rate_thousandths * blocks_in_window // 1_000


class RealGrinder:
    """Hashes until it is found."""

    def grind(self, data: bytes, difficulty: int) -> Work:
        assert 0 <= difficulty <= DIFFICULTY_MAX
        prefix = blake2b(data)
        limit = 1 << (512 - difficulty)
        nonce = 0
        while True:
            attempt = prefix.copy()
            attempt.update(nonce.to_bytes(8, "little"))
            if int.from_bytes(attempt.digest(), "big") < limit:
                return Work(nonce, nonce + 1)
            nonce += 1

    def zero_bits(self, data: bytes, nonce: int) -> int:
        return 512 - int.from_bytes(blake2b(data + nonce.to_bytes(8, "little")).digest(), "big").bit_length()


class ModelGrinder:
    """Draws the number of hashes; the nonce is a keyed hash whose last byte tells the difficulty."""

    def __init__(self, rng: Stream) -> None:
        self._rng = rng

    def grind(self, data: bytes, difficulty: int) -> Work:
        assert 0 <= difficulty <= DIFFICULTY_MAX
        return Work(_model_nonce(data, difficulty), geometric(self._rng, difficulty))

    def zero_bits(self, data: bytes, nonce: int) -> int:
        difficulty = nonce & 0xFF
        return difficulty if nonce == _model_nonce(data, difficulty) else 0


def _model_nonce(data: bytes, difficulty: int) -> int:
    mark = blake2b(data, key=difficulty.to_bytes(1, "little"), digest_size=7).digest()
    return int.from_bytes(mark, "big") << 8 | difficulty


def geometric(rng: Stream, difficulty: int) -> int:
    """Hashes until the first with ``difficulty`` zero bits, by inversion: P(hashes > k) = (1 - 2^-d)^k."""
    if difficulty == 0:
        return 1
    return max(1, ceil(log(1.0 - rng.random()) / log1p(-(2.0**-difficulty))))


class IssueRates:
    """How many blocks each issuer has issued in its last window, as far as this node has seen."""

    def __init__(self, window: Duration) -> None:
        self._window = window
        self._times: dict[PublicKey, deque[Instant]] = {}

    def count(self, issuer: PublicKey, issuing_time: Instant) -> int:
        """The issuer's known blocks with issuing times in [issuing_time - window, issuing_time]."""
        times = self._times.get(issuer)
        if times is None:
            return 0
        first = issuing_time - self._window
        return sum(first <= time <= issuing_time for time in times)

    def note(self, issuer: PublicKey, issuing_time: Instant) -> None:
        """A block was booked. Times older than two windows before it are forgotten."""
        times = self._times.setdefault(issuer, deque(maxlen=WINDOW_BLOCKS_MAX))
        times.append(issuing_time)
        while times[0] < issuing_time - 2 * self._window:
            times.popleft()

    def forget_before(self, instant: Instant) -> None:
        """Drop the issuers that have been silent since this instant."""
        for issuer in [issuer for issuer, times in self._times.items() if times[-1] < instant]:
            del self._times[issuer]
