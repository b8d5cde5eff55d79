"""What every node may know of a scenario's keys, and what only one host knows."""

import pytest
from msgspec.structs import replace

from ledger.kernel.automaton import NodeId
from node.configuration_file import load_configuration
from node.identities import HeldIdentities, HostSecrets, SeededIdentities, deal_identities, identity_problems
from node.plan import Plan, plan_of
from tests.harness.small_run import HOMES, write_small

A1, A2, TANGLE1 = NodeId("a1"), NodeId("a2"), NodeId("tangle1")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_of(load_configuration(write_small(tmp_path_factory.mktemp("small"))))


@pytest.mark.parametrize("kind", ["real", "model"])
def test_identities_dealt_from_the_seed_of_a_simulation_are_the_simulations(plan, kind):
    public, secrets = deal_identities(1, plan)
    seeded = SeededIdentities(kind, 1, plan)
    assert public.hosts == {host: seeded.public_key(host) for host in plan.hosts}
    assert list(public.hosts) == list(secrets) == list(plan.hosts)
    held = HeldIdentities(public, secrets[A1])
    for name, chain in plan.chains.items():
        assert public.chains[name].members == chain.members
        assert held.group_key(name) == seeded.group_key(name)


def test_another_seed_deals_other_keys(plan):
    (one, _), (other, _) = deal_identities(b"1" * 32, plan), deal_identities(b"2" * 32, plan)
    assert not set(one.hosts.values()) & set(other.hosts.values())
    assert one.chains["north"].keys != other.chains["north"].keys


def test_a_host_knows_its_own_secrets_only(plan):
    _, secrets = deal_identities(1, plan)
    chains = {host: tuple(secret.chains) for host, secret in secrets.items()}
    assert chains[TANGLE1] == ()
    assert chains == {
        host: tuple(name for name, chain in plan.chains.items() if host in chain.members) for host in plan.hosts
    }
    known = [secret.signing for secret in secrets.values()]
    known += [
        number.to_bytes(32, "little")
        for secret in secrets.values()
        for member in secret.chains.values()
        for number in (member.coin, member.signing, member.opening, member.decryption)
    ]
    assert len(set(known)) == len(known)


def test_a_held_identity_signs_as_its_host_and_as_its_member(plan):
    public, secrets = deal_identities(1, plan)
    one, other = (HeldIdentities(public, secrets[NodeId(home)]) for home in HOMES[:2])
    signature = one.signer(A1).sign(b"message")
    assert other.verifier.verify(other.public_key(A1), b"message", signature)
    share = one.member_keys("north", A1).coin.share(b"coin")
    assert other.member_keys("north", A2).coin.verify_share(0, b"coin", share)


def test_a_held_identity_has_nothing_for_other_hosts(plan):
    public, secrets = deal_identities(1, plan)
    held = HeldIdentities(public, secrets[A1])
    with pytest.raises(AssertionError, match="own secrets only"):
        held.signer(A2)
    with pytest.raises(AssertionError, match="own secrets only"):
        held.member_keys("north", A2)


def test_each_secret_that_does_not_fit_is_told_by_its_field(plan):
    public, secrets = deal_identities(1, plan)
    mine, other = secrets[A1], secrets[A2]
    assert [identity_problems(public, secret) for secret in secrets.values()] == [[]] * len(secrets)
    assert identity_problems(public, replace(mine, host=NodeId("nobody"))) == [
        ("host", "'nobody' is none of the public identities' hosts")
    ]
    fields = mine.chains["north"].__struct_fields__
    foreign = HostSecrets(A1, other.signing, {"north": other.chains["north"], "south": mine.chains["north"]})
    assert identity_problems(public, foreign) == [
        ("signing", "is not the secret of a1's public key"),
        ("chains.town", "is missing: a1 is a member"),
        *((f"chains.north.{name}", "is not the secret of a1's public share") for name in fields),
        ("chains.south", "a1 is no member of a chain with this name"),
    ]


def test_secrets_are_not_shown(plan):
    _, secrets = deal_identities(1, plan)
    assert repr(secrets[A1]) == "HostSecrets('a1', ...)"
