"""Cheats on the chain: each fails, and the same cheat succeeds once its defence is taken away."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.types import AccountId, Balance, Digest, Epoch
from runtime.pocps import forward_pass, forward_pass_proof
from runtime.pocps.classes import kind_of, validate_class
from runtime.pocps.module import Pocps
from runtime.pocps.proof import PPB, Claim, SampledProof, detection_ppb, slash_floor
from runtime.pocps.room import Room
from runtime.runtime import proof_terms
from tests.runtime.pocps.proof_chain import (
    COMMIT,
    CPU,
    POCPS,
    SAMPLE,
    ProofChain,
    genesis_providers,
)
from tests.runtime.small_chain import ALICE, BOB

PAIR = replace(POCPS, providers=genesis_providers(ALICE, BOB))


def submit(chain: ProofChain, leaves: dict[AccountId, list[Digest]]) -> dict[AccountId, str]:
    """Let each commit to its leaves and answer with them; return the outcome of each."""
    chain.block(*((who, chain.commit_call(who, 4, leaves=own)) for who, own in leaves.items()))
    chain.to_place(SAMPLE)
    receipts = chain.block(
        *((who, chain.respond_call(who, leaves=own)) for who, own in leaves.items())
    )
    names = [str(event[0]) for receipt in receipts for event in receipt.events[-1:]]  # type: ignore[index] # events are lists
    assert [receipt.error for receipt in receipts] == [""] * len(leaves)
    return dict(zip(leaves, names, strict=True))


def share_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all providers' rows be the same."""
    expand_rows = forward_pass.expand_rows
    monkeypatch.setattr(
        forward_pass,
        "expand_rows",
        lambda resource, challenge, _provider, **where: expand_rows(
            resource, challenge, ALICE, **where
        ),
    )


def freeze_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the challenge be the same in every epoch."""
    monkeypatch.setattr(
        Pocps, "challenge", lambda _self, class_id, _epoch: Digest(bytes([class_id]) * 32)
    )
    forward_pass_proof.open_network.cache_clear()


def test_who_copies_anothers_leaves_is_caught() -> None:
    chain = ProofChain(PAIR)
    leaves = chain.leaves(ALICE, 4)

    outcome = submit(chain, {ALICE: leaves, BOB: leaves})

    assert outcome == {ALICE: "pocps.Proven", BOB: "pocps.Faulted"}


def test_without_rows_of_ones_own_the_copier_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    share_rows(monkeypatch)
    chain = ProofChain(PAIR)
    leaves = chain.leaves(ALICE, 4)

    outcome = submit(chain, {ALICE: leaves, BOB: leaves})

    assert outcome == {ALICE: "pocps.Proven", BOB: "pocps.Proven"}


def test_who_computes_ahead_is_caught() -> None:
    chain = ProofChain(PAIR)
    ahead = chain.leaves(ALICE, 4)
    chain.prove(ALICE)
    chain.next_epoch()

    assert submit(chain, {ALICE: ahead}) == {ALICE: "pocps.Faulted"}


def test_without_a_challenge_of_the_epoch_who_computed_ahead_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    freeze_challenge(monkeypatch)
    chain = ProofChain(PAIR)
    ahead = chain.leaves(ALICE, 4)
    chain.prove(ALICE)
    chain.next_epoch()

    assert submit(chain, {ALICE: ahead}) == {ALICE: "pocps.Proven"}


def replay(chain: ProofChain) -> str:
    """Send last epoch's two extrinsics' calls again and return what became of them."""
    commit = chain.commit_call(ALICE, 4)
    chain.do(ALICE, *commit)
    chain.to_place(SAMPLE)
    respond = chain.respond_call(ALICE)
    chain.do(ALICE, *respond)
    chain.next_epoch()
    chain.do(ALICE, *commit)
    chain.to_place(SAMPLE)
    receipt = chain.call(ALICE, *respond)
    return receipt.error or str(receipt.events[-1][0])  # type: ignore[index] # events are lists


def test_who_sends_last_epochs_proof_again_is_caught() -> None:
    assert replay(ProofChain(PAIR)) in ("pocps.WrongDigestCount", "pocps.Faulted")


def test_without_news_in_each_epoch_the_replayer_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The challenge is frozen, and the positions no longer depend on the beacon."""
    freeze_challenge(monkeypatch)
    sample = SampledProof.sample
    monkeypatch.setattr(
        SampledProof, "sample", lambda self, claim, _beacon: sample(self, claim, Digest(bytes(32)))
    )

    assert replay(ProofChain(PAIR)) == "pocps.Proven"


