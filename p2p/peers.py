"""Whom this node wants to be connected to, and whom it has banned: decisions, no sockets.

A validator wants every other validator, for ever. The one with the larger peer id dials; the other
waits, and dials too only when it has seen nothing of its peer for ``FALLBACK_SECONDS`` (its peer
may be unable to reach it; should both come through, both keep the larger one's connection).
Beyond that a node wants ``PeerLimits.outbound_wanted`` peers in all, from its boot nodes and its
address book, and takes in ``PeerLimits.inbound_max`` guests.

Validators' addresses come from above and are told to nobody; the address book holds and tells only
where nodes listen openly.
"""

import ipaddress
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from p2p.address_book import AddressBook, PeerRecord, check_record
from p2p.dialing import BackOff
from p2p.identity import ADDRESS_CHARACTERS_MAX, Address, PeerId, endpoint
from p2p.requests import RequestSpec
from p2p.scores import Rules, Scores

log = logging.getLogger(__name__)

FALLBACK_SECONDS = 15.0
EXCHANGE_SECONDS = 30.0
EXCHANGE_RECORDS_MAX = 64
BOOK_FILE = "addresses.bin"

EXCHANGE = RequestSpec(
    name="peers",
    request_bytes_max=16,
    answer_bytes_max=1024 + 4 * (ADDRESS_CHARACTERS_MAX + 4) + 128,
    answers_max=EXCHANGE_RECORDS_MAX,
)


@dataclass(frozen=True, slots=True)
class PeerLimits:
    outbound_wanted: int = 8
    """Peers that a node looks for until it is connected to so many."""
    inbound_max: int = 32
    """Guests: peers that dialed us and are no validators."""
    inbound_per_address_max: int = 8
    """Guests from one network address."""


class Peers:
    """See the module."""

    def __init__(
        self,
        *,
        me: PeerId,
        folder: Path,
        boot: tuple[tuple[PeerId, Address], ...],
        limits: PeerLimits,
        rules: Rules,
        random: Random,
    ) -> None:
        self.validators: dict[PeerId, tuple[Address, ...]] = {}
        self.scores = Scores(rules)
        self.book = AddressBook()
        self.own_addresses: tuple[Address, ...] = ()
        self.own_record = b""
        self._me = me
        self._file = folder / BOOK_FILE
        self._boot = boot
        self._limits = limits
        self._random = random
        self._back_off = BackOff(random)
        self._missing_since: dict[PeerId, float] = {}

    def load(self) -> None:
        """Read the saved addresses and add the boot nodes. Raises: BadAddressBook."""
        self.book = AddressBook.load(self._file)
        for peer, address in self._boot:
            if peer != self._me:
                self.book.pin(peer, (address,))

    def save(self) -> None:
        """Write the addresses if they have changed; a full disk is logged, not fatal."""
        if not self.book.is_changed:
            return
        try:
            self.book.save(self._file)
        except OSError as error:
            log.warning("event=addresses_not_saved file=%s error=%r", self._file, str(error))

    def addresses(self, peer: PeerId) -> tuple[Address, ...]:
        """Return where to look for a peer, the likeliest place first."""
        own = self.validators.get(peer, ())
        return (*own, *(address for address in self.book.addresses(peer) if address not in own))

    def is_banned(self, peer: PeerId, now: float) -> bool:
        return self.scores.is_banned(peer, now)

    def due(self, busy: set[PeerId], now: float) -> list[PeerId]:
        """Return the peers to dial now; ``busy`` are those connected or being dialed."""
        mesh = self._due_validators(busy, now)
        missing = self._limits.outbound_wanted - len(busy) - len(mesh)
        return mesh if missing <= 0 else mesh + self._due_others(busy, missing, now)

    def _due_validators(self, busy: set[PeerId], now: float) -> list[PeerId]:
        if self._me not in self.validators:
            self._missing_since.clear()
            return []
        missing = [
            peer for peer in sorted(self.validators) if peer not in busy and peer != self._me
        ]
        since = self._missing_since
        self._missing_since = {peer: since.get(peer, now) for peer in missing}
        return [
            peer
            for peer in missing
            if self._is_due(peer, now)
            and (self._me > peer or now - self._missing_since[peer] >= FALLBACK_SECONDS)
        ]

    def _due_others(self, busy: set[PeerId], count: int, now: float) -> list[PeerId]:
        ready = [
            peer
            for peer in self.book.peers()
            if peer not in busy
            and peer not in self.validators
            and peer != self._me
            and self._is_due(peer, now)
        ]
        # Half by trust, half by lot: who fills the book with hearsay does not fill our places.
        trusted, rest = ready[: (count + 1) // 2], ready[(count + 1) // 2 :]
        return trusted + self._random.sample(rest, min(len(rest), count - len(trusted)))

    def _is_due(self, peer: PeerId, now: float) -> bool:
        return (
            bool(self.addresses(peer))
            and self._back_off.next_at(peer) <= now
            and not self.is_banned(peer, now)
        )

    def reached(self, peer: PeerId, address: Address) -> None:
        """Note where a peer was found."""
        if address not in self.validators.get(peer, ()):
            self.book.reached(peer, address)

    def failed(self, peer: PeerId) -> None:
        """Note that a peer was at none of its addresses."""
        self.book.failed(peer)

    def ended(self, peer: PeerId, lasted: float, now: float) -> None:
        """Note the end of an attempt, or of the connection that it led to after ``lasted`` s."""
        is_validator = peer in self.validators
        self._back_off.ended(peer, lasted=lasted, is_validator=is_validator, now=now)
        self._back_off.keep({*self.validators, *self.book.peers()})

    def learn(self, record: PeerRecord, source: PeerId, hostname: str) -> None:
        """Take what a peer at ``hostname`` told about another or itself.

        Raises: BadPeerId, BadAddress.
        """
        _, addresses = check_record(record)
        if record.peer == self._me or record.peer in self.validators:
            return
        own = tuple(address for address in addresses if endpoint(address)[0] == hostname)
        if record.peer == source and own:
            # Seen at this very host: no stranger is sent to a third party by this.
            self.book.met(replace(record, addresses=own))
        else:
            plausible = tuple(one for one in addresses if _is_plausible(one, hostname))
            self.book.learn(replace(record, addresses=plausible), source)

    def tell(self, asker: PeerId) -> tuple[PeerRecord, ...]:
        """Return what to tell a peer: first ourselves, then those whom we have reached."""
        me = PeerRecord(self._me, self.own_addresses[:4], self.own_record)
        return (me, *self.book.records(EXCHANGE_RECORDS_MAX - 1, exclude=asker))

    def exchange_pause(self) -> float:
        """Return how long to wait until the next exchange: short while we know few peers."""
        pause = EXCHANGE_SECONDS if len(self.book) >= self._limits.outbound_wanted else 2.0
        return pause * (0.5 + self._random.random())

    def choose(self, peers: tuple[PeerId, ...]) -> PeerId:
        return self._random.choice(peers)


def _is_plausible(address: Address, hostname: str) -> bool:
    """Refuse to be sent into our own or a private network by somebody from outside."""
    return not _is_private(endpoint(address)[0]) or _is_private(hostname)


def _is_private(hostname: str) -> bool:
    try:
        return not ipaddress.ip_address(hostname).is_global
    except ValueError:  # a name: what it stands for is known when it is dialed
        return False
