"""Issues, revokes and signs: each operation once, its effect and its answer in one transaction.

Ed25519 is deterministic and everything that is signed is frozen first, so an operation that comes again gets
the bytes it got before. Signing is computation: no transaction waits for a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from cohortlens.core.errors import InvalidArgument, NotFound, Violation
from cohortlens.core.failpoints import failpoint
from sidecars.web3.credentials import claims as closed
from sidecars.web3.credentials import suites
from sidecars.web3.credentials.canonical import RdfCanonicalizer, jcs, plain_jcs
from sidecars.web3.credentials.did import ed25519_only, is_key, read_key_did, read_web_did
from sidecars.web3.credentials.documents import Draft, credential, pairwise_subject, proof_options
from sidecars.web3.credentials.guards import check_shape, check_terms
from sidecars.web3.credentials.keys import COMPROMISED, RETIRED, Issuers, Signer
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.refusals import RefusedError
from sidecars.web3.credentials.status_list import AT_MOST_EACH_S, StatusLists
from sidecars.web3.journal import status_lists as rows
from sidecars.web3.journal.operations import run_once
from sidecars.web3.journal.pool import Journal, JournalTransaction
from sidecars.web3.journal.status_lists import CredentialRow

MAX_ITEMS = 500
MAX_CREDENTIAL_BYTES = 8 * 1024
MAX_VALIDITY = timedelta(days=365)
CONSENT, AGREEMENT = "CONSENT", "AGREEMENT"
_TYPES = {CONSENT: "ConsentCredential", AGREEMENT: "AgreementCredential"}
_MEMBERS = {CONSENT: closed.CONSENT, AGREEMENT: closed.AGREEMENT}


@dataclass(frozen=True)
class Operation:
    """Who asks for what: see ``journal.operations``."""

    tenant_id: UUID
    operation_id: UUID
    digest: bytes


@dataclass(frozen=True)
class Item:
    """One credential to issue.

    Attributes:
        source_id: What it is for; the same source has one valid credential.
        kind: CONSENT or AGREEMENT.
        claims: As received, JSON.
        subject_id: What the pairwise identifier is made from.
        valid_until: End of validity; None for a year. A year is the most.
        holder_did: DID of the holder; empty for a pairwise identifier.
        suite: How it is secured.
    """

    source_id: UUID
    kind: str
    claims: bytes
    subject_id: UUID
    valid_until: datetime | None
    holder_did: str
    suite: str


@dataclass(frozen=True)
class Issued:
    """A credential that was issued, and the DID of its issuer."""

    row: CredentialRow
    issuer_did: str


class CredentialIssuer:
    """Issues and revokes credentials.

    Args:
        journal: The journal.
        issuers: Their keys.
        lists: Their status lists.
        canonicalizer: For proofs.
        pool: Threads that sign.
        clock: The time.
        revoked: Told after a withdrawal was committed.
    """

    def __init__(
        self,
        journal: Journal,
        issuers: Issuers,
        lists: StatusLists,
        canonicalizer: RdfCanonicalizer,
        pool: Executor,
        clock: Callable[[], datetime],
        revoked: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._issuers = issuers
        self._lists = lists
        self._canonicalizer = canonicalizer
        self._pool = pool
        self._clock = clock
        self._revoked = revoked
        # Members of claims whose document passed the guards: jcs ones of one shape differ in values only.
        self._guarded: set[tuple[str, ...]] = set()

    async def issue(
        self, operation: Operation, items: Sequence[Item], encode: Callable[[list[Issued]], bytes]
    ) -> bytes:
        """Issue credentials, all or none.

        Args:
            operation: Whose and which.
            items: 1 to 500; no source twice.
            encode: The answer's bytes; they are stored for replays.

        Raises:
            ClaimsInvalidError: A claim is not of the closed list.
            InvalidArgument: HOLDER_DID_INVALID or FIELD_INVALID.
            ResourceExhausted: STATUS_LIST_FULL.
        """
        self._check(items)
        contents = [closed.read_claims(item.claims, _MEMBERS[item.kind]) for item in items]

        async def make() -> bytes:
            return encode(await self._issue(tx, operation.tenant_id, items, contents))

        async with self._journal.transaction(operation.tenant_id) as tx:
            answer = await run_once(tx, operation.tenant_id, operation.operation_id, operation.digest, make)
        failpoint("web3.issue.committed")
        self._lists.wake()
        return answer

    async def revoke(
        self,
        operation: Operation,
        credential_id: UUID,
        reason: str,
        encode: Callable[[int, datetime], bytes],
    ) -> bytes:
        """Set the status bit of a credential; one that is set already is a success.

        Raises:
            NotFound: The tenant has no such credential.
        """

        async def make() -> bytes:
            list_id = await rows.list_of_credential(tx, operation.tenant_id, credential_id)
            if list_id is None:
                raise NotFound("There is no credential of this identifier.")
            version = await self._lists.revoke(tx, operation.tenant_id, list_id, [credential_id], reason)
            public, at = await rows.published_at(tx, operation.tenant_id, list_id)
            if public < version or at is None:
                at = self._clock() + timedelta(seconds=AT_MOST_EACH_S)
            return encode(version, at)

        async with self._journal.transaction(operation.tenant_id) as tx:
            answer = await run_once(tx, operation.tenant_id, operation.operation_id, operation.digest, make)
        self._revoked()
        self._lists.wake()
        return answer

    async def rotate(
        self, operation: Operation, *, compromised: bool, encode: Callable[[str, str, list[UUID]], bytes]
    ) -> bytes:
        """Replace the active key; with a compromised one go all credentials that it signed."""

        async def make() -> bytes:
            issuer = await self._issuers.ensure(tx, operation.tenant_id, self._clock())
            old = await self._issuers.signer(tx, operation.tenant_id)
            revoked: list[UUID] = []
            if compromised:
                found = await rows.credentials_of_key(tx, operation.tenant_id, old.kid)
                for list_id, credential_ids in found.items():
                    await self._lists.revoke(
                        tx, operation.tenant_id, list_id, credential_ids, "KEY_COMPROMISED"
                    )
                    revoked += credential_ids
            state = COMPROMISED if compromised else RETIRED
            key = await self._issuers.rotate(tx, issuer, state, self._clock())
            return encode(key.kid, key.did, revoked)

        async with self._journal.transaction(operation.tenant_id) as tx:
            answer = await run_once(tx, operation.tenant_id, operation.operation_id, operation.digest, make)
        self._issuers.forget_found()
        self._revoked()
        self._lists.wake()
        return answer

    async def sign_document(
        self,
        operation: Operation,
        read: Callable[[str], JsonObject],
        encode: Callable[[bytes], bytes],
    ) -> bytes:
        """Sign a document that is no credential, eddsa-jcs-2022.

        Args:
            operation: Whose and which.
            read: Gives the checked document, told the DID of the issuer.
            encode: The answer's bytes.

        Raises:
            ClaimsInvalidError: A member is not of the closed list.
        """

        async def make() -> bytes:
            now = self._clock()
            await self._issuers.ensure(tx, operation.tenant_id, now)
            signer = await self._issuers.signer(tx, operation.tenant_id)
            document = read(signer.did)
            return encode(self._signed(document, suites.JCS, signer, now))

        async with self._journal.transaction(operation.tenant_id) as tx:
            return await run_once(tx, operation.tenant_id, operation.operation_id, operation.digest, make)

    async def _issue(
        self,
        tx: JournalTransaction,
        tenant_id: UUID,
        items: Sequence[Item],
        contents: Sequence[JsonObject],
    ) -> list[Issued]:
        now = self._clock().replace(microsecond=0)
        issuer = await self._issuers.ensure(tx, tenant_id, now)
        signer = await self._issuers.signer(tx, tenant_id)
        # With the issuer locked no other call issues for the tenant, so a source is filled once.
        known = await self._known(tx, tenant_id, items)
        wanted = [at for at, item in enumerate(items) if (item.kind, item.source_id) not in known]
        if wanted:
            status_list = await self._lists.open_for(tx, tenant_id, signer.did, len(wanted))
            indexes = await self._lists.draw(tx, status_list, len(wanted))
            pairwise, url = self._issuers.pairwise_key(issuer), self._lists.url(status_list.list_id)

            def made() -> list[CredentialRow]:
                return [
                    self._made(
                        items[at], contents[at], signer, pairwise, url, index, status_list.list_id, now
                    )
                    for at, index in zip(wanted, indexes, strict=True)
                ]

            fresh = await asyncio.get_running_loop().run_in_executor(self._pool, made)
            await rows.add_credentials(tx, tenant_id, status_list.list_id, fresh)
            known |= {(row.kind, row.source_id): Issued(row, signer.did) for row in fresh}
        return [known[item.kind, item.source_id] for item in items]

    async def _known(
        self, tx: JournalTransaction, tenant_id: UUID, items: Sequence[Item]
    ) -> dict[tuple[str, UUID], Issued]:
        found: dict[tuple[str, UUID], Issued] = {}
        for kind in {item.kind for item in items}:
            sources = [item.source_id for item in items if item.kind == kind]
            for row in await rows.valid_credentials(tx, tenant_id, kind, sources):
                found[kind, row.source_id] = Issued(row, row.kid.partition("#")[0])
        return found

    def _made(
        self,
        item: Item,
        content: JsonObject,
        signer: Signer,
        pairwise: bytes,
        url: str,
        index: int,
        list_id: UUID,
        now: datetime,
    ) -> CredentialRow:
        until = min(item.valid_until or now + MAX_VALIDITY, now + MAX_VALIDITY).replace(microsecond=0)
        subject = item.holder_did or pairwise_subject(pairwise, item.subject_id, item.source_id)
        draft = Draft(uuid4(), _TYPES[item.kind], signer.did, subject, content, now, until, url, index)
        document = credential(draft)
        self._guard(document, item.suite, content)
        body = self._signed(document, item.suite, signer, now, plain_jcs)
        if len(body) > MAX_CREDENTIAL_BYTES:
            raise closed.ClaimsInvalidError(
                f"The credential would have {len(body)} bytes; at most {MAX_CREDENTIAL_BYTES} are issued."
            )
        return CredentialRow(
            draft.credential_id, item.source_id, item.kind, signer.kid, item.suite, body, list_id, index,
            now, until,
        )  # fmt: skip

    def _guard(self, document: JsonObject, suite: str, content: Mapping[str, object]) -> None:
        shape = (*document["type"], *sorted(content))
        if suite == suites.JCS and shape in self._guarded:
            return
        try:
            check_shape(document)
            check_terms(document, self._canonicalizer)
        except RefusedError as refused:
            # A fault of our template: better here than at a verifier.
            raise closed.ClaimsInvalidError(
                f"The credential would not verify: {refused.refusal.detail}"
            ) from None
        self._guarded.add(shape)

    def _signed(
        self,
        document: JsonObject,
        suite: str,
        signer: Signer,
        now: datetime,
        write: Callable[[JsonObject], bytes] = jcs,
    ) -> bytes:
        options = proof_options(suite, signer.kid, now)
        proof = suites.sign(document, options, signer.private, self._canonicalizer)
        return write({**document, "proof": proof})

    def _check(self, items: Sequence[Item]) -> None:
        if not 1 <= len(items) <= MAX_ITEMS:
            raise _invalid("items", f"must be 1 to {MAX_ITEMS}")
        if len({(item.kind, item.source_id) for item in items}) != len(items):
            raise _invalid("items", "must not name a source twice")
        now = self._clock()
        for at, item in enumerate(items):
            if item.valid_until is not None and item.valid_until <= now:
                raise _invalid(f"items[{at}].valid_until_s", "must be in the future")
            if item.holder_did or item.kind == AGREEMENT:
                _check_holder(f"items[{at}].holder_did", item.holder_did)


def _check_holder(field: str, did: str) -> None:
    try:
        if is_key(did):
            ed25519_only(read_key_did(did))
        else:
            read_web_did(did)
    except RefusedError as refused:
        raise InvalidArgument(
            f"The holder's DID cannot be used: {refused.refusal.detail} "
            "Send an Ed25519 did:key or a did:web.",
            reason="HOLDER_DID_INVALID",
            violations=(Violation(field, refused.refusal.detail),),
        ) from None


def _invalid(field: str, fault: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {fault}.", violations=(Violation(field, fault),))


def at_second(seconds: int) -> datetime:
    """The time of so many seconds since 1970, UTC."""
    return datetime.fromtimestamp(seconds, UTC)
