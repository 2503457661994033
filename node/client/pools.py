"""What a client asks of ``pools_*``, as typed values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from node.client.answers import read_amount, read_integer, read_list, read_object, read_text
from node.client.errors import BadAnswer
from node.client.node_client import NodeClient
from node.rpc.json_types import Json
from primitives.types import Balance, Height

PAGE = 100
PAGES_MAX = 100
_DIGITS_MAX = 78


@dataclass(frozen=True, slots=True)
class Price:
    """What a unit and block costs; ``device_hour`` in base units for 1000 units and an hour."""

    price_q32: int
    device_hour: int


@dataclass(frozen=True, slots=True)
class Pool:
    """One line of the list of pools."""

    pool_id: int
    class_id: int
    class_name: str
    supply: int
    leased: int
    unsold: int
    average_ppb: int
    base_price: Price
    price: Price
    providers: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a lease costs in the next block, and what it does to the price."""

    pool_id: int
    units: int
    duration: int
    cost: Balance
    before: Price
    after: Price
    worst_case: Balance
    within: int
    fits_in_a_block: bool
    may_end_then: bool


@dataclass(frozen=True, slots=True)
class Extension:
    """What letting a lease run on costs."""

    ends: Height
    cost: Balance
    worst_case: Balance


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that runs."""

    lease_id: int
    pool_id: int
    client: str
    units: int
    ends: Height
    left: int
    ceiling: Balance | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A pool at the end of a price period."""

    height: Height
    price: Price
    average_ppb: int


def list_pools(client: NodeClient) -> Iterator[Mapping[str, Json]]:
    """Yield every pool as the node shows it."""
    after: Json = None
    for _ in range(PAGES_MAX):
        page = read_list(client.call("pools_list", PAGE, after), "the pools")
        for entry in page:
            yield read_object(entry, "a pool")
        if len(page) < PAGE:
            return
        after = read_integer(read_object(page[-1], "a pool").get("poolId"), "a pool")
    raise BadAnswer("the list of pools has no end")


def read_pool(item: Mapping[str, Json]) -> Pool:
    """Return a pool out of the list. Raises: BadAnswer."""

    def number(name: str) -> int:
        return read_integer(item.get(name), name)

    return Pool(
        pool_id=number("poolId"),
        class_id=number("classId"),
        class_name=read_text(item.get("className"), "a class's name"),
        supply=number("supply"),
        leased=number("leased"),
        unsold=number("unsold"),
        average_ppb=number("averagePpb"),
        base_price=read_price(item.get("basePrice")),
        price=read_price(item.get("price")),
        providers=number("providers"),
    )


def ask_quote(client: NodeClient, pool_id: int, units: int, duration: int, within: int) -> Quote:
    """Return what a lease costs. Raises: CallRefused with the chain's reason, BadAnswer."""
    answer = client.call("pools_quote", pool_id, units, duration, within)
    item = read_object(answer, "the quote")
    cost, worst = read_amount(item.get("cost"), "the cost"), item.get("worstCase")
    return Quote(
        pool_id=pool_id,
        units=units,
        duration=duration,
        cost=cost,
        before=read_price(item.get("priceBefore")),
        after=read_price(item.get("priceAfter")),
        # Where the worst case is more than exists, there is no more to propose than the cost.
        worst_case=cost if worst is None else read_amount(worst, "the worst case"),
        within=within,
        fits_in_a_block=item.get("fitsInABlock") is True,
        may_end_then=item.get("mayEndThen") is True,
    )


def ask_extension(client: NodeClient, lease_id: int, duration: int, within: int) -> Extension:
    """Return what letting a lease run on costs. Raises: CallRefused, BadAnswer."""
    answer = client.call("pools_quoteExtension", lease_id, duration, within)
    item = read_object(answer, "the quote")
    return Extension(
        ends=Height(read_integer(item.get("ends"), "the end")),
        cost=read_amount(item.get("cost"), "the cost"),
        worst_case=read_amount(item.get("worstCase"), "the worst case"),
    )


def find_lease(client: NodeClient, lease_id: int) -> Mapping[str, Json] | None:
    """Return a lease as the node shows it, or None if none of that number runs."""
    answer = client.call("pools_lease", lease_id)
    return None if answer is None else read_object(answer, "the lease")


def list_leases(client: NodeClient, address: str) -> Iterator[Mapping[str, Json]]:
    """Yield a client's leases as the node shows them."""
    after: Json = None
    for _ in range(PAGES_MAX):
        page = read_list(client.call("pools_leases", address, PAGE, after), "the leases")
        for entry in page:
            yield read_object(entry, "a lease")
        if len(page) < PAGE:
            return
        after = read_integer(read_object(page[-1], "a lease").get("leaseId"), "a lease")
    raise BadAnswer("the list of leases has no end")


def read_lease(item: Mapping[str, Json]) -> Lease:
    """Return a lease out of an answer. Raises: BadAnswer."""
    ceiling = item.get("ceiling")
    return Lease(
        lease_id=read_integer(item.get("leaseId"), "a lease"),
        pool_id=read_integer(item.get("poolId"), "a pool"),
        client=read_text(item.get("client"), "a client"),
        units=read_integer(item.get("units"), "the units"),
        ends=Height(read_integer(item.get("ends"), "the end")),
        left=read_integer(item.get("left"), "what is left"),
        ceiling=None if ceiling is None else read_amount(ceiling, "the ceiling"),
    )


def read_samples(history: Mapping[str, Json]) -> list[Sample]:
    """Return the samples of a pool's history, oldest first. Raises: BadAnswer."""
    samples = []
    for entry in read_list(history.get("samples"), "the samples"):
        item = read_object(entry, "a sample")
        samples.append(
            Sample(
                height=Height(read_integer(item.get("height"), "a height")),
                price=read_price(item.get("price")),
                average_ppb=read_integer(item.get("averagePpb"), "the utilisation"),
            )
        )
    return samples


def read_price(value: Json) -> Price:
    """Return a price out of an answer. Raises: BadAnswer."""
    item = read_object(value, "a price")
    return Price(read_big(item.get("priceQ32"), "a price"), read_big(item.get("deviceHour"), "it"))


def read_big(value: Json, what: str) -> int:
    """Return a whole number of any size, which JSON holds as a decimal string."""
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit()
    if not isinstance(value, str) or not is_digits or len(value) > _DIGITS_MAX:
        raise BadAnswer(f"{what} is no whole number")
    return int(value)
