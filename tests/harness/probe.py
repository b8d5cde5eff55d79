"""A contract that does whatever it is asked to: every act of the sandbox is an entry point."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import Plain
from ledger.kernel.rejection import Rejected
from wasp.request import call
from wasp.vm.contract import Contract, Due, EntryPoint, Sandbox, StateReader, View, ViewPoint


class Probe(Contract):
    """Its due moments are listed in the state: (instant, interval, messages to send, chain to send them to)."""

    name = "probe"
    answers = ("returned", "answer")

    @property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        return {
            "write": _write,
            "take": _take,
            "take_then_fail": _take_then_fail,
            "collect": _collect,
            "pay": _pay,
            "send": _send,
            "burn": _burn,
            "emit": _emit,
            "draw": _draw,
            "seen": _seen,
            "schedule": _schedule,
            "echo": _echo,
            "forward": _forward,
            "take_twice": _take_twice,
            "stumble": _stumble,
            "answer": _take_then_fail,
            "returned": _returned,
        }

    @property
    def views(self) -> Mapping[str, ViewPoint]:
        return {"value": _value, "now": _now}

    def next_due(self, state: StateReader) -> Due | None:
        moments = state.read("moments") or ()
        return Due(moments[0][0], moments[0][1], self.name) if moments else None

    def handle_due(self, sandbox: Sandbox, due: Due) -> None:
        (_, interval, messages, chain), *rest = sandbox.read("moments")
        sandbox.write("moments", value=tuple(rest) or None)
        sandbox.emit("due", due.instant, interval)
        for _ in range(messages):
            sandbox.send(chain, call("probe", "take", 1), 1)
        if messages < 0:
            raise Rejected("failing", "as asked")


class SecondProbe(Probe):
    """The same under another name."""

    name = "second"


class Stuck(Probe):
    """Is due again and again at the same moment."""

    name = "stuck"

    def next_due(self, state: StateReader) -> Due | None:
        return Due(10, 0, self.name)

    def handle_due(self, sandbox: Sandbox, due: Due) -> None:
        sandbox.emit("again")


class Strict(Probe):
    """Fails whatever comes back to it."""

    name = "strict"

    @property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        return {**super().entry_points, "returned": _take_then_fail}


def _write(sandbox: Sandbox, key: str, value: Plain) -> Plain:
    sandbox.write(key, value=value)
    return sandbox.read(key)


def _take(sandbox: Sandbox, amount: int) -> Plain:
    sandbox.take(amount)
    return amount


def _take_then_fail(sandbox: Sandbox, first: Plain = 0, second: Plain = None, third: Plain = None) -> Plain:
    sandbox.write("written", value=True)
    sandbox.emit("written")
    sandbox.take(sandbox.attached or (first if type(first) is int else 0))
    raise Rejected("failing", "as asked")


def _collect(sandbox: Sandbox, account: str, amount: int) -> Plain:
    sandbox.collect(account, amount)
    return None


def _pay(sandbox: Sandbox, account: str, amount: int) -> Plain:
    sandbox.pay(account, amount)
    return None


def _send(sandbox: Sandbox, chain: str, entry_point: str, amount: int, times: int, expires: int | None = None) -> Plain:
    sandbox.take(amount * times)
    return tuple(sandbox.send(chain, call("probe", entry_point, amount), amount, expires).counter for _ in range(times))


def _burn(sandbox: Sandbox, gas: int) -> Plain:
    sandbox.burn(gas)
    return None


def _emit(sandbox: Sandbox, event: str, field: Plain) -> Plain:
    sandbox.emit(event, field)
    return None


def _draw(sandbox: Sandbox, label: str) -> Plain:
    return sandbox.draw(label).randrange(10**9)


def _seen(sandbox: Sandbox) -> Plain:
    message = sandbox.message
    named = None if message is None else (message.chain, message.contract, message.counter)
    known = sandbox.request_id is not None
    return (sandbox.chain, sandbox.contract, sandbox.caller, sandbox.attached, named, sandbox.timestamp, known)


def _schedule(sandbox: Sandbox, moments: tuple[tuple[int, int, int, str], ...]) -> Plain:
    sandbox.write("moments", value=tuple(sorted(moments)))
    return None


def _echo(sandbox: Sandbox, value: Plain = None) -> Plain:
    return value


def _stumble(sandbox: Sandbox, value: Plain) -> Plain:
    sandbox.write("stumbled", value=True)
    return value + 1  # type: ignore[operator]


def _returned(sandbox: Sandbox, counter: int, entry_point: str, parameters: bytes) -> Plain:
    sandbox.take(sandbox.attached)
    sandbox.write("returned", counter, value=(sandbox.caller, entry_point, parameters, sandbox.attached))
    return None


def _value(view: View, first: str, second: Plain = None) -> Plain:
    return view.read(first) if second is None else view.read(first, second)  # type: ignore[arg-type]


def _now(view: View) -> Plain:
    return view.timestamp


def _forward(sandbox: Sandbox, chain: str, content: bytes) -> Plain:
    sandbox.take(1)
    return sandbox.send(chain, call("probe", "echo", content), 1).counter


def _take_twice(sandbox: Sandbox, amount: int) -> Plain:
    sandbox.take(amount)
    sandbox.take(amount)
    return None
