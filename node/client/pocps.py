"""What a client asks of ``pocps_*``, as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass

from node.client.answers import read_amount, read_integer, read_list, read_object, read_text
from node.client.node_client import NodeClient
from node.rpc.json_types import Json
from primitives.types import Balance


@dataclass(frozen=True, slots=True)
class ProviderClass:
    """A kind of resource, and the terms on which it is proven."""

    answer: Mapping[str, Json]
    class_id: int
    name: str
    kind: str
    units_min: int
    units_max: int
    bond_per_unit: Balance
    providers: int
    providers_max: int
    live_units: int


def list_classes(client: NodeClient) -> list[ProviderClass]:
    """Return every class. Raises: BadAnswer."""
    found = []
    for entry in read_list(client.call("pocps_classes"), "the classes"):
        item = read_object(entry, "a class")
        number = {
            name: read_integer(item.get(name), name)
            for name in (
                "classId",
                "unitsMin",
                "unitsMax",
                "providers",
                "providersMax",
                "liveUnits",
            )
        }
        found.append(
            ProviderClass(
                answer=item,
                class_id=number["classId"],
                name=read_text(item.get("name"), "a class's name"),
                kind=read_text(item.get("kind"), "a class's kind"),
                units_min=number["unitsMin"],
                units_max=number["unitsMax"],
                bond_per_unit=read_amount(item.get("bondPerUnit"), "the bond"),
                providers=number["providers"],
                providers_max=number["providersMax"],
                live_units=number["liveUnits"],
            )
        )
    return found


def list_standings(client: NodeClient, address: str) -> list[Mapping[str, Json]]:
    """Return what an account has in each class, as the node shows it. Raises: BadAnswer."""
    answer = read_list(client.call("pocps_provider", address), "the classes")
    return [read_object(entry, "a standing") for entry in answer]
