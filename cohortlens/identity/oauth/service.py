"""The authorisation server in one place: what a process needs of OAuth 2, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.core.db import Database
from cohortlens.identity.oauth.authentication import ClientAuthenticator
from cohortlens.identity.oauth.authorization import OAuthAuthorization
from cohortlens.identity.oauth.clients import OAuthClients
from cohortlens.identity.oauth.inspection import OAuthInspection
from cohortlens.identity.oauth.rows import OAuthLookups
from cohortlens.identity.oauth.tokens import OAuthTokens
from cohortlens.identity.programs.keys import ALGORITHMS
from cohortlens.identity.programs.scopes import GRANTABLE
from cohortlens.identity.programs.service_account_verifier import ServiceAccountVerifier
from cohortlens.identity.service import IdentityService

_FOR_OPERATORS = ("internal.", "platform.")
KEEP_CODES_S = 86_400
"""How long a code is remembered after its end, so that its coming back is noticed."""


@dataclass(frozen=True)
class Metadata:
    """What RFC 8414 tells of an authorisation server.

    Attributes:
        issuer: Address of the server.
        scopes: Scopes a client can ask for.
        algorithms: Algorithms of clients' JWTs.
    """

    issuer: str
    scopes: tuple[str, ...]
    algorithms: tuple[str, ...]

    def endpoint(self, name: str) -> str:
        """Address of an endpoint, such as ``token``."""
        return f"{self.issuer}/oauth2/{name}"

    @property
    def jwks_uri(self) -> str:
        """Where the keys of access tokens are published."""
        return f"{self.issuer}/.well-known/jwks.json"


class OAuth:
    """OAuth 2 of a process.

    Args:
        db: Database as the runtime role.
        identity: Sessions, keys, tokens.
        accounts: Proves service accounts.
        issuer: Address of this server, value of ``iss``.

    Attributes:
        clients: Registers clients.
        authorization: Decides with a user.
        tokens: The token endpoint.
        inspection: Revocation and introspection.
        metadata: What is told of this server.
    """

    def __init__(
        self, db: Database, identity: IdentityService, accounts: ServiceAccountVerifier, issuer: str
    ) -> None:
        self._db = db
        scopes = tuple(sorted(one for one in GRANTABLE if not one.startswith(_FOR_OPERATORS)))
        self.metadata = Metadata(issuer, scopes, (*ALGORITHMS, "Ed25519"))
        names = ("token", "revoke", "introspect")
        audiences = (issuer, *(self.metadata.endpoint(name) for name in names))
        proofs = ClientAuthenticator(db, audiences, accounts)
        self.clients = OAuthClients(db, identity.revocations)
        self.authorization = OAuthAuthorization(db, issuer)
        self.tokens = OAuthTokens(db, proofs, identity.sessions, identity.tokens, identity.revocations)
        self.inspection = OAuthInspection(
            db, proofs, identity.sessions, identity.verifier, identity.revocations, issuer
        )

    async def tidy(self) -> int:
        """Delete codes and assertions that nothing can come of any more; answers how many."""
        async with self._db.transaction() as tx:
            return await OAuthLookups(tx).tidy(KEEP_CODES_S)