class Device:
    """A machine that computes four units' leaves in a commit window, and no more."""

    def __init__(self) -> None:
        self.busy: set[tuple[int, int]] = set()

    def compute(self, chain: ProofChain, who: AccountId, window: tuple[int, int]) -> list[Digest]:
        """Return real leaves if the machine is free in this window of blocks, else rubbish."""
        if window in self.busy:
            return [Digest(bytes([each]) * 32) for each in range(8)]
        self.busy.add(window)
        return chain.leaves(who, 4)


def window_of(chain: ProofChain) -> tuple[int, int]:
    """Return the blocks in which a provider of the next block's epoch may compute and commit."""
    start = chain.height // chain.config.session.epoch_length
    return start, chain.config.pocps.commit_deadline


def test_two_names_on_one_device_have_the_same_window_and_one_is_caught() -> None:
    chain, device = ProofChain(PAIR), Device()
    leaves = {who: device.compute(chain, who, window_of(chain)) for who in (ALICE, BOB)}

    outcome = submit(chain, leaves)

    assert outcome == {ALICE: "pocps.Proven", BOB: "pocps.Faulted"}


def test_with_windows_of_their_own_two_names_share_one_device() -> None:
    """Bob's epoch is another chain's here: the same blocks, at another time."""
    device = Device()
    outcomes = []
    for shift, who in ((0, ALICE), (1, BOB)):
        chain = ProofChain(PAIR)
        start, deadline = window_of(chain)
        leaves = device.compute(chain, who, (start + shift, deadline))
        outcomes.append(submit(chain, {who: leaves})[who])

    assert outcomes == ["pocps.Proven", "pocps.Proven"]


TWO_BLOCKS = 2
"""What a device of the right size needs for four units: a window has room for one such proof."""


def prove_one_after_the_other(chain: ProofChain) -> dict[AccountId, str]:
    """Let one device prove for Alice, then for Bob; return what each commitment came to."""
    outcomes = {}
    for place, who in ((TWO_BLOCKS, ALICE), (2 * TWO_BLOCKS, BOB)):
        chain.to_place(place)
        outcomes[who] = chain.error(who, *chain.commit_call(who, 4))
    chain.to_place(SAMPLE + 1)
    for who, error in outcomes.items():
        if not error:
            chain.do(who, *chain.respond_call(who))
    chain.next_epoch()
    return outcomes


def test_proofs_one_after_the_other_do_not_fit_into_the_common_window() -> None:
    chain = ProofChain(PAIR)

    outcomes = prove_one_after_the_other(chain)

    assert outcomes == {ALICE: "", BOB: "pocps.OutsideWindow"}
    assert (chain.live(ALICE), chain.live(BOB)) == (4, 0)
    assert [fault.reason for fault in chain.faults(BOB)] == ["missed_commitment"]


