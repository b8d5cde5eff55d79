"""Model crypto has the bytes of real crypto and makes nobody decide otherwise: only hashes tell two such runs apart."""

from __future__ import annotations

from pathlib import Path

from node.experiments.run import Outcome
from tests.harness.small_run import run_small

HASHES = {"request", "transaction", "block", "payload", "strong_parents", "weak_parents"}


def without_hashes(outcome: Outcome) -> dict[str, list[str]]:
    """All tables, without the columns that name something by its hash: keys are hashed into them."""
    kept = {}
    for table in outcome.tables:
        columns = [name for name in table.columns if name not in HASHES]
        kept[table.name] = sorted(map(repr, table.select(*columns)))
    return kept


def test_real_and_model_crypto_give_equal_decisions_at_equal_instants_in_equal_bytes(tmp_path: Path):
    outcomes = {kind: run_small(tmp_path, f'scenario.crypto="{kind}"') for kind in ("model", "real")}
    model, real = (without_hashes(outcome) for outcome in outcomes.values())
    assert model == real
    assert {"Block", "Ready", "PartialNonceSignature"} <= set(outcomes["real"].tables.messages.column("kind"))
    summaries = [outcome.summary for outcome in outcomes.values()]
    differing = {name for name in summaries[0] if summaries[0][name] != summaries[1][name]}
    assert differing == {"digest", "transcript"}
