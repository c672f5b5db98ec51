# Generated from protos/ by protos/client_types.py (make protos). Do not edit.
"""Fields that no text for people may show, by message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENSITIVE: Final[Mapping[str, frozenset[str]]] = {
    "CreateApiKeyResponse": frozenset({"secret"}),
    "RotateApiKeyResponse": frozenset({"secret"}),
    "RevokeLeakedKeyRequest": frozenset({"key"}),
    "VerifyEmailRequest": frozenset({"token"}),
    "RequestPasswordResetRequest": frozenset({"email"}),
    "ResetPasswordRequest": frozenset({"token", "password"}),
    "ChangePasswordRequest": frozenset({"old_password", "new_password"}),
    "BeginTotpRequest": frozenset({"password"}),
    "BeginTotpResponse": frozenset({"secret", "otpauth_uri"}),
    "ConfirmTotpRequest": frozenset({"code"}),
    "ConfirmTotpResponse": frozenset({"recovery_codes"}),
    "DisableTotpRequest": frozenset({"password", "code"}),
    "CreateOAuthClientResponse": frozenset({"client_secret"}),
    "RotateOAuthClientSecretResponse": frozenset({"client_secret"}),
    "DecideAuthorizationResponse": frozenset({"redirect_uri"}),
    "ExchangeTokenRequest": frozenset({"code", "code_verifier", "refresh_token", "client_assertion"}),
    "ExchangeTokenResponse": frozenset({"access_token", "refresh_token"}),
    "RevokeTokenRequest": frozenset({"token", "client_assertion"}),
    "IntrospectTokenRequest": frozenset({"token", "client_assertion"}),
    "DeleteTenantRequest": frozenset({"password"}),
    "UndeleteTenantRequest": frozenset({"email", "password", "totp"}),
    "InviteUserRequest": frozenset({"email"}),
    "ReviewInvitationRequest": frozenset({"token"}),
    "AcceptInvitationRequest": frozenset({"token", "password"}),
    "AcceptInvitationResponse": frozenset({"access_token", "refresh_token"}),
    "RegisterTenantRequest": frozenset({"email", "password"}),
    "CreateSessionRequest": frozenset({"email", "password", "totp", "mfa_token"}),
    "TokenPair": frozenset({"access_token", "refresh_token"}),
    "RefreshSessionRequest": frozenset({"refresh_token"}),
    "ConsentEvidence": frozenset({"address", "user_agent", "url"}),
    "Correction": frozenset({"value"}),
    "LiftSuppressionRequest": frozenset({"external_id"}),
    "CreateConsentLinkResponse": frozenset({"url"}),
    "OpenConsentLinkRequest": frozenset({"secret"}),
    "OpenConsentLinkResponse": frozenset({"token"}),
    "CreateOwnDataRequestRequest": frozenset({"token"}),
    "ListOwnDataRequestsRequest": frozenset({"token"}),
    "DownloadOwnDataExportRequest": frozenset({"token"}),
    "GetOwnConsentsRequest": frozenset({"token"}),
    "RecordOwnConsentRequest": frozenset({"token"}),
}
