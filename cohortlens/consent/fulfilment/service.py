"""Fulfilment as jobs and the command line use it: the handlers of its topics, the poller, the sweep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy import text

from cohortlens.consent.fulfilment.consents import ConsentReading
from cohortlens.consent.fulfilment.crediting import Crediting
from cohortlens.consent.fulfilment.ending import Ending
from cohortlens.consent.fulfilment.epochs import Epochs
from cohortlens.consent.fulfilment.following import reconcile
from cohortlens.consent.fulfilment.models import CREDENTIAL_WANTED, PIN_WANTED, REWARD_WANTED
from cohortlens.consent.fulfilment.owing import want_release
from cohortlens.consent.fulfilment.pinning import Pinning
from cohortlens.consent.fulfilment.rewarding import Rewarding
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.core.errors import CohortLensError, NotFound
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId, plain_uuid
from cohortlens.core.outbox import Event

_ASTRAY = 500
_STATE_OF = {
    CREDENTIAL_WANTED: "credential_state",
    REWARD_WANTED: "reward_state",
    PIN_WANTED: "pin_state",
}


class Fulfilment:
    """What follows consents.

    Args:
        means: What the steps work with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._crediting, self._rewarding = Crediting(means), Rewarding(means)
        self._pinning, self._ending = Pinning(means), Ending(means)
        self._epochs = Epochs(means)

    async def follow(self, event: Event) -> None:
        """Begin and end fulfilments after an act."""
        failpoint("fulfilment.F1")
        async with self._means.db.tenant_transaction(event.tenant_id) as tx:
            act = await ConsentReading(tx).event(UUID(event.payload["event_id"]))
            if act is None:
                raise NotFound("the consent event is not there")
            await reconcile(tx, self._means.keys, event.tenant_id, act.identity_id, act.purpose_key)

    async def issue(self, event: Event) -> None:
        """Step 1: the credential."""
        await self._step(event, self._crediting.run)

    async def reward(self, event: Event) -> None:
        """Step 2: the reward."""
        await self._step(event, self._rewarding.run)

    async def pin(self, event: Event) -> None:
        """Step 3: the pinned receipt."""
        await self._step(event, self._pinning.run)

    async def end(self, event: Event) -> None:
        """Step W: what follows the end."""
        await self._step(event, self._ending.run)

    async def release(self, event: Event) -> None:
        """Look at the held rewards of a person again."""
        await self._rewarding.release(event.tenant_id, UUID(event.payload["identity_id"]))

    async def give_up(self, event: Event) -> None:
        """Show that a step was given up; ``cohortlens outbox retry`` brings it back."""
        column = _STATE_OF.get(event.topic)
        if column is None:
            return
        async with self._means.db.tenant_transaction(event.tenant_id) as tx:
            await FulfilmentRows(tx).change(UUID(event.payload["event_id"]), **{column: "DEAD"})

    async def poll(self) -> int:
        """Ask for the states of rewards that are on their way."""
        return await self._rewarding.poll()

    async def publish_epochs(self) -> int:
        """Publish the claimable rewards that wait for an epoch; answers how many there were."""
        return await self._epochs.publish()

    async def sweep(self) -> int:
        """Find consents that ended and whose fulfilment goes on, and end it; answers how many there were.

        None should be found: each is a withdrawal whose event was lost, or one that is seen a moment early.
        """
        async with self._means.db.transaction() as tx:
            found = (
                await tx.execute(text("SELECT * FROM app.fulfilments_astray(:most)"), {"most": _ASTRAY})
            ).all()
            held = (await tx.execute(text("SELECT * FROM app.rewards_held(:most)"), {"most": _ASTRAY})).all()
        for row in found:
            tenant_id = TenantId(plain_uuid(row.tenant_id))
            async with self._means.db.tenant_transaction(tenant_id) as tx:
                identity_id = plain_uuid(row.identity_id)
                await reconcile(tx, self._means.keys, tenant_id, identity_id, row.purpose_key)
        for row in held:
            async with self._means.db.tenant_transaction(plain_uuid(row.tenant_id)) as tx:
                await want_release(tx, plain_uuid(row.identity_id))
        return len(found)

    async def _step(self, event: Event, run: Callable[[TenantId, UUID], Awaitable[None]]) -> None:
        event_id = UUID(event.payload["event_id"])
        try:
            await run(event.tenant_id, event_id)
        except CohortLensError as error:
            async with self._means.db.tenant_transaction(event.tenant_id) as tx:
                await FulfilmentRows(tx).failed(event_id, event.attempts, error.reason)
            raise
