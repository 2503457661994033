"""The classes that this program can prove, as they pass between its processes."""

from collections.abc import Mapping
from dataclasses import asdict, fields

from primitives.errors import ConfigError
from runtime.pocps.forward_pass import ForwardPassClass
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.proof import SampledProof
from runtime.pocps.storage_proof import StorageClass, StorageWork

Resource = ForwardPassClass | StorageClass

_KINDS: Mapping[str, type[ForwardPassClass | StorageClass]] = {
    ForwardPassWork.name: ForwardPassClass,
    StorageWork.name: StorageClass,
}


class UnknownKind(ConfigError):
    """The class is of a kind that this version cannot prove: use a newer one."""


def kind_name(resource: Resource) -> str:
    """Return the name of the proof kind of a class."""
    return ForwardPassWork.name if isinstance(resource, ForwardPassClass) else StorageWork.name


def proof_kind(resource: Resource) -> SampledProof:
    """Return how a class is proven."""
    if isinstance(resource, ForwardPassClass):
        return SampledProof(ForwardPassWork(resource))
    return SampledProof(StorageWork(resource))


def resource_to_plain(resource: Resource) -> dict[str, str | int]:
    """Return a class as JSON has it."""
    return {"kind": kind_name(resource), **asdict(resource)}


def resource_from_plain(plain: object) -> Resource:
    """Return the class that ``resource_to_plain`` wrote.

    Raises: UnknownKind, InvalidForwardPassClass, InvalidStorageClass.
    """
    if not isinstance(plain, dict):
        raise UnknownKind("a class is an object")
    values = dict(plain)
    made_by = _KINDS.get(str(values.pop("kind", "")))
    if made_by is None:
        raise UnknownKind(f"no such kind of proof: {plain.get('kind')!r:.40}")
    names = {field.name for field in fields(made_by)}
    if values.keys() != names or not all(type(value) is int for value in values.values()):
        raise UnknownKind(f"a class of this kind has the numbers {', '.join(sorted(names))}")
    return made_by(**values)
