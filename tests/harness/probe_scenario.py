"""A busy hour of three chains of probes: what the hash seed of the interpreter must not change."""

from __future__ import annotations

from ledger.kernel.instant import HOUR, MINUTE
from ledger.kernel.rng import stream
from tests.harness.probe import Probe, SecondProbe, Strict
from tests.harness.solo import Solo

USERS = tuple(f"home{n}" for n in range(6))
FATES = ("take", "take_then_fail", "missing", "answer")
NAMES = ("mg1", "mg2", "region")


def busy_solo(seed: int = 1, requests: int = 60) -> Solo:
    """Random requests, failing ones among them, messages that fail, expire and come back, due moments."""
    rng = stream(seed, "probes")
    solo = Solo(
        {name: {"probe": Probe(), "second": SecondProbe(), "strict": Strict()} for name in NAMES},
        USERS,
        {name: {**dict.fromkeys(USERS, 1_000), "probe": 500, "utility": 50} for name in NAMES},
        {name: {"home1": ("probe",)} for name in NAMES},
    )
    for _ in range(requests):
        chain, user, amount = rng.choice(NAMES), rng.choice(USERS), rng.randrange(1, 400)
        other = rng.choice([name for name in NAMES if name != chain])
        contract = rng.choice(("probe", "second", "strict"))
        calls = [
            ("probe", "write", (rng.choice("abc"), rng.choice((None, amount)))),
            (contract, "take", (amount,)),
            ("probe", "collect", (user, amount)),
            (contract, "pay", (user, amount)),
            (
                contract,
                "send",
                (other, rng.choice(("take", "take_then_fail", "missing", "answer")), amount, rng.randrange(1, 6)),
            ),
            (contract, "send", (other, "take", amount, 1, solo.now + rng.randrange(1, 5) * MINUTE)),
            ("probe", "burn", (rng.randrange(10**8),)),
            ("probe", "schedule", (((solo.now + rng.randrange(9 * MINUTE), rng.randrange(9), 2, other),),)),
            ("accounts", "transfer_to_chain", (other, rng.choice(("home2", "nobody")), amount, None)),
        ]
        target, entry_point, parameters = rng.choice(calls)
        request = solo.sign(chain, user, target, entry_point, *parameters, allowance=rng.randrange(900))
        solo.submit(chain, request)
        solo.offline = {rng.choice(NAMES)} if rng.random() < 0.3 else set()
        solo.advance(rng.randrange(MINUTE))
    solo.offline = set()
    solo.advance(HOUR)
    return solo


def transcript(seed: int = 1) -> str:
    """Every block's digest, every receipt and event."""
    lines = []
    for name, chain in busy_solo(seed).chains.items():
        for execution in chain.executions:
            lines.append(f"{name} {execution.block.index} {execution.block.digest.hex()} {execution.funds}")
            lines.extend(str(receipt) for receipt in execution.receipts)
            lines.extend(str(event) for event in execution.events)
    return "\n".join(lines)
