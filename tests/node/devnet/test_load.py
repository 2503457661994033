import pytest

from node.devnet.load import FORGOTTEN_SECONDS, Payer
from node.devnet.plan import payers
from primitives.types import Nonce


@pytest.fixture
def payer() -> Payer:
    return Payer(payers()[0])


def test_first_nonce_is_what_the_node_expects(payer: Payer) -> None:
    assert payer.first_nonce(Nonce(0), 0.0) == 0
    assert payer.first_nonce(Nonce(5), 0.0) == 5


def test_a_node_that_has_not_heard_yet_is_told_the_following_nonces(payer: Payer) -> None:
    payer.sent(Nonce(20), 100.0)

    assert payer.first_nonce(Nonce(0), 101.0) == 20


def test_a_node_that_knows_more_is_believed(payer: Payer) -> None:
    payer.sent(Nonce(20), 100.0)

    assert payer.first_nonce(Nonce(25), 101.0) == 25


def test_what_nobody_knows_after_a_while_is_lost_and_sent_anew(payer: Payer) -> None:
    payer.sent(Nonce(20), 100.0)

    assert payer.first_nonce(Nonce(7), 101.0 + FORGOTTEN_SECONDS) == 7
