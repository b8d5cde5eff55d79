"""What is public of a committee's keys and what only a member knows, dealt apart and put together again."""

import pytest

from ledger.kernel.key_dealer import MemberSecrets, deal_committee, deal_member_keys, foreign_secrets, join_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream


@pytest.mark.parametrize("n", [1, 4, 6])
def test_joined_keys_are_those_that_the_dealer_deals_at_once(n):
    f = max_faulty(n)
    public, secrets = deal_committee(7, "mg1", n, f)
    for member, dealt in enumerate(deal_member_keys("model", 7, "mg1", n, f)):
        joined = join_keys(public, member, secrets[member])
        assert public.n == n
        assert joined.signing.group_key == joined.nonces.group_key == dealt.signing.group_key
        assert (joined.coin.threshold, joined.signing.threshold, joined.nonces.threshold, joined.decryption.threshold) == (
            dealt.coin.threshold, dealt.signing.threshold, dealt.nonces.threshold, dealt.decryption.threshold,
        )  # fmt: skip


def test_members_that_joined_their_keys_apart_toss_sign_and_open_together():
    public, secrets = deal_committee(b"seed", "mg1", 4, 1)
    keys = [join_keys(public, member, secrets[member]) for member in range(4)]
    tossed = {member: keys[member].coin.share(b"coin") for member in range(4)}
    assert all(keys[0].coin.verify_share(member, b"coin", share) for member, share in tossed.items())
    dealings = [keys[0].nonces.deal(b"sid", stream(1, "nonces"))]
    shares = [keys[member].nonces.open(b"sid", dealings[0]) for member in range(4)]
    partials = {
        member: keys[member].nonces.sign_partial(dealings, [shares[member]], b"message")  # type: ignore[list-item]
        for member in range(3)
    }
    assert all(keys[3].nonces.verify_partial(member, dealings, b"message", part) for member, part in partials.items())
    ciphertext = keys[0].decryption.encrypt(b"label", b"plaintext", stream(1, "encrypt"))
    opened = {member: keys[member].decryption.share(ciphertext) for member in (1, 3)}
    assert keys[2].decryption.combine(ciphertext, opened) == b"plaintext"


@pytest.mark.parametrize("name", MemberSecrets.__struct_fields__)
def test_a_secret_of_another_member_is_told_by_its_name(name):
    public, (mine, other, *_) = deal_committee(1, "mg1", 4, 1)
    mixed = MemberSecrets(
        **{field: getattr(mine, field) for field in mine.__struct_fields__} | {name: getattr(other, name)}
    )
    assert foreign_secrets(public, 0, mine) == ()
    assert foreign_secrets(public, 0, mixed) == (name,)


def test_secrets_are_not_shown():
    secrets = deal_committee(1, "mg1", 4, 1)[1][0]
    assert repr(secrets) == "MemberSecrets(...)"
