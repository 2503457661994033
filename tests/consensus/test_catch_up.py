from consensus.simplex.catch_up import CatchUp
from consensus.simplex.config import Limits
from consensus.simplex.events import Broadcast, Peer, Send
from consensus.simplex.messages import Request
from consensus.simplex.views import Views
from primitives.types import UINT64_MAX, View
from tests.consensus.bench_of_four import (
    EPOCH,
    ROOT,
    A,
    finalization,
    notarization,
    nullification,
    nullify,
    table,
)

PEER, OTHER = Peer(b"peer"), Peer(b"other")


def test_everybody_is_asked_when_nobody_is_known_to_know_more() -> None:
    catch_up = CatchUp(EPOCH, Views(table(), ROOT), Limits(request_views=3))

    asked = catch_up.ask(View(4), View(90))
    again = catch_up.ask(View(4), View(6))
    catch_up.informant = PEER
    catch_up.renew()
    later = catch_up.ask(View(4), View(5))

    assert asked == [Broadcast(Request(EPOCH, View(4), View(6)))]
    assert again == []
    assert later == [Send(PEER, Request(EPOCH, View(4), View(5)))]


def test_each_peer_has_its_own_account_of_answers() -> None:
    views = Views(table(), ROOT)
    views.keep(finalization(1, A))
    views.keep(nullification(2))
    catch_up = CatchUp(EPOCH, views, Limits(answers=1))

    first = catch_up.answer_laggard(PEER, nullify(1, 1), View(3))
    second = catch_up.answer_laggard(PEER, nullify(1, 1), View(3))
    other = catch_up.answer_laggard(OTHER, nullify(2, 1), View(3))

    assert first == [Send(PEER, finalization(1, A)), Send(PEER, nullification(2))]
    assert second == []
    assert other == [Send(OTHER, finalization(1, A)), Send(OTHER, nullification(2))]


def test_an_answer_is_bounded_whatever_is_asked() -> None:
    views = Views(table(), ROOT)
    for number in range(1, 50):
        views.keep(nullification(number))
        views.keep(notarization(number, A))
    catch_up = CatchUp(EPOCH, views, Limits(request_views=4))

    whole = catch_up.answer_request(PEER, Request(EPOCH, View(0), View(UINT64_MAX)))
    backwards = catch_up.answer_request(PEER, Request(EPOCH, View(9), View(3)))

    assert len(whole) == 8
    assert backwards == []
