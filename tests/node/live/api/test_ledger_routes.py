"""Layer 1, as its nodes tell it."""

from __future__ import annotations

import pytest

from ledger.kernel.encoding import encode
from ledger.kernel.instant import SECOND
from ledger.utxo import genesis_transaction_id
from node.live.api.answers import output_id_to_hex, to_hex
from tests.harness.virtual_nodes import A1, TANGLE1, VirtualCluster, serving

CORE = "/api/core/v2"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> VirtualCluster:
    """After the opening of the first market: some anchors are confirmed."""
    cluster = VirtualCluster(tmp_path_factory.mktemp("small"))
    cluster.run(cluster.scenario.market.gate_at(0, 0) + 30 * SECOND)
    return cluster


def anchor_of(cluster: VirtualCluster, chain: str):
    tangle = cluster.runtime.host(TANGLE1).tangle
    found = tangle.ledger.anchor_of(cluster.scenario.chains[chain].program.id)
    assert found is not None
    return found


async def test_a_household_has_no_layer_1_and_says_so(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        answer = await client.ask(f"{CORE}/info", 404)
        assert answer == {"code": "no_ledger", "message": "a1 is no layer-1 node: ask one of those"}


async def test_the_ledger_as_a_node_sees_it(cluster: VirtualCluster):
    dag = cluster.runtime.host(TANGLE1).tangle.dag
    async with serving(cluster.node(TANGLE1)) as client:
        info = await client.ask(f"{CORE}/info")
        assert (info["name"], info["isSynchronised"], info["blocks"]) == ("tangle1", True, len(dag.entries))
        assert info["newestConfirmed"] == to_hex(dag.newest_confirmed.id)
        tips = (await client.ask(f"{CORE}/tips"))["tips"]
        assert 1 <= len(tips) <= 8
        assert (await client.ask(f"{CORE}/blocks/{tips[0]}"))["blockId"] == tips[0]


async def test_blocks_are_told_page_by_page(cluster: VirtualCluster):
    async with serving(cluster.node(TANGLE1)) as client:
        first = await client.ask(f"{CORE}/blocks?limit=2")
        second = await client.ask(f"{CORE}/blocks?limit=1&before={first['next']}")
        blocks = [*first["blocks"], *second["blocks"]]
        places = [block["place"] for block in blocks]
        assert places == list(range(places[0], places[0] - 3, -1))
        assert await client.ask(f"{CORE}/blocks/{blocks[0]['blockId']}") == blocks[0]
        assert await client.ask(f"{CORE}/blocks?before=1") == {"blocks": [], "next": None}


async def test_an_anchor_is_found_by_its_output_its_transaction_and_its_block(cluster: VirtualCluster):
    anchor_id, anchor = anchor_of(cluster, "north")
    async with serving(cluster.node(TANGLE1)) as client:
        output = await client.ask(f"{CORE}/outputs/{output_id_to_hex(anchor_id)}")
        assert (output["kind"], output["stateIndex"], output["isSpent"]) == ("anchor", anchor.state_index, False)
        assert output["chainId"] == to_hex(anchor.chain)
        transaction = await client.ask(f"{CORE}/transactions/{to_hex(anchor_id.transaction)}")
        assert transaction["standing"] == "confirmed"
        assert output_id_to_hex(anchor_id) in transaction["outputs"]
        spent = await client.ask(f"{CORE}/outputs/{transaction['inputs'][0]}")
        assert spent["isSpent"]
        block = await client.ask(f"{CORE}/transactions/{to_hex(anchor_id.transaction)}/included-block")
        assert (block["transactionId"], block["grade"]) == (to_hex(anchor_id.transaction), "confirmed")
        assert block["blockId"] in transaction["blocks"]


async def test_what_is_not_there_is_not_found(cluster: VirtualCluster):
    nothing = "0x" + "ab" * 32
    async with serving(cluster.node(TANGLE1)) as client:
        paths = {
            f"blocks/{nothing}": "unknown_block",
            f"transactions/{nothing}": "unknown_transaction",
            f"transactions/{nothing}/included-block": "not_included",
            f"outputs/{nothing}0000": "unknown_output",
        }
        for path, code in paths.items():
            assert (await client.ask(f"{CORE}/{path}", 404))["code"] == code
        assert (await client.ask(f"{CORE}/blocks?limit=1000"))["next"] is None
        for path in (
            "blocks?limit=1001",
            "blocks/0xab",
            "transactions/ab",
            "outputs/" + nothing,
            "blocks?limit=0",
            "blocks?before=-1",
        ):
            assert (await client.ask(f"{CORE}/{path}", 400))["code"] == "bad_question"


async def test_a_submitted_transaction_is_taken_and_one_that_is_there_is_taken_again(cluster: VirtualCluster):
    anchor_id, _ = anchor_of(cluster, "town")
    transaction = cluster.runtime.host(TANGLE1).tangle.ledger.transactions[anchor_id.transaction].transaction
    async with serving(cluster.node(TANGLE1)) as client:
        body = {"transaction": to_hex(encode(transaction))}
        assert await client.post(f"{CORE}/blocks", body, 202) == {"transactionId": to_hex(transaction.id)}
        for wrong in ("0x00", "0x", to_hex(encode(transaction) + b"\0")):
            assert (await client.post(f"{CORE}/blocks", {"transaction": wrong}, 400))["code"] == "undecodable"
    assert genesis_transaction_id("small") not in cluster.runtime.host(TANGLE1).tangle.ledger.transactions
