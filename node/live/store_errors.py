"""What can be wrong with a store, each with the file, what is wrong, and what to do.

A committee member that has lost its records must not just begin anew, whatever the reason was: it no longer knows which log
indices it took part in, and a member that takes part in one twice is a liar. Up to f liars do no harm. So what to do says
how to begin anew with the log indices that can have been used before taken out.
"""

from __future__ import annotations

from pathlib import Path

FOUND_ANEW = (
    "Keep what is there, under another name, and found a new store in its place. A layer-1 node loses nothing: it gets from "
    "its neighbours what it needs. A committee member gets chain blocks and anchors from the other members, but it no "
    "longer knows which log indices it took part in, and must not take part in one twice: found its store with, for each "
    "of its chains, the index after the highest log index that any other member names; it takes part in those behind. "
    "Do so with at most f members of a committee, and with the next ones only when these take part again"
)


class StoreError(Exception):
    """Something is wrong with a store."""

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        super().__init__(path, what, remedy)
        self.path = path
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. {self.remedy}."


class StoreMissing(StoreError):
    """There is no file, but there has been one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "the node's store is missing", f"Put it back; if it is lost: {FOUND_ANEW}")


class StoreDamaged(StoreError):
    """Not all that was written is there as it was written."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what, FOUND_ANEW)


class StoreForeign(StoreError):
    """Intact, but not this node's, not this network's, or not for this version."""


class StoreBusy(StoreError):
    """Another process has it open."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(path, f"the store is in use by {holder}", "One node has one process: stop that one first")


class StoreFailed(StoreError):
    """The disk did not take what was to be written."""

    def __init__(self, path: Path, what: str, *, may_retry: bool) -> None:
        again = "Nothing of it was kept, and all that was written before is there: make room on the disk, and go on"
        anew = "What the disk holds is not known: stop the node, look after the disk, start again, and all is verified"
        super().__init__(path, what, again if may_retry else anew)
        self.may_retry = may_retry
        """Whether the same group may be tried again."""
