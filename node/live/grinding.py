"""The worker process that grinds proof of work: questions come by its standard input, answers go by its standard output.

When its input ends, so does it, in the middle of grinding: the node is gone, in whatever way.
"""

from __future__ import annotations

import os
import signal
import sys
from queue import SimpleQueue
from struct import Struct
from threading import Thread
from typing import BinaryIO

from ledger.pow import RealGrinder

QUESTION = Struct("<IB")
"""How many bytes of data follow, and the difficulty."""
ANSWER = Struct("<QQ")
"""The nonce, and how many hashes it took."""


def main() -> None:
    """Grind what is asked for, one after another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard is for the node
    questions: SimpleQueue[tuple[bytes, int]] = SimpleQueue()
    Thread(target=_read, args=(sys.stdin.buffer, questions), daemon=True).start()
    grinder = RealGrinder()
    while True:
        work = grinder.grind(*questions.get())
        sys.stdout.buffer.write(ANSWER.pack(work.nonce, work.hashes))
        sys.stdout.buffer.flush()


def _read(stream: BinaryIO, questions: SimpleQueue[tuple[bytes, int]]) -> None:
    while len(head := stream.read(QUESTION.size)) == QUESTION.size:
        length, difficulty = QUESTION.unpack(head)
        questions.put((stream.read(length), difficulty))
    os._exit(0)


if __name__ == "__main__":
    main()
