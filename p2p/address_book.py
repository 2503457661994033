r"""The peers this node has heard of, and where; survives restarts.

File format: ``loopin addresses 1\n`` followed by the canonical encoding of the entries, the most
trusted first. A file that is anything else is refused with a message that says what to do: it holds
nothing that cannot be learned again.

Invariants: at most ``PEERS_MAX`` peers, ``ADDRESSES_MAX`` addresses each, and ``LEARNED_MAX`` peers
that one source has told of and nobody has reached; a peer that could not be reached
``FAILURES_MAX`` times in a row is forgotten unless it is pinned (boot nodes and validators are).
"""

from dataclasses import dataclass, replace
from pathlib import Path

from p2p.identity import (
    ADDRESS_CHARACTERS_MAX,
    PEER_ID_CHARACTERS,
    Address,
    PeerId,
    parse_address,
    parse_peer_id,
)
from primitives.codec import U8, blob, listing, struct, text
from primitives.errors import ConfigError, DecodeError

PEERS_MAX = 1024
ADDRESSES_MAX = 4
LEARNED_MAX = 128
FAILURES_MAX = 8
RECORD_BYTES_MAX = 1024

_MAGIC = b"loopin addresses 1\n"


class BadAddressBook(ConfigError):
    """The file of addresses cannot be read: delete it, the addresses will be learned again."""


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What nodes tell each other about a peer."""

    peer: str
    addresses: tuple[str, ...]
    record: bytes
    """Opaque here: a statement of the peer that upper layers sign and check."""


@dataclass(frozen=True, slots=True)
class _Entry:
    peer: str
    addresses: tuple[str, ...]
    record: bytes
    failures: int = 0
    source: str = ""
    """Who told us; empty once we have reached the peer ourselves."""


PEER_RECORD = struct(
    PeerRecord,
    peer=text(PEER_ID_CHARACTERS),
    addresses=listing(text(ADDRESS_CHARACTERS_MAX), ADDRESSES_MAX),
    record=blob(RECORD_BYTES_MAX),
)
_ENTRY = struct(
    _Entry,
    peer=text(PEER_ID_CHARACTERS),
    addresses=listing(text(ADDRESS_CHARACTERS_MAX), ADDRESSES_MAX),
    record=blob(RECORD_BYTES_MAX),
    failures=U8,
    source=text(PEER_ID_CHARACTERS),
)
_ENTRIES = listing(_ENTRY, PEERS_MAX)


def check_record(record: PeerRecord) -> tuple[PeerId, tuple[Address, ...]]:
    """Return who and where a record from outside speaks of. Raises: BadPeerId, BadAddress."""
    return parse_peer_id(record.peer), tuple(map(parse_address, record.addresses))


class AddressBook:
    """Peers in the order of trust: reached most recently first, hearsay last."""

    def __init__(self) -> None:
        self._entries: dict[PeerId, _Entry] = {}
        self._pinned: set[PeerId] = set()
        self._learned: dict[str, int] = {}
        self.is_changed = False

    def __len__(self) -> int:
        return len(self._entries)

    def pin(self, peer: PeerId, addresses: tuple[Address, ...]) -> None:
        """Remember a peer that is configured or a validator: never forgotten until unpinned."""
        self._pinned.add(peer)
        old = self._entries.get(peer)
        known = () if old is None else tuple(a for a in old.addresses if a not in addresses)
        self._put(
            _Entry(peer, (*addresses, *known)[:ADDRESSES_MAX], b"" if old is None else old.record)
        )

    def unpin(self, peer: PeerId) -> None:
        self._pinned.discard(peer)

    def learn(self, record: PeerRecord, source: PeerId) -> bool:
        """Take hearsay; False when a limit leaves no room. Raises: BadPeerId, BadAddress."""
        peer, addresses = check_record(record)
        old = self._entries.get(peer)
        if old is not None and (not old.source or peer in self._pinned):
            # First-hand knowledge is not replaced by hearsay, but a record may be newer.
            if record.record != old.record and record.record:
                self._put(replace(old, record=record.record))
            return True
        if old is None and self._learned.get(source, 0) >= LEARNED_MAX:
            return False
        if not addresses or (old is None and not self._make_room()):
            return False
        self._put(_Entry(peer, addresses, record.record, source=source))
        return True

    def met(self, record: PeerRecord) -> None:
        """Take what a peer says of itself from the very address that it claims."""
        peer, addresses = check_record(record)
        old = self._entries.get(peer)
        if old is None and not self._make_room():
            return
        known = () if old is None or old.source else old.addresses
        merged = (*addresses, *(address for address in known if address not in addresses))
        self._put(_Entry(peer, merged[:ADDRESSES_MAX], record.record))

    def reached(self, peer: PeerId, address: Address) -> None:
        """Note that the peer was found at this address: it comes first from now on."""
        old = self._entries.get(peer)
        others = () if old is None else tuple(a for a in old.addresses if a != address)
        record = b"" if old is None else old.record
        if old is None and not self._make_room():
            return
        self._drop(peer)
        self._put(_Entry(peer, (address, *others)[:ADDRESSES_MAX], record))
        # Dictionaries keep their order: the newcomer is moved to the front.
        self._entries = {peer: self._entries.pop(peer), **self._entries}

    def failed(self, peer: PeerId) -> None:
        """Note that the peer was at none of its addresses."""
        old = self._entries.get(peer)
        if old is None:
            return
        if old.failures + 1 >= FAILURES_MAX and peer not in self._pinned:
            self._drop(peer)
        else:
            self._put(replace(old, failures=min(old.failures + 1, FAILURES_MAX)))

    def addresses(self, peer: PeerId) -> tuple[Address, ...]:
        entry = self._entries.get(peer)
        return () if entry is None else tuple(map(Address, entry.addresses))

    def peers(self) -> tuple[PeerId, ...]:
        """Return all known peers, most trusted first."""
        return tuple(sorted(self._entries, key=lambda peer: self._entries[peer].failures))

    def records(self, count: int, *, exclude: PeerId) -> tuple[PeerRecord, ...]:
        """Return what is worth telling another peer: only those that we have reached ourselves."""
        chosen = [
            PeerRecord(entry.peer, entry.addresses, entry.record)
            for peer, entry in self._entries.items()
            if peer != exclude and not entry.source and not entry.failures and entry.addresses
        ]
        return tuple(chosen[:count])

    def encode(self) -> bytes:
        return _MAGIC + _ENTRIES.encode(tuple(self._entries.values()))

    @classmethod
    def decode(cls, data: bytes) -> "AddressBook":
        """Read what ``encode`` wrote. Raises: BadAddressBook."""
        if not data.startswith(_MAGIC):
            raise BadAddressBook("not a file of addresses of this version")
        book = cls()
        try:
            for entry in _ENTRIES.decode(data[len(_MAGIC) :]):
                check_record(PeerRecord(entry.peer, entry.addresses, entry.record))
                book._put(entry)
        except DecodeError as error:
            raise BadAddressBook(f"damaged: {error!r}") from error
        book.is_changed = False
        return book

    @classmethod
    def load(cls, path: Path) -> "AddressBook":
        """Read the file, or start empty if there is none. Raises: BadAddressBook."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise BadAddressBook(f"{path}: {error}") from error
        try:
            return cls.decode(data)
        except BadAddressBook as error:
            raise BadAddressBook(f"{path}: {error}; delete the file") from error

    def save(self, path: Path) -> None:
        """Replace the file in one step. Raises: OSError."""
        draft = path.with_name(path.name + ".new")
        draft.write_bytes(self.encode())
        draft.replace(path)
        self.is_changed = False

    def _put(self, entry: _Entry) -> None:
        peer = PeerId(entry.peer)
        old = self._entries.get(peer)
        if old == entry:
            return
        if old is None or old.source != entry.source:
            self._count(old, -1)
            self._count(entry, 1)
        self._entries[peer] = entry
        self.is_changed = True

    def _drop(self, peer: PeerId) -> None:
        self._count(self._entries.pop(peer, None), -1)
        self.is_changed = True

    def _count(self, entry: _Entry | None, change: int) -> None:
        if entry is not None and entry.source:
            count = self._learned.get(entry.source, 0) + change
            if count:
                self._learned[entry.source] = count
            else:
                self._learned.pop(entry.source, None)

    def _make_room(self) -> bool:
        """Forget the least useful peer if the book is full; False if all are worth keeping."""
        if len(self._entries) < PEERS_MAX:
            return True
        for peer in reversed(self._entries):
            if self._entries[peer].source and peer not in self._pinned:
                self._drop(peer)
                return True
        return False
