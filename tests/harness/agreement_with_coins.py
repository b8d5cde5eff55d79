"""One agreement with the coins that it needs: what a common subset holds of it, without the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ledger.kernel.automaton import Automaton, NodeId, Path, Step, StepBuilder
from ledger.kernel.instant import Instant
from tests.harness.committee import CHAIN, DealtCommittee
from wasp.consensus.binary_agreement import CoinLearned, CoinNeeded
from wasp.consensus.common_coin import CoinTossed, CommonCoin, ReleaseShare


class AgreementWithCoins(Automaton[Any, Any, Any]):
    """One member's part in the agreement of the first proposer in this log index, and in its coins."""

    def __init__(self, dealt: DealtCommittee, me: NodeId, make: Callable[[Path], Any], log_index: int = 1) -> None:
        self._committee = dealt.committee
        self._key = dealt.keys[me].coin
        self._path: Path = (CHAIN, log_index, "agreement", 0)
        self.agreement = make(self._path)
        self._coins: dict[Path, CommonCoin] = {}

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        whole: StepBuilder[Any] = StepBuilder()
        self._absorb(whole, self._path, self.agreement.handle_input(input, now), now)
        return whole.build()

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        whole: StepBuilder[Any] = StepBuilder()
        leaf = self.agreement if path == self._path else self._coin(path)
        self._absorb(whole, path, leaf.handle_message(sender, path, message, now), now)
        return whole.build()

    def _absorb(self, whole: StepBuilder[Any], path: Path, step: Step[Any], now: Instant) -> None:
        for output in whole.add(step):
            match output:
                case CoinNeeded():
                    coin_path: Path = (*self._path[:2], "coin", 0, output.round)
                    self._absorb(whole, coin_path, self._coin(coin_path).handle_input(ReleaseShare(), now), now)
                case CoinTossed():
                    learned = CoinLearned(int(path[4]), output.bit)
                    self._absorb(whole, self._path, self.agreement.handle_input(learned, now), now)
                case _:
                    whole.outputs.append(output)

    def _coin(self, path: Path) -> CommonCoin:
        return self._coins.setdefault(path, CommonCoin(path, self._committee, self._key))
