"""What every store with data of persons offers to their requests; the composition root joins all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from cohortlens.core.ids import TenantId
from cohortlens.core.personal_data import Rows, Subject


class PersonalDataStore(Protocol):
    """A place where data of persons lie: tables, files, keys of Redis, content of the sidecar.

    Every method may be called again after a crash, and with a person of whom nothing is there. No method is
    called inside a transaction.
    """

    @property
    def name(self) -> str:
        """Name in manifests and in the folders of an export, such as ``customers``; lower case."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables with ``customer_id`` or ``identity_id`` that it answers for; each belongs to one store."""

    @property
    def is_provided(self) -> bool:
        """Whether the person gave the data or was observed: a request for portability gets only these."""

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:
        """How many rows, files or keys name the person now; 0 after an erasure."""

    async def export(self, tenant_id: TenantId, subject: Subject) -> dict[str, Rows]:
        """What is stored about the person, by table or kind; each row a JSON object."""

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:
        """Remove it, or whatever leads from it to the person.

        Raises:
            StoreBusy: Work that began before still holds it; call again later.
        """


class Stores:
    """All stores of the deployment, in the order in which an erasure goes through them.

    Args:
        stores: The customers' own store comes behind all that hang on a customer, the identity's is last.

    Raises:
        ValueError: Two stores have one name or claim one table.
    """

    def __init__(self, stores: Sequence[PersonalDataStore]) -> None:
        self._stores = tuple(stores)
        for kind, names in (
            ("name", [store.name for store in stores]),
            ("table", [table for store in stores for table in store.tables]),
        ):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"two stores have the same {kind}: {', '.join(sorted(twice))}")

    def __iter__(self) -> Iterator[PersonalDataStore]:
        return iter(self._stores)

    def named(self, name: str) -> PersonalDataStore:
        """The store of a name.

        Raises:
            KeyError: There is none: a step of a request that an earlier release made.
        """
        return {store.name: store for store in self._stores}[name]
