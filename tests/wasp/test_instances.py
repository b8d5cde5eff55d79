from ledger.kernel.automaton import NodeId
from ledger.kernel.identity import ModelVerifier, deal_signer
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream
from wasp.committee import Committee
from wasp.committee_log import NextIndexVote
from wasp.consensus.consensus import Consensus
from wasp.consensus.protocol_times import ProtocolTimes
from wasp.instances import Instances

MESSAGE = NextIndexVote(1, "done")
ME = NodeId("m0")


def window(n=4, kept=3, ahead_max=2, used=0):
    names = [NodeId(f"m{place}") for place in range(n)]
    signers = [deal_signer("model", 0, name) for name in names]
    key = deal_member_keys("model", 0, "mg1", n, max_faulty(n))[0]
    committee = Committee(names, [signer.public_key for signer in signers], key.signing.group_key)

    def consensus(index):
        rng = stream(0, "instance", index)
        return Consensus(("mg1", index), committee, ME, signers[0], ModelVerifier(), key, rng, "wasp", ProtocolTimes())

    return Instances(committee, kept, ahead_max, used), consensus


def test_the_last_opened_indices_are_kept():
    instances, consensus = window(kept=3)
    dropped = [instances.open(index, consensus(index)) for index in range(1, 6)]
    assert dropped == [(), (), (), (1,), (2,)]
    assert [instance.log_index for instance in instances] == [3, 4, 5]
    assert instances.current is instances.find(5)


def test_an_index_is_used_once():
    instances, consensus = window(used=4)
    try:
        instances.open(4, consensus(4))
    except AssertionError:
        return
    raise RuntimeError("the last index of a former life was opened again")


def test_only_the_near_future_is_held_back():
    instances, consensus = window(ahead_max=2, used=4)
    for index in (3, 4, 5, 6, 7):
        assert instances.hold(NodeId("m1"), index, ("mg1", index, "entropy"), MESSAGE)
    instances.open(5, consensus(5))
    assert instances.release(5) == [(NodeId("m1"), ("mg1", 5, "entropy"), MESSAGE)]
    instances.open(7, consensus(7))
    assert instances.release(7) == []


def test_what_was_held_for_a_lower_index_is_forgotten_and_makes_room():
    instances, consensus = window(used=4)
    path = ("mg1", 5, "entropy")
    for _ in range(instances.held_max):
        assert instances.hold(NodeId("m1"), 5, path, MESSAGE)
    assert not instances.hold(NodeId("m1"), 6, path, MESSAGE)
    assert instances.hold(NodeId("m2"), 6, path, MESSAGE)
    instances.open(6, consensus(6))
    assert instances.release(6) == [(NodeId("m2"), path, MESSAGE)]
    assert instances.hold(NodeId("m1"), 7, path, MESSAGE)