def test_with_a_later_window_for_bob_both_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but Bob commits past the deadline here: the later window is his alone."""
    is_past = Pocps._is_past
    monkeypatch.setattr(
        Pocps,
        "_is_past",
        lambda pocps, deadline: is_past(pocps, deadline + (deadline == COMMIT) * TWO_BLOCKS),
    )
    chain = ProofChain(PAIR)

    outcomes = prove_one_after_the_other(chain)

    assert outcomes == {ALICE: "", BOB: ""}
    assert (chain.live(ALICE), chain.live(BOB)) == (4, 4)
    assert chain.faults(BOB) == ()


def lazy(chain: ProofChain, beacon: Digest | None) -> list[Digest]:
    """Return leaves of which only those are real that a beacon would draw; none is, if unknown.

    Positions depend on the root: the cheat tries roots until one draws what it has computed.
    """
    real = chain.leaves(ALICE, 4)
    kind = kind_of(CPU)
    for attempt in range(200):
        fake = [Digest(bytes([attempt, each]) * 16) for each in range(8)]
        leaves = [*real[:4], *fake[4:]]
        if beacon is None:
            return leaves
        claim = Claim(ALICE, 4, kind.commit(leaves).root)
        if max(kind.sample(claim, beacon)) < 4:
            return leaves
    raise AssertionError("no luck in 200 attempts")


def test_who_computes_half_is_caught_and_who_knows_the_beacon_would_not_be() -> None:
    """Nobody knows it before the deadline: it is that of a block which comes after it."""
    chain = ProofChain(PAIR)
    assert submit(chain, {ALICE: lazy(chain, None)}) == {ALICE: "pocps.Faulted"}
    oracle = ProofChain(PAIR)
    # The same blocks with another commitment: vrf outputs of test chains follow from heights.
    oracle.to_place(SAMPLE + 1)
    drawing = oracle.runtime.pocps.drawing.get()
    assert drawing is not None
    chain = ProofChain(PAIR)

    assert submit(chain, {ALICE: lazy(chain, drawing.beacon)}) == {ALICE: "pocps.Proven"}


# ----------------------------------------------------------------------- the slash inequality


@settings(max_examples=200)
@given(
    reward=st.integers(0, 10**9),
    samples=st.integers(2, 64),
    share=st.integers(10**6, PPB),
    left_out=st.integers(1, 10**6),
)
def test_with_a_bond_that_a_class_needs_faking_loses_whatever_the_fraction(
    reward: int, samples: int, share: int, left_out: int
) -> None:
    """All in exact integers; ``f = left_out / 10**6`` and ``p = caught / whole``."""
    ladder = replace(POCPS.ladder, second_ppb=share, third_ppb=share)
    bond = -(-slash_floor(Balance(reward), samples) * PPB // share)
    config = replace(POCPS, ladder=ladder)
    room = Room(config, proof_terms(ProofChain().config))
    record = replace(
        CPU, samples=samples, bond_per_unit=Balance(max(1, bond)), reward_max=Balance(reward)
    )
    validate_class(record)
    room.validate(record)
    slash = record.bond_per_unit * share // PPB

    whole = (10**6) ** samples
    caught = whole - (10**6 - left_out) ** samples
    # Answering anyway: p * (r + s) > f * r. Staying silent when it would fail: p * r >= f * r.
    assert caught * (reward + slash) * 10**6 > left_out * reward * whole or reward == slash == 0
    assert caught * reward * 10**6 >= left_out * reward * whole
    assert detection_ppb(left_out * 1000, samples) <= PPB


def test_the_presets_keep_the_inequality_with_room() -> None:
    chain = ProofChain()
    for record in chain.config.pocps.classes:
        slash = record.bond_per_unit * chain.config.pocps.ladder.second_ppb // PPB
        assert slash >= slash_floor(record.reward_max, record.samples)


def test_an_old_name_is_worth_nothing_to_new_hardware() -> None:
    chain = ProofChain(replace(POCPS, providers=genesis_providers(ALICE, units=2), grant_epochs=1))
    for _ in range(4):
        chain.prove(ALICE)
        chain.next_epoch()
    assert chain.runtime.pocps.proving_since(ALICE, Epoch(3)) == 0
    chain.do(ALICE, "pocps.register", 1, 6)
    chain.prove(ALICE)
    chain.next_epoch()
    chain.prove(ALICE)

    # Two units since epoch 0, six since epoch 5: as if all eight had begun in 3.75.
    assert chain.runtime.pocps.proving_since(ALICE, Epoch(5)) == 4
