"""Jobs: where providers serve their leases, and who is right about a wrong result.

The chain computes no job. It judges one row of one job, and of that row one value, in a game of at
most five moves, each with a deadline:

====  ========  =========================================================================
move  by        what
====  ========  =========================================================================
1     client    ``dispute``: a commitment that the provider signed, and a row
2     provider  ``answer``: the digests of that row before the first layer and after each,
                the first proven under the committed inputs, the last under the outputs
3     client    ``choose_layer``: the first layer after which the digest is wrong
4     provider  ``reveal``: the row behind that digest
5     client    ``prove``: one wrong value of it, by the row before the layer and a column of
                weights, both proven; the chain computes this one dot product
====  ========  =========================================================================

Whoever misses a deadline has lost. An honest provider cannot lose: whatever the client proves in
move 5 is what the provider has computed from the same bytes. An honest client cannot lose over a
wrong row: see ``runtime/jobs/transcript.py``.

Invariants: at most one dispute is open for each share of a lease, and ``disputes_max`` in all; each
has one place in the queue of deadlines, which is in the order of the deadlines; what is held for
disputes is the sum of their bonds, what is held for services the sum of their deposits.
"""

from dataclasses import replace
from typing import Annotated

from primitives.codec import ACCOUNT, U64, blob, fixed, listing, optional, pair
from primitives.errors import DecodeError
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Height,
    PublicKey,
    Signature,
    Signer,
    Weight,
)
from runtime.jobs.commitment import COMMITMENT, Commitment, is_signed
from runtime.jobs.dispute import right_value, validate_revealed, validate_transcript
from runtime.jobs.network import SHAPE, SHAPE_BYTES, WIDTH_MAX, Shape, network_identity
from runtime.jobs.notices import (
    ERRORS,
    EVENTS,
    AlreadyDisputed,
    DeadlinePassed,
    DisputeOpened,
    DisputeSettled,
    InvalidAddress,
    InvalidCommitment,
    KeysChangedTooOften,
    LayerChosen,
    LayerOutOfRange,
    NotTheClient,
    NotYourTurn,
    RowOutOfRange,
    RowRevealed,
    ServiceAnnounced,
    ServiceForgotten,
    ServiceRetired,
    StillJudged,
    TooLate,
    TooManyDisputes,
    TranscriptGiven,
    UnknownDispute,
    UnknownLease,
    UnknownService,
    WrongNetwork,
)
from runtime.jobs.records import (
    DISPUTE,
    DISPUTES_MAX,
    KEYS_MAX,
    SERVICE,
    Addresses,
    Config,
    Digests,
    Dispute,
    Identifier,
    Index,
    Key,
    Phase,
    Proof,
    Service,
    ServiceKey,
)
from runtime.jobs.surroundings import SLASH_HOLD, Served, Surroundings
from runtime.module import Context, Module, StorageMap, StorageValue, call

BOND_HOLD = "jobs.bond"
SERVICE_HOLD = "jobs.service"
SWEPT_MAX = 8
"""Disputes that one block settles because a deadline has passed."""
PPB = 10**9
LOST_BY_PROOF = "wrong_result"
LOST_BY_SILENCE = "no_answer"
UPHELD = "right_result"
GIVEN_UP = "given_up"
SignatureBytes = Annotated[Signature, fixed(64, "signature")]
RowBytes = Annotated[bytes, blob(WIDTH_MAX)]
_SETTLE_WEIGHT = 400_000
"""Bond, slash, refund and reassignment of a share."""


def _row_weight(_: int, row: bytes) -> Weight:
    return Weight(250_000 + 4 * len(row))


