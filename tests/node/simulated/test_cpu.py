from __future__ import annotations

from ledger.kernel.identity import deal_signer, verifier
from ledger.kernel.key_dealer import deal_member_keys
from node.simulated.cpu import CpuMeter
from node.simulated.metered_keys import (
    MeteredCoinKey,
    MeteredDecryptionKey,
    MeteredNonceKey,
    MeteredSigningKey,
)
from tests.harness.simulation import toy_profile


def test_the_sum_of_what_was_charged_is_rounded_up_to_the_microsecond_once():
    meter = CpuMeter(toy_profile(sign=400_000, gas=1))
    meter.charge("sign", 5)
    assert meter.settle() == 2
    meter.charge("sign", 5)
    meter.charge("gas")
    assert (meter.settle(), meter.settle()) == (3, 0)
    assert (meter.charged["sign"], meter.charged["gas"]) == (10, 1)


def test_a_slowed_cpu_takes_longer():
    meter = CpuMeter(toy_profile(sign=1_000_000))
    meter.slowness = 250
    meter.charge("sign", 3)
    assert meter.settle() == 8  # 7.5


def test_wrapped_keys_do_the_same_and_charge_for_it():
    meter = CpuMeter(toy_profile(sign=1))
    plain, judge = deal_signer("model", 1, "a"), verifier("model")
    signer, checker = meter.signer(plain), meter.verifier(judge)
    signature = signer.sign(b"12345")
    assert signature == plain.sign(b"12345")
    assert signer.public_key == plain.public_key
    assert checker.verify(plain.public_key, b"12345", signature)
    assert not checker.verify(plain.public_key, b"1234", signature)
    assert (meter.charged["sign"], meter.charged["verify"], meter.charged["hash"]) == (1, 2, 14)


def test_all_keys_of_a_member_are_wrapped_or_none():
    keys = deal_member_keys("model", 1, "c", 4, 1)[0]
    assert CpuMeter(None).member_keys(keys) is keys
    wrapped = CpuMeter(toy_profile()).member_keys(keys)
    assert [type(wrapped.coin), type(wrapped.signing), type(wrapped.nonces), type(wrapped.decryption)] == [
        MeteredCoinKey,
        MeteredSigningKey,
        MeteredNonceKey,
        MeteredDecryptionKey,
    ]


def test_without_a_profile_nothing_is_wrapped_and_nothing_costs():
    meter = CpuMeter(None)
    signer = deal_signer("model", 1, "a")
    assert meter.signer(signer) is signer
    meter.charge("sign", 10**9)
    assert meter.settle() == 0
