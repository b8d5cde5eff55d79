"""Chains, as their members tell them; an answer's proof convinces whoever has the anchor."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.kernel.instant import SECOND
from node.live.api.answers import from_hex, plain_from_json
from tests.harness.virtual_nodes import A1, A2, A3, TANGLE1, VirtualCluster, serving
from wasp.chain_block import COMMITMENT_CODEC
from wasp.state import OtherLeaf, Proof, verify_proof

NORTH = "/v1/chains/north"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> VirtualCluster:
    """After the gate of the first market."""
    cluster = VirtualCluster(tmp_path_factory.mktemp("small"))
    cluster.run(cluster.scenario.market.gate_at(0, 1) + 60 * SECOND)
    return cluster


def proof_of(told: Any) -> Proof:
    other = told["other"]
    leaf = None if other is None else OtherLeaf(from_hex(other["path"]), from_hex(other["valueDigest"]))
    return Proof(tuple(tuple(map(from_hex, level)) for level in told["levels"]), leaf)


async def test_a_member_lists_its_chains_and_a_layer_1_node_has_none(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        chains = (await client.ask("/v1/chains"))["chains"]
        assert [(chain["name"], chain["stuck"]) for chain in chains] == [("north", None), ("town", None)]
    async with serving(cluster.node(TANGLE1)) as client:
        assert await client.ask("/v1/chains") == {"chains": []}
        assert (await client.ask(NORTH, 404))["code"] == "unknown_chain"


async def test_where_a_chain_stands(cluster: VirtualCluster):
    chain = cluster.runtime.host(A1).chains["north"]
    async with serving(cluster.node(A1)) as client:
        told = await client.ask(NORTH)
        assert (told["name"], told["member"], told["logIndex"]) == ("north", 0, chain.log.used)
        assert told["confirmed"]["stateIndex"] == chain.confirmed_block.index > 0
        assert told["lag"] == chain.active_block.index - chain.confirmed_block.index
        assert told["confirmed"]["anchorId"] is not None
        assert told["status"]["mempool"] == chain.mempool.status


async def test_a_committee_and_who_of_it_is_there(cluster: VirtualCluster):
    node = cluster.node(A1)
    node.away = {A2}
    async with serving(node) as client:
        told = await client.ask(f"{NORTH}/committee")
        assert [(member["name"], member["isMe"], member["isConnected"]) for member in told["members"]] == [
            ("a1", True, True),
            ("a2", False, False),
            ("a3", False, True),
            ("a4", False, True),
        ]
        assert (told["faultyMax"], told["quorum"], told["connected"]) == (1, 3, 3)
        assert (await client.ask(NORTH))["stuck"] is None
        node.away = {A2, A3}
        assert (await client.ask(NORTH))["stuck"] == (
            "the committee lacks a quorum: 2 of 4 members are there, 3 are needed, a2, a3 missing"
        )


@pytest.mark.parametrize("key", ["accounts,balance,a1", "accounts,balance,nobody", "auction,clearing,0", "none"])
async def test_a_value_of_the_state_is_proven_by_the_anchor(cluster: VirtualCluster, key: str):
    async with serving(cluster.node(A1)) as client, serving(cluster.node(TANGLE1)) as ledger:
        told = await client.ask(f"{NORTH}/state/{key}")
        contract, *parts = told["key"]
        root = from_hex(told["root"])
        assert verify_proof(root, contract, tuple(parts), plain_from_json(told["value"]), proof_of(told["proof"]))
        anchor = await ledger.ask(f"/api/core/v2/outputs/{told['anchorId']}")
        assert COMMITMENT_CODEC.decode(from_hex(anchor["stateMetadata"])).root == root
        assert (anchor["stateIndex"], anchor["isSpent"]) == (told["stateIndex"], False)
        assert (told["value"] is None) == (key in ("accounts,balance,nobody", "none"))


async def test_parts_of_a_key_that_look_like_numbers_are_numbers(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        assert (await client.ask(f"{NORTH}/state/auction,order,0,007,-1,a"))["key"] == [
            "auction",
            "order",
            0,
            "007",
            -1,
            "a",
        ]
        assert (await client.ask(f"{NORTH}/state/{'k' * 1025}", 400))["code"] == "bad_question"
        assert (await client.ask(f"{NORTH}/state/{'%E2%82%AC' * 400}", 400))["code"] == "key"


async def test_a_view_is_called(cluster: VirtualCluster):
    async with serving(cluster.node(A1)) as client:
        call = {"contractName": "auction", "functionName": "interval", "arguments": [0], "at": "active"}
        told = await client.post(f"{NORTH}/callview", call)
        assert told["result"] in ("cleared", "final")
        contracts = {"contractName": "root", "functionName": "contracts"}
        assert (await client.post(f"{NORTH}/callview", contracts))["result"] == [
            "accounts",
            "auction",
            "blocklog",
            "governance",
            "root",
        ]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"functionName": "nothing"}, 404, "view"),
        ({"arguments": []}, 400, "parameters"),
        ({"arguments": [1.5]}, 400, "parameters"),
        ({"arguments": [{"hex": "0x0"}]}, 400, "parameters"),
        ({"arguments": [{"hex": "0x00", "more": 1}]}, 400, "parameters"),
        ({"arguments": ["none"]}, 400, "parameters"),
        ({"arguments": [10**30]}, 400, "unpackable"),
        ({"arguments": "0"}, 400, "bad_question"),
        ({"unknown": 1}, 400, "bad_question"),
        ({"at": "yesterday"}, 400, "bad_question"),
    ],
)
async def test_a_wrong_call_of_a_view_is_refused(
    cluster: VirtualCluster, change: dict[str, Any], status: int, code: str
):
    call = {"contractName": "auction", "functionName": "interval", "arguments": [0]} | change
    async with serving(cluster.node(A1)) as client:
        assert (await client.post(f"{NORTH}/callview", call, status))["code"] == code


async def test_the_block_log_is_told_by_index(cluster: VirtualCluster):
    block = cluster.runtime.host(A1).chains["north"].confirmed_block
    async with serving(cluster.node(A1)) as client:
        told = await client.ask(f"{NORTH}/core/blocklog/blocks/{block.index}")
        assert (told["timestamp"], from_hex(told["previous"])) == (block.timestamp, block.previous)
        assert [from_hex(request) for request in told["requests"]] == [request.id for request in block.requests]
        assert (await client.ask(f"{NORTH}/core/blocklog/blocks/99999", 404))["code"] == "unknown_chain_block"
