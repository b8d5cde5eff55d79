"""Frames: what travels between two hosts, and the one codec in which all messages meet.

A frame bundles what one host has for one peer at one time: ``[link header or nil, [[path, message], ...]]``, canonical
MessagePack. A packet (path and message) is encoded once for all its recipients; a frame is put together from the bytes
of its packets. What can't be decoded is refused whole: a correct peer does not send it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import msgspec

from ledger.access import AccessMessage
from ledger.kernel.automaton import Path
from ledger.kernel.encoding import FRAME_SIZE_MAX, Codec, Value
from ledger.kernel.rejection import Rejected
from ledger.tangle import TangleMessage
from node.link import LinkHeader
from wasp.chain_view import ViewMessage
from wasp.committee_log import CommitteeLogMessage
from wasp.consensus.consensus import ConsensusMessage
from wasp.consensus.distributed_key import DistributedKeyMessage
from wasp.mempool import MempoolMessage

HostMessage: TypeAlias = (
    TangleMessage
    | AccessMessage
    | ConsensusMessage
    | DistributedKeyMessage
    | CommitteeLogMessage
    | MempoolMessage
    | ViewMessage
)
"""Every message that hosts exchange. A new module with messages is added here."""
Packet: TypeAlias = tuple[Path, Value]
Frame: TypeAlias = tuple[LinkHeader | None, tuple[Packet, ...]]

PACKETS_SIZE_MAX = FRAME_SIZE_MAX - 65536
"""Bytes of packets in one frame: what is left is for the largest header."""
_NO_HEADER = b"\xc0"
_encode = msgspec.msgpack.Encoder().encode


class Wire:
    """Encodes packets and frames, and decodes frames whose messages are of these kinds (a union of ``Value`` types)."""

    def __init__(self, messages: Any = HostMessage) -> None:
        self._codec: Codec[Frame] = Codec(tuple[LinkHeader | None, tuple[tuple[Path, messages], ...]])

    def packet(self, path: Path, message: Value) -> bytes:
        """The bytes of one packet, for all its recipients."""
        return _encode((path, message))

    def frame(self, header: LinkHeader | None, packets: Sequence[bytes]) -> bytes:
        """The bytes of a frame of these packets."""
        return b"".join((b"\x92", header_bytes(header), _array_head(len(packets)), *packets))

    def decode(self, data: bytes) -> Frame:
        """The frame.

        Errors: ``Rejected("undecodable", ...)``.
        """
        return self._codec.decode(data)


def header_bytes(header: LinkHeader | None) -> bytes:
    """The bytes of a frame's header."""
    return _NO_HEADER if header is None else _encode(header)


def frame_size(header: LinkHeader | None, packets: Sequence[bytes]) -> int:
    """How long the frame of these packets is, without putting it together."""
    head = len(_NO_HEADER) if header is None else len(_encode(header))
    count = len(packets)
    return 1 + head + (1 if count < 16 else 3 if count < 65536 else 5) + sum(map(len, packets))


def cut(sizes: Sequence[int]) -> list[slice]:
    """Where packets of these sizes are parted, so that what is between two cuts fits into one frame.

    Errors: ``Rejected("oversized", ...)`` when one of them alone does not.
    """
    if sum(sizes) <= PACKETS_SIZE_MAX:
        return [slice(0, len(sizes))]
    cuts, size = [0], 0
    for place, packet_size in enumerate(sizes):
        if packet_size > PACKETS_SIZE_MAX:
            raise Rejected("oversized", f"a packet of {packet_size} bytes, at most {PACKETS_SIZE_MAX} expected")
        size += packet_size
        if size > PACKETS_SIZE_MAX:
            cuts.append(place)
            size = packet_size
    return [slice(begin, end) for begin, end in pairwise([*cuts, len(sizes)])]


def _array_head(length: int) -> bytes:
    if length < 16:
        return bytes((0x90 | length,))
    if length < 65536:
        return b"\xdc" + length.to_bytes(2, "big")
    return b"\xdd" + length.to_bytes(4, "big")
