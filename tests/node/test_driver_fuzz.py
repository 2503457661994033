"""Whatever a peer says, the driver answers with a typed error or goes on."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.simplex.events import Peer
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Request,
    encode_message,
    message_bytes,
)
from consensus.simplex.verification import InvalidMessage
from genesis.presets import dev_session_seeds
from node.inbox import PEERS_MAX
from primitives.crypto import KeyPair
from primitives.errors import DecodeError
from primitives.types import Digest, Epoch, Signature, View
from tests.chain.small_chains import SmallChain, genesis_of, small_spec
from tests.node.small_nodes import SmallNode

SPEC = small_spec(("Alice", "Bob"), epoch_length=4)
KEYS = {name: KeyPair(dev_session_seeds(name).consensus) for name in ("Alice", "Bob")}
EPOCHS = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1]).map(Epoch)
VIEWS = st.sampled_from([0, 1, 2, 3, 17, 2**63, 2**64 - 1]).map(View)
BLOCKS = st.sampled_from([bytes(32), bytes([1]) * 32]).map(Digest)
SIGNERS = st.sampled_from([0, 1, 2, 65_535])
SIGNATURES = st.binary(min_size=64, max_size=64).map(Signature)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Proposal, EPOCHS, VIEWS, VIEWS, BLOCKS, BLOCKS, SIGNERS, SIGNATURES),
    st.builds(Notarize, EPOCHS, VIEWS, BLOCKS, SIGNERS, SIGNATURES),
    st.builds(Nullify, EPOCHS, VIEWS, SIGNERS, SIGNATURES),
    st.builds(Finalize, EPOCHS, VIEWS, BLOCKS, SIGNERS, SIGNATURES),
    st.builds(Request, EPOCHS, VIEWS, VIEWS),
    st.builds(
        Certificate,
        st.just(Kind.NOTARIZE),
        EPOCHS,
        VIEWS,
        BLOCKS,
        st.binary(max_size=3),
        st.lists(SIGNATURES, max_size=3).map(tuple),
    ),
)


async def hear(folder: Path, frames: Sequence[bytes], *, is_patient: bool) -> None:
    node = SmallNode.open(folder, SPEC, name="Bob")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.driver.run)
        await trio.testing.wait_all_tasks_blocked()
        if is_patient:
            await trio.sleep(2)  # until it has listened
        for frame in frames:
            with suppress(DecodeError, InvalidMessage):
                node.driver.receive(Peer(b"liar"), frame)
            await trio.lowlevel.checkpoint()
        await trio.sleep(5)
        epoch = node.driver._epoch
        assert epoch is not None
        assert len(epoch.inbox) <= PEERS_MAX
        assert not epoch.machine.is_ended
        nursery.cancel_scope.cancel()
    node.close()


def run(folder: Path, frames: Sequence[bytes], *, is_patient: bool) -> None:
    async def heard() -> None:
        await hear(folder, frames, is_patient=is_patient)

    trio.run(heard, clock=trio.testing.MockClock(autojump_threshold=0.002))


FEW = settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FEW
@given(
    frames=st.lists(st.one_of(st.binary(max_size=200), MESSAGES.map(encode_message)), max_size=30),
    is_patient=st.booleans(),
)
def test_any_frames_leave_the_driver_running(
    frames: list[bytes], is_patient: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run(tmp_path_factory.mktemp("node"), frames, is_patient=is_patient)


@FEW
@given(messages=st.lists(MESSAGES, max_size=30))
def test_a_validator_that_signs_anything_leaves_the_driver_running(
    messages: list[Message], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("node")
    small = SmallChain.open(folder / "db", SPEC)
    table, genesis = small.chain.rules_now().table, genesis_of(SPEC).hash
    small.close()
    place = table.find_position(KEYS["Alice"].public)
    assert place is not None
    frames = []
    for message in messages:
        if not isinstance(message, Certificate | Request):
            mine = replace(message, signer=place)
            signature = KEYS["Alice"].sign(message_bytes(genesis, mine))
            frames.append(encode_message(replace(mine, signature=signature)))

    run(folder, frames, is_patient=True)
