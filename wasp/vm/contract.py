"""What a contract is, and what it may do: the interface between the chain and its contracts.

A contract is code without state of its own. Everything that it remembers is in its part of the chain's state, everything
that it may do goes through the ``Sandbox`` of the call, and time is the timestamp of the chain block. So the same contract
runs on a committee chain, and without any ledger in a market study.

Three ways to be called:

1. A *request* names an entry point. A raised ``Rejected`` undoes all that the request did and stands in its receipt.
2. A *due moment*: ``next_due`` tells from the state when the contract next wants to act by itself. The chain runs it in
   a block-opening step of the first chain block whose timestamp is not before that moment.
3. A *view* reads the state and changes nothing.

Accounts are names: a registered user's name, a contract's own name (its account on this chain), the name of another chain
(the account of whatever that chain's contracts send). Amounts are tokens, one of which is one micro-penny.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeAlias

from ledger.kernel.encoding import Frozen, Plain
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream
from wasp.request import Call, MessageId, RequestId

AccountName: TypeAlias = str
Key: TypeAlias = tuple[str | int, ...]
"""Where a contract keeps a value, such as ("order", 17, "home3")."""


class StateReader(Protocol):
    """A contract's part of the state, to read."""

    def read(self, *key: str | int) -> Any:
        """The plain value at this key, None where nothing stands."""
        ...


class View(StateReader, Protocol):
    """What a view may do."""

    @property
    def timestamp(self) -> Instant:
        """The timestamp of the chain block whose state is read."""
        ...

    def balance(self, account: AccountName) -> int:
        """Tokens of an account on this chain."""
        ...


class Sandbox(View, Protocol):
    """What an entry point or a due moment may do. Every act costs gas; what is undone costs its gas too."""

    @property
    def chain(self) -> str:
        """The name of this chain."""
        ...

    @property
    def contract(self) -> str:
        """The name of this contract, and of its account."""
        ...

    @property
    def caller(self) -> AccountName:
        """Whose account asks; for a due moment and at genesis, the contract itself."""
        ...

    @property
    def request_id(self) -> RequestId | None:
        """The request that is executed; none for a due moment."""
        ...

    @property
    def message(self) -> MessageId | None:
        """For an on-ledger request: the name that the sending chain gave it."""
        ...

    @property
    def attached(self) -> int:
        """Tokens that came with an on-ledger request, now in the caller's account."""
        ...

    def write(self, *key: str | int, value: Plain) -> None:
        """Put a plain value at this key; None removes it."""
        ...

    def take(self, amount: int) -> None:
        """Move tokens from the caller's account to the contract's.

        Errors: ``Rejected("allowance", ...)`` beyond what the request allows, ``Rejected("funds", ...)`` beyond the balance.
        """
        ...

    def collect(self, account: AccountName, amount: int) -> None:
        """Move tokens from an account that gave this contract a standing mandate to the contract's account.

        Errors: ``Rejected("mandate", ...)``, ``Rejected("funds", ...)``.
        """
        ...

    def pay(self, account: AccountName, amount: int) -> None:
        """Move tokens from the contract's account to another account of this chain.

        Errors: ``Rejected("funds", ...)`` beyond the contract's balance.
        """
        ...

    def send(self, chain: str, call: Call, amount: int, expires: Instant | None = None) -> MessageId:
        """Put a message for another chain into the outbox, with tokens (at least 1) of the contract's account.

        It becomes an output of an anchor, and an on-ledger request there. If nobody took it by ``expires``, it comes back
        as a call of this contract's ``returned(counter, entry point, packed parameters)`` with its tokens.

        Errors: ``Rejected("funds", ...)``, ``Rejected("outputs", ...)`` beyond 4 outputs of one request,
        ``Rejected("chain", ...)`` for a chain that this one doesn't know.
        """
        ...

    def emit(self, event: str, *fields: Plain) -> None:
        """Put an event into the chain block."""
        ...

    def draw(self, *label: str | int) -> Stream:
        """The contract's stream of randomness with this label: of the contract seed, this chain's name and the label."""
        ...

    def burn(self, gas: int) -> None:
        """Charge gas for work that the sandbox can't see.

        Errors: ``Rejected("gas", ...)`` beyond the budget.
        """
        ...


class Due(Frozen, order=True):
    """A moment at which a contract acts by itself. Due moments run in this order: time, interval, contract."""

    instant: Instant
    interval: int
    contract: str


EntryPoint: TypeAlias = Callable[..., Plain]
"""Called with the sandbox and the parameters. It checks its parameters itself: they come from anybody."""
ViewPoint: TypeAlias = Callable[..., Plain]
"""Called with the view and the parameters."""


class Contract(ABC):
    """A contract: its name, its doors, its due moments."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Stands in the chain's registry; grows when the contract's behaviour changes."""
    answers: ClassVar[tuple[str, ...]] = ("returned",)
    """Entry points for the answers of other chains. What comes with a failed answer stays with this contract; what comes
    with any other failed message goes back to its sender's ``returned``. So no failure is ever sent to and fro."""

    @property
    @abstractmethod
    def entry_points(self) -> Mapping[str, EntryPoint]:
        """The doors for requests, by name; the result goes into the receipt."""

    @property
    def views(self) -> Mapping[str, ViewPoint]:
        """The doors for readers, by name."""
        return {}

    def genesis(self, sandbox: Sandbox) -> None:
        """Write the contract's first state."""
        return

    def next_due(self, state: StateReader) -> Due | None:
        """The contract's earliest due moment, from the state alone."""
        return None

    def handle_due(self, sandbox: Sandbox, due: Due) -> None:
        """Act. Afterwards ``next_due`` must be later in (instant, interval), or none. It must not raise ``Rejected``."""
        raise AssertionError(f"{self.name} has no due moments")