class Jobs(Module):
    """Services and disputes."""

    name = "jobs"
    index = 13
    events = EVENTS
    errors = ERRORS

    services = StorageMap(ACCOUNT, optional(SERVICE), default=None)
    last_dispute = StorageValue(U64, default=0)
    disputes = StorageMap(U64, optional(DISPUTE), default=None)
    revealed = StorageMap(U64, blob(WIDTH_MAX), default=b"")
    """The row that a provider has revealed in a dispute, until it is settled."""
    disputed = StorageMap(pair(U64, ACCOUNT), U64, default=0)
    """The open dispute over a provider's share of a lease."""
    waiting = StorageValue(listing(pair(U64, U64), DISPUTES_MAX), default=())
    """Deadline and number of each open dispute, in the order of the deadlines."""

    def __init__(self, context: Context, config: Config, *, around: Surroundings) -> None:
        super().__init__(context)
        self.config, self.around = config, around

    @call(0, weight=Weight(100_000))
    def announce(self, signer: Signer, key: Key, addresses: Addresses) -> None:
        """Tell clients where the signer serves its leases, and which key signs its results.

        The key is the service's peer id. A key that it replaces is judged until the last dispute
        over what it signed may have begun.

        Emits: ServiceAnnounced.
        Raises: InvalidAddress, KeysChangedTooOften, balances.InsufficientBalance.
        """
        if not addresses or any(not each.startswith("/") for each in addresses):
            raise InvalidAddress(f"{addresses!r:.100}")
        service = self.services[signer]
        if service is None:
            self.around.tokens.hold(signer, SERVICE_HOLD, self.config.service_deposit)
            service = Service((), (), self.config.service_deposit)
        keys = service.keys
        if service.key != key:
            keys = (*self._ended(service), ServiceKey(key, Height(0)))
        if len(keys) > KEYS_MAX:
            raise KeysChangedTooOften(f"{KEYS_MAX} keys are judged")
        self.services[signer] = replace(service, keys=keys, addresses=addresses)
        self.emit(ServiceAnnounced(signer, key, addresses))

    @call(1, weight=Weight(100_000))
    def retire(self, signer: Signer) -> None:
        """Serve no longer; once nothing can be disputed any more, call again for the deposit.

        Emits: ServiceRetired, or ServiceForgotten.
        Raises: UnknownService, StillJudged.
        """
        service = self.services[signer]
        if service is None:
            raise UnknownService
        keys = self._ended(service)
        if service.key is not None:
            self.services[signer] = replace(service, keys=keys, addresses=())
            self.emit(ServiceRetired(signer, keys[-1].until))
            return
        if keys:
            raise StillJudged(f"until {keys[-1].until}")
        del self.services[signer]
        self.around.tokens.release(signer, SERVICE_HOLD, service.deposit)
        self.emit(ServiceForgotten(signer))

    @call(2, weight=Weight(400_000 + _SETTLE_WEIGHT))
    def dispute(
        self,
        signer: Signer,
        commitment: Annotated[Commitment, COMMITMENT],
        key: Key,
        signature: SignatureBytes,
        shape: Annotated[bytes, SHAPE_BYTES],
        weights_root: Digest,
        row: Index,
    ) -> None:
        """Claim that a row of a job done for the signer's lease is wrong, and stake a bond on it.

        Emits: DisputeOpened.
        Raises: UnknownLease, NotTheClient, TooLate, InvalidCommitment, WrongNetwork,
        RowOutOfRange, AlreadyDisputed, TooManyDisputes, balances.InsufficientBalance.
        """
        served = self._validate_claim(signer, commitment, key, signature)
        layers = _known_shape(shape, weights_root, commitment.network)
        if row >= commitment.rows:
            raise RowOutOfRange(f"row {row} of {commitment.rows}")
        share = (commitment.lease_id, commitment.provider)
        if self.disputed[share]:
            raise AlreadyDisputed(f"dispute {self.disputed[share]}")
        if len(self.waiting.get()) >= self.config.disputes_max:
            raise TooManyDisputes(f"{self.config.disputes_max} are open")
        self.around.tokens.hold(signer, BOND_HOLD, self.config.bond)
        number = self.last_dispute.get() + 1
        self.last_dispute.set(number)
        self.disputed[share] = number
        dispute = Dispute.opened(
            commitment, layers, weights_root, row=row, served=served, bond=self.config.bond
        )
        deadline = self._wait(number, dispute)
        self.emit(
            DisputeOpened(number, commitment.lease_id, signer, commitment.provider, row, deadline)
        )

    @call(3, weight=Weight(400_000))
    def answer(
        self,
        signer: Signer,
        dispute_id: Identifier,
        digests: Digests,
        input_proof: Proof,
        output_proof: Proof,
    ) -> None:
        """Say what the disputed row is before the first layer and after each; by the provider.

        Emits: TranscriptGiven.
        Raises: UnknownDispute, NotYourTurn, DeadlinePassed, WrongTranscript.
        """
        dispute = self._turn(signer, dispute_id, Phase.TRANSCRIPT)
        validate_transcript(dispute, digests, input_proof=input_proof, output_proof=output_proof)
        dispute = replace(dispute, phase=Phase.LAYER, digests=digests)
        self.emit(TranscriptGiven(dispute_id, self._wait(dispute_id, dispute)))

    @call(4, weight=Weight(250_000))
    def choose_layer(self, signer: Signer, dispute_id: Identifier, layer: Index) -> None:
        """Name the first layer, from 0, after which the provider's digest is wrong; by the client.

        Emits: LayerChosen.
        Raises: UnknownDispute, NotYourTurn, DeadlinePassed, LayerOutOfRange.
        """
        dispute = self._turn(signer, dispute_id, Phase.LAYER)
        if layer >= len(dispute.shape.layers):
            raise LayerOutOfRange(f"layer {layer} of {len(dispute.shape.layers)}")
        dispute = replace(dispute, phase=Phase.ROW, layer=layer)
        self.emit(LayerChosen(dispute_id, layer, self._wait(dispute_id, dispute)))

    @call(5, weight=_row_weight)
    def reveal(self, signer: Signer, dispute_id: Identifier, row: RowBytes) -> None:
        """Show the row after the chosen layer; by the provider.

        Emits: RowRevealed.
        Raises: UnknownDispute, NotYourTurn, DeadlinePassed, WrongRow.
        """
        dispute = self._turn(signer, dispute_id, Phase.ROW)
        validate_revealed(dispute, row)
        self.revealed[dispute_id] = row
        deadline = self._wait(dispute_id, replace(dispute, phase=Phase.PROOF))
        self.emit(RowRevealed(dispute_id, deadline))

    @call(6, weight=Weight(500_000 + _SETTLE_WEIGHT))
    def prove(
        self,
        signer: Signer,
        dispute_id: Identifier,
        column: Index,
        inputs: RowBytes,
        weights: RowBytes,
        proof: Proof,
    ) -> None:
        """Show what one value of the revealed row should be; by the client. Ends the dispute.

        ``inputs`` is the row before the chosen layer, ``weights`` the layer's ``column`` and
        ``proof`` shows it under the weights' root. The chain computes the value: if the provider
        has revealed the same, the client has lost.

        Emits: DisputeSettled.
        Raises: UnknownDispute, NotYourTurn, DeadlinePassed, WrongProof.
        """
        dispute = self._turn(signer, dispute_id, Phase.PROOF)
        right = right_value(dispute, column, inputs=inputs, weights=weights, proof=proof)
        claimed = int.from_bytes(self.revealed[dispute_id][column : column + 1], signed=True)
        if right == claimed:
            self._settle(dispute_id, dispute, winner=dispute.provider, reason=UPHELD)
        else:
            self._settle(dispute_id, dispute, winner=dispute.client, reason=LOST_BY_PROOF)

    def begin_block(self) -> None:
        """Settle what has waited too long: a bounded number of disputes, the oldest first."""
        now = self.context.block.height
        for deadline, number in self.waiting.get()[:SWEPT_MAX]:
            if deadline >= now:
                return
            dispute = self._dispute(number)
            if dispute.phase.is_providers_turn:
                self._settle(number, dispute, winner=dispute.client, reason=LOST_BY_SILENCE)
            else:
                self._settle(number, dispute, winner=dispute.provider, reason=GIVEN_UP)

    def check_invariants(self) -> None:
        waiting, held = self.waiting.get(), self.around.tokens.held_for
        open_ones = {number: item for number, item in self.disputes.items() if item is not None}
        deadlines = [deadline for deadline, _ in waiting]
        self.require("deadlines_are_in_order", deadlines == sorted(deadlines))
        known = {number: dispute.deadline for number, dispute in open_ones.items()}
        places = {number: deadline for deadline, number in waiting}
        self.require("every_dispute_waits_once", known == places and len(waiting) == len(places))
        shares = {(each.lease_id, each.provider): n for n, each in open_ones.items()}
        self.require("one_dispute_a_share", shares == dict(self.disputed.items()))
        self.require("disputes_are_few", len(open_ones) <= self.config.disputes_max)
        shown = {number for number, each in open_ones.items() if each.phase is Phase.PROOF}
        self.require("rows_are_kept_for_proofs", shown == {n for n, _ in self.revealed.items()})
        bonds: dict[AccountId, int] = {}
        for dispute in open_ones.values():
            bonds[dispute.client] = bonds.get(dispute.client, 0) + dispute.bond
        for client, amount in bonds.items():
            self.require("bonds_are_held", held(client, BOND_HOLD) == amount)
        for provider, service in self.services.items():
            assert service is not None
            self.require("deposits_are_held", held(provider, SERVICE_HOLD) == service.deposit)
            ended = all(each.until for each in service.keys[:-1])
            self.require("one_key_is_in_force", ended)

    def _ended(self, service: Service) -> tuple[ServiceKey, ...]:
        """Return the keys that are still judged, as if the one in force were replaced now."""
        now = self.context.block.height
        lapses = Height(now + self.config.dispute_blocks)
        ended = (replace(each, until=each.until or lapses) for each in service.keys)
        return tuple(each for each in ended if each.until >= now)

    def _validate_claim(
        self, client: AccountId, commitment: Commitment, key: PublicKey, signature: Signature
    ) -> Served:
        """Return the lease for which the provider signed. Raises: DispatchError."""
        now = self.context.block.height
        served = self.around.leases.served(commitment.lease_id, commitment.provider)
        if served is None:
            raise UnknownLease(f"lease {commitment.lease_id}")
        if served.client != client:
            raise NotTheClient
        if now > commitment.made_at + self.config.dispute_blocks:
            raise TooLate(f"done at {commitment.made_at}, this is {now}")
        service = self.services[commitment.provider]
        genesis = self.around.chain.known_genesis()
        if (
            service is None
            or not service.judges(key, now)
            or not is_signed(genesis, commitment, key, signature)
        ):
            raise InvalidCommitment
        return served

    def _dispute(self, number: int) -> Dispute:
        dispute = self.disputes[number]
        if dispute is None:
            raise UnknownDispute(f"dispute {number}")
        return dispute

    def _turn(self, signer: AccountId, number: int, phase: Phase) -> Dispute:
        """Return the dispute in which the signer may make this move now. Raises: DispatchError."""
        dispute = self._dispute(number)
        if dispute.phase is not phase or signer != dispute.mover:
            raise NotYourTurn(f"{dispute.phase.name.lower()} is wanted")
        if self.context.block.height > dispute.deadline:
            raise DeadlinePassed(f"it was {dispute.deadline}")
        return dispute

    def _wait(self, number: int, dispute: Dispute) -> Height:
        """Store the dispute at the end of the queue; return the next deadline."""
        deadline = Height(self.context.block.height + self.config.answer_blocks)
        self.disputes[number] = replace(dispute, deadline=deadline)
        # All moves have the same time, so the latest deadline comes last.
        self.waiting.set((*self._others(number), (deadline, number)))
        return deadline

    def _others(self, number: int) -> tuple[tuple[int, int], ...]:
        return tuple(each for each in self.waiting.get() if each[1] != number)

    def _settle(self, number: int, dispute: Dispute, *, winner: AccountId, reason: str) -> None:
        tokens, config = self.around.tokens, self.config
        del self.disputes[number]
        del self.revealed[number]
        del self.disputed[dispute.lease_id, dispute.provider]
        self.waiting.set(self._others(number))
        is_wrong = reason in (LOST_BY_PROOF, LOST_BY_SILENCE)
        if is_wrong:
            tokens.release(dispute.client, BOND_HOLD, dispute.bond)
            loser = dispute.provider
            taken = self._punish(dispute, f"jobs.{reason}")
        else:
            loser, taken = dispute.client, dispute.bond
            burned = Balance(-(-taken * config.bond_burned_ppb // PPB))
            tokens.burn_held(loser, BOND_HOLD, burned)
            tokens.move_held(
                loser, BOND_HOLD, recipient=dispute.provider, amount=Balance(taken - burned)
            )
        self.emit(DisputeSettled(number, dispute.lease_id, winner, loser, reason, taken))

    def _punish(self, dispute: Dispute, reason: str) -> Balance:
        """Slash the provider, refund the client; return how much was slashed."""
        leases, loser = self.around.leases, dispute.provider
        slashed = self.around.bonds.punish(
            dispute.class_id, loser, reason, fraction_ppb=self.config.slash_ppb
        )
        if leases.served(dispute.lease_id, loser) is not None:
            leases.fail_share(dispute.lease_id, loser, reason, slashed=slashed)
        elif slashed:
            # The share was lost by another fault, and the client refunded, while this was judged.
            self.around.tokens.burn_held(loser, SLASH_HOLD, slashed)
        return slashed


def _known_shape(encoded: bytes, weights_root: Digest, identity: Digest) -> Shape:
    """Return the shape of the network of that identity. Raises: WrongNetwork."""
    try:
        shape = SHAPE.decode(encoded)
    except DecodeError as error:
        raise WrongNetwork(f"no shape: {error}") from error
    if network_identity(shape, weights_root) != identity:
        raise WrongNetwork("another network was committed to")
    return shape
