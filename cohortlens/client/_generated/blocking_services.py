# Generated from protos/ by protos/client_types.py (make protos). Do not edit.
"""The services of the API, every method blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cohortlens.client._generated import services
from cohortlens.client._generated.cohortlens import v1
from cohortlens.client._generated.google import api
from cohortlens.client.methods import Metadata
from cohortlens.client.portal import Portal


class AnalyticsService:
    """Runs the tenant's active models and reads their stored results."""

    def __init__(self, portal: Portal, service: services.AnalyticsService) -> None:
        self._portal, self._service = portal, service

    def predict(self, request: v1.PredictRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PredictResponse:
        """Predicts purchases, spend, lifetime value or churn of up to 1,000 customers, named by id or given as feature
        vectors. Predictions of named customers are stored with the model version and the feature snapshot before the
        answer leaves.
        """
        return self._portal.run(self._service.predict(request, timeout_s=timeout_s, metadata=metadata))

    def segment(self, request: v1.SegmentRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SegmentResponse:
        """Assigns up to 1,000 customers or feature vectors to segments of the active segmentation model."""
        return self._portal.run(self._service.segment(request or v1.SegmentRequest(), timeout_s=timeout_s, metadata=metadata))

    def explain(self, request: v1.ExplainRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ExplainResponse:
        """Explains predictions: by the share of each feature (SHAP or LIME), or by what would change them
        (COUNTERFACTUAL). base_value + the sum of contributions + additivity_residual + surrogate_residual equals the
        natural logarithm of the predicted value. LIME and COUNTERFACTUAL need the plan feature explain.lime.
        """
        return self._portal.run(self._service.explain(request, timeout_s=timeout_s, metadata=metadata))

    def get_global_importance(self, request: v1.GetGlobalImportanceRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetGlobalImportanceResponse:
        """What moves the predictions of one version most: the mean absolute contribution of each feature, measured when the
        version was trained.
        """
        return self._portal.run(self._service.get_global_importance(request, timeout_s=timeout_s, metadata=metadata))

    def predict_batch(self, request: v1.PredictBatchRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PredictBatchResponse:
        """Starts predictions for all customers of the tenant, or for the rows of an uploaded input, with the model that is
        active now. One batch of a tenant runs at a time, others wait. Predictions of customers are stored and read by
        ListPredictions; in either case the result is a Parquet file. Poll GetBatchPrediction until the state is final.
        """
        return self._portal.run(self._service.predict_batch(request, timeout_s=timeout_s, metadata=metadata))

    def get_batch_prediction(self, request: v1.GetBatchPredictionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetBatchPredictionResponse:
        """One batch prediction with its state and progress."""
        return self._portal.run(self._service.get_batch_prediction(request, timeout_s=timeout_s, metadata=metadata))

    def list_batch_predictions(self, request: v1.ListBatchPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListBatchPredictionsResponse:
        """Batch predictions, newest first."""
        return self._portal.run(self._service.list_batch_predictions(request or v1.ListBatchPredictionsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_batch_predictions(self, request: v1.ListBatchPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.BatchPrediction]:
        """The batches of ``list_batch_predictions``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_batch_predictions(request or v1.ListBatchPredictionsRequest(), timeout_s=timeout_s, metadata=metadata))

    def cancel_batch_prediction(self, request: v1.CancelBatchPredictionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelBatchPredictionResponse:
        """Ends a batch prediction. Predictions committed until then stay stored; there is no result file. A batch that has
        ended already stays as it is.
        """
        return self._portal.run(self._service.cancel_batch_prediction(request, timeout_s=timeout_s, metadata=metadata))

    def get_batch_input(self, request: v1.GetBatchInputRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetBatchInputResponse:
        """One uploaded input."""
        return self._portal.run(self._service.get_batch_input(request, timeout_s=timeout_s, metadata=metadata))

    def upload_batch_input(self, requests: Iterable[v1.UploadBatchInputRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UploadBatchInputResponse:
        """Uploads rows of features to predict for: Parquet or CSV with an identifier column and one column for each feature
        of the schema, by name, in any order; the column horizon may be left out. The first message holds the options,
        the others the bytes of the file. Over HTTP the body is the file itself and the options are query parameters.
        Every row is checked before the answer leaves; a fault is named with its row and column and nothing is kept.
        """
        return self._portal.run(self._service.upload_batch_input(self._portal.feed(requests), timeout_s=timeout_s, metadata=metadata))

    def download_batch_result(self, request: v1.DownloadBatchResultRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[api.HttpBody]:
        """The result of a batch that succeeded, as the bytes of one Parquet file: id, value, lower, upper, unit, horizon,
        model_version, snapshot_id; one row for each row of the input, in its order. Files are kept for 7 days.
        """
        return self._portal.iterate(self._service.download_batch_result(request, timeout_s=timeout_s, metadata=metadata))

    def predict_stream(self, requests: Iterable[v1.PredictStreamRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.PredictStreamResponse]:
        """Predicts feature vectors of many messages on one stream. Each message is answered by itself with its
        correlation_id, as soon as it is ready: answers may come in another order. A bad message is answered with its
        own fault and does not end the stream. At most 32 messages are worked on at once; then no more are read.
        Nothing is stored. gRPC only: over HTTP the answer is STREAMING_NOT_SUPPORTED; use Predict there.
        """
        return self._portal.iterate(self._service.predict_stream(self._portal.feed(requests), timeout_s=timeout_s, metadata=metadata))

    def score_tensor(self, requests: Iterable[v1.ScoreTensorRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.ScoreTensorResponse]:
        """Scores a table of features chunk by chunk, as raw numbers: a header, then chunks of 1 to 8,192 rows. Answers keep
        the order of the chunks; two chunks are worked on at once. The first fault ends the stream, behind the answers of
        the chunks before it. Nothing is stored. gRPC only: over HTTP the answer is STREAMING_NOT_SUPPORTED.
        """
        return self._portal.iterate(self._service.score_tensor(self._portal.feed(requests), timeout_s=timeout_s, metadata=metadata))

    def get_prediction(self, request: v1.GetPredictionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetPredictionResponse:
        """One stored prediction."""
        return self._portal.run(self._service.get_prediction(request, timeout_s=timeout_s, metadata=metadata))

    def list_predictions(self, request: v1.ListPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListPredictionsResponse:
        """Stored predictions, newest first."""
        return self._portal.run(self._service.list_predictions(request or v1.ListPredictionsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_predictions(self, request: v1.ListPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Prediction]:
        """The predictions of ``list_predictions``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_predictions(request or v1.ListPredictionsRequest(), timeout_s=timeout_s, metadata=metadata))

    def start_segmentation(self, request: v1.StartSegmentationRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.StartSegmentationResponse:
        """Starts a run that assigns every customer to a segment and publishes the result in one step."""
        return self._portal.run(self._service.start_segmentation(request or v1.StartSegmentationRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_segmentation_run(self, request: v1.GetSegmentationRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetSegmentationRunResponse:
        """One segmentation run."""
        return self._portal.run(self._service.get_segmentation_run(request, timeout_s=timeout_s, metadata=metadata))

    def list_segmentation_runs(self, request: v1.ListSegmentationRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSegmentationRunsResponse:
        """Segmentation runs, newest first."""
        return self._portal.run(self._service.list_segmentation_runs(request or v1.ListSegmentationRunsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_segmentation_runs(self, request: v1.ListSegmentationRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.SegmentationRun]:
        """The runs of ``list_segmentation_runs``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_segmentation_runs(request or v1.ListSegmentationRunsRequest(), timeout_s=timeout_s, metadata=metadata))

    def cancel_segmentation_run(self, request: v1.CancelSegmentationRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelSegmentationRunResponse:
        """Ends a run that is not finished; one that has ended, and the published one, stay as they are."""
        return self._portal.run(self._service.cancel_segmentation_run(request, timeout_s=timeout_s, metadata=metadata))

    def compare_segmentation_runs(self, request: v1.CompareSegmentationRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CompareSegmentationRunsResponse:
        """How customers moved from the segments of one run to those of a later one."""
        return self._portal.run(self._service.compare_segmentation_runs(request or v1.CompareSegmentationRunsRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_segments(self, request: v1.ListSegmentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSegmentsResponse:
        """The segments of the published run, or of the run named: names, sizes, spend."""
        return self._portal.run(self._service.list_segments(request or v1.ListSegmentsRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_segment_members(self, request: v1.ListSegmentMembersRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSegmentMembersResponse:
        """The members of one segment."""
        return self._portal.run(self._service.list_segment_members(request, timeout_s=timeout_s, metadata=metadata))

    def iter_segment_members(self, request: v1.ListSegmentMembersRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.SegmentAssignment]:
        """The members of ``list_segment_members``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_segment_members(request, timeout_s=timeout_s, metadata=metadata))

    def start_drift_report(self, request: v1.StartDriftReportRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.StartDriftReportResponse:
        """Starts a report on drift: how far the present customers, the predictions for them and their segments have moved
        from what the active version was trained on. Poll GetDriftReport until the state is final.
        """
        return self._portal.run(self._service.start_drift_report(request or v1.StartDriftReportRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_drift_report(self, request: v1.GetDriftReportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetDriftReportResponse:
        """One drift report with its columns."""
        return self._portal.run(self._service.get_drift_report(request, timeout_s=timeout_s, metadata=metadata))

    def list_drift_reports(self, request: v1.ListDriftReportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListDriftReportsResponse:
        """Drift reports, newest first, without their columns."""
        return self._portal.run(self._service.list_drift_reports(request or v1.ListDriftReportsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_drift_reports(self, request: v1.ListDriftReportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.DriftReport]:
        """The drift_reports of ``list_drift_reports``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_drift_reports(request or v1.ListDriftReportsRequest(), timeout_s=timeout_s, metadata=metadata))

    def query_cohorts(self, request: v1.QueryCohortsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.QueryCohortsResponse:
        """Customers, orders, revenue or lifetime value by cohort and period, counted from the stored orders. A cell is absent
        where its period is not wholly observed.
        """
        return self._portal.run(self._service.query_cohorts(request or v1.QueryCohortsRequest(), timeout_s=timeout_s, metadata=metadata))

    def query_survival(self, request: v1.QuerySurvivalRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.QuerySurvivalResponse:
        """How long customers stay, or take until an order of a number: Kaplan-Meier curves with intervals."""
        return self._portal.run(self._service.query_survival(request or v1.QuerySurvivalRequest(), timeout_s=timeout_s, metadata=metadata))

    def project_retention(self, request: v1.ProjectRetentionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ProjectRetentionResponse:
        """How many customers stay from period to period, observed, and projected by the shifted-beta-geometric model with a
        bootstrap interval; for the tenant's own customers or for given counts.
        """
        return self._portal.run(self._service.project_retention(request or v1.ProjectRetentionRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_feature_schema(self, request: v1.GetFeatureSchemaRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetFeatureSchemaResponse:
        """The ordered definition of the features that models take."""
        return self._portal.run(self._service.get_feature_schema(request or v1.GetFeatureSchemaRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_features(self, request: v1.GetFeaturesRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetFeaturesResponse:
        """The current feature values of one customer, in schema order."""
        return self._portal.run(self._service.get_features(request, timeout_s=timeout_s, metadata=metadata))


class AuditService:
    """Reads, verifies and exports the tenant's audit log. Rows are chained by hashes and never change."""

    def __init__(self, portal: Portal, service: services.AuditService) -> None:
        self._portal, self._service = portal, service

    def list_audit_events(self, request: v1.ListAuditEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAuditEventsResponse:
        """Rows of the audit log, newest first."""
        return self._portal.run(self._service.list_audit_events(request or v1.ListAuditEventsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_audit_events(self, request: v1.ListAuditEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.AuditEvent]:
        """The events of ``list_audit_events``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_audit_events(request or v1.ListAuditEventsRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_audit_event(self, request: v1.GetAuditEventRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAuditEventResponse:
        """One row of the audit log."""
        return self._portal.run(self._service.get_audit_event(request, timeout_s=timeout_s, metadata=metadata))

    def list_access_entries(self, request: v1.ListAccessEntriesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAccessEntriesResponse:
        """Entries of the access log, newest first: who read about which customers, and who was refused."""
        return self._portal.run(self._service.list_access_entries(request or v1.ListAccessEntriesRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_access_entries(self, request: v1.ListAccessEntriesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.AccessEntry]:
        """The entries of ``list_access_entries``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_access_entries(request or v1.ListAccessEntriesRequest(), timeout_s=timeout_s, metadata=metadata))

    def verify_audit_chain(self, request: v1.VerifyAuditChainRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyAuditChainResponse:
        """Computes the chain again, holds it against the signed checkpoints, and names the first row that is wrong."""
        return self._portal.run(self._service.verify_audit_chain(request or v1.VerifyAuditChainRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_audit_checkpoint(self, request: v1.GetAuditCheckpointRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAuditCheckpointResponse:
        """The newest checkpoint: a signed statement of where the chain stood."""
        return self._portal.run(self._service.get_audit_checkpoint(request or v1.GetAuditCheckpointRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_audit_keys(self, request: v1.ListAuditKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAuditKeysResponse:
        """The public keys of checkpoints, also those that sign no more. Keep them apart from exports."""
        return self._portal.run(self._service.list_audit_keys(request or v1.ListAuditKeysRequest(), timeout_s=timeout_s, metadata=metadata))

    def create_audit_export(self, request: v1.CreateAuditExportRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateAuditExportResponse:
        """Starts an export of rows as JSON lines, with their checkpoints. Poll GetAuditExport until the state is final."""
        return self._portal.run(self._service.create_audit_export(request or v1.CreateAuditExportRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_audit_export(self, request: v1.GetAuditExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAuditExportResponse:
        """One export with its state and progress."""
        return self._portal.run(self._service.get_audit_export(request, timeout_s=timeout_s, metadata=metadata))

    def download_audit_export(self, request: v1.DownloadAuditExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[api.HttpBody]:
        """The file of an export that succeeded, for `cohortlens audit verify`. It is kept for 7 days."""
        return self._portal.iterate(self._service.download_audit_export(request, timeout_s=timeout_s, metadata=metadata))


class AuthService:
    """Registers tenants and opens, renews and ends sessions."""

    def __init__(self, portal: Portal, service: services.AuthService) -> None:
        self._portal, self._service = portal, service

    def register_tenant(self, request: v1.RegisterTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RegisterTenantResponse:
        """Mails a link that makes a tenant with its owner, or says that there is an account. The answer is the same whether or not the address has one; registering again sends a new link."""
        return self._portal.run(self._service.register_tenant(request, timeout_s=timeout_s, metadata=metadata))

    def verify_email(self, request: v1.VerifyEmailRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyEmailResponse:
        """Makes the tenant of a mailed link with its owner, and opens the first session. The link works once."""
        return self._portal.run(self._service.verify_email(request, timeout_s=timeout_s, metadata=metadata))

    def request_password_reset(self, request: v1.RequestPasswordResetRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RequestPasswordResetResponse:
        """Mails a link to choose a new password, or says that there is no account. The answer is the same for every address."""
        return self._portal.run(self._service.request_password_reset(request, timeout_s=timeout_s, metadata=metadata))

    def reset_password(self, request: v1.ResetPasswordRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ResetPasswordResponse:
        """Chooses a new password by a mailed link and ends every session of the user. The link works once."""
        return self._portal.run(self._service.reset_password(request, timeout_s=timeout_s, metadata=metadata))

    def change_password(self, request: v1.ChangePasswordRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ChangePasswordResponse:
        """Chooses a new password by the old one and ends every other session of the user."""
        return self._portal.run(self._service.change_password(request, timeout_s=timeout_s, metadata=metadata))

    def begin_totp(self, request: v1.BeginTotpRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BeginTotpResponse:
        """Makes the secret of an authenticator app; nothing changes until ConfirmTotp."""
        return self._portal.run(self._service.begin_totp(request, timeout_s=timeout_s, metadata=metadata))

    def confirm_totp(self, request: v1.ConfirmTotpRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ConfirmTotpResponse:
        """Asks for the authenticator app at every log-in from now on, and answers the recovery codes this once."""
        return self._portal.run(self._service.confirm_totp(request, timeout_s=timeout_s, metadata=metadata))

    def disable_totp(self, request: v1.DisableTotpRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DisableTotpResponse:
        """Asks for the authenticator app no more."""
        return self._portal.run(self._service.disable_totp(request, timeout_s=timeout_s, metadata=metadata))

    def create_session(self, request: v1.CreateSessionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateSessionResponse:
        """Logs in with e-mail address and password and opens a session. MFA_REQUIRED asks for a second call with its mfa_token and a code."""
        return self._portal.run(self._service.create_session(request or v1.CreateSessionRequest(), timeout_s=timeout_s, metadata=metadata))

    def refresh_session(self, request: v1.RefreshSessionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RefreshSessionResponse:
        """Exchanges a refresh token for a new pair. A token that was already exchanged ends its session."""
        return self._portal.run(self._service.refresh_session(request, timeout_s=timeout_s, metadata=metadata))

    def switch_tenant(self, request: v1.SwitchTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateSessionResponse:
        """Opens a session in another tenant of the caller; the session of the call goes on."""
        return self._portal.run(self._service.switch_tenant(request, timeout_s=timeout_s, metadata=metadata))

    def list_sessions(self, request: v1.ListSessionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSessionsResponse:
        """Lists the caller's sessions in this tenant, newest first."""
        return self._portal.run(self._service.list_sessions(request or v1.ListSessionsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_sessions(self, request: v1.ListSessionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Session]:
        """The sessions of ``list_sessions``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_sessions(request or v1.ListSessionsRequest(), timeout_s=timeout_s, metadata=metadata))

    def revoke_user_sessions(self, request: v1.RevokeUserSessionsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeUserSessionsResponse:
        """Ends every session of a user in this tenant; those of others with the scope users.write."""
        return self._portal.run(self._service.revoke_user_sessions(request, timeout_s=timeout_s, metadata=metadata))

    def list_signing_keys(self, request: v1.ListSigningKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSigningKeysResponse:
        """Lists the signing keys of the installation, newest first."""
        return self._portal.run(self._service.list_signing_keys(request or v1.ListSigningKeysRequest(), timeout_s=timeout_s, metadata=metadata))

    def rotate_signing_key(self, request: v1.RotateSigningKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateSigningKeyResponse:
        """Lets the next signing key sign from now on; the old one verifies for eleven minutes more."""
        return self._portal.run(self._service.rotate_signing_key(request, timeout_s=timeout_s, metadata=metadata))

    def delete_session(self, request: v1.DeleteSessionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteSessionResponse:
        """Ends a session; `current` is the one of the caller, so this is log out."""
        return self._portal.run(self._service.delete_session(request, timeout_s=timeout_s, metadata=metadata))

    def get_me(self, request: v1.GetMeRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetMeResponse:
        """Answers who the caller is."""
        return self._portal.run(self._service.get_me(request or v1.GetMeRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_jwks(self, request: v1.GetJwksRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetJwksResponse:
        """The public keys that verify access tokens, as an RFC 7517 key set."""
        return self._portal.run(self._service.get_jwks(request or v1.GetJwksRequest(), timeout_s=timeout_s, metadata=metadata))

    def create_api_key(self, request: v1.CreateApiKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateApiKeyResponse:
        """Makes an API key; its secret is in this answer and nowhere else."""
        return self._portal.run(self._service.create_api_key(request, timeout_s=timeout_s, metadata=metadata))

    def list_api_keys(self, request: v1.ListApiKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListApiKeysResponse:
        """API keys of the tenant, newest first, without their secrets."""
        return self._portal.run(self._service.list_api_keys(request or v1.ListApiKeysRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_api_keys(self, request: v1.ListApiKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.ApiKey]:
        """The api_keys of ``list_api_keys``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_api_keys(request or v1.ListApiKeysRequest(), timeout_s=timeout_s, metadata=metadata))

    def revoke_api_key(self, request: v1.RevokeApiKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeApiKeyResponse:
        """Revokes an API key; every process refuses it within two seconds."""
        return self._portal.run(self._service.revoke_api_key(request, timeout_s=timeout_s, metadata=metadata))

    def rotate_api_key(self, request: v1.RotateApiKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateApiKeyResponse:
        """Makes the successor of an API key; the old one works for an overlap of at most 24 hours."""
        return self._portal.run(self._service.rotate_api_key(request, timeout_s=timeout_s, metadata=metadata))

    def revoke_leaked_key(self, request: v1.RevokeLeakedKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeLeakedKeyResponse:
        """Revokes a key that was found in public. Anyone who holds the whole key may; the answer is always the same."""
        return self._portal.run(self._service.revoke_leaked_key(request, timeout_s=timeout_s, metadata=metadata))

    def create_service_account(self, request: v1.CreateServiceAccountRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateServiceAccountResponse:
        """Makes a service account: a program that proves itself with a key of its own or a certificate."""
        return self._portal.run(self._service.create_service_account(request, timeout_s=timeout_s, metadata=metadata))

    def list_service_accounts(self, request: v1.ListServiceAccountsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListServiceAccountsResponse:
        """Service accounts of the tenant with their public keys, newest first."""
        return self._portal.run(self._service.list_service_accounts(request or v1.ListServiceAccountsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_service_accounts(self, request: v1.ListServiceAccountsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.ServiceAccount]:
        """The service_accounts of ``list_service_accounts``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_service_accounts(request or v1.ListServiceAccountsRequest(), timeout_s=timeout_s, metadata=metadata))

    def add_service_account_key(self, request: v1.AddServiceAccountKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.AddServiceAccountKeyResponse:
        """Adds a public key to a service account, so that its keys can be rotated without a pause."""
        return self._portal.run(self._service.add_service_account_key(request, timeout_s=timeout_s, metadata=metadata))

    def delete_service_account_key(self, request: v1.DeleteServiceAccountKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteServiceAccountKeyResponse:
        """Removes a public key of a service account."""
        return self._portal.run(self._service.delete_service_account_key(request, timeout_s=timeout_s, metadata=metadata))

    def delete_service_account(self, request: v1.DeleteServiceAccountRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteServiceAccountResponse:
        """Ends a service account with its keys and tokens; every process refuses it within two seconds."""
        return self._portal.run(self._service.delete_service_account(request, timeout_s=timeout_s, metadata=metadata))

    def create_o_auth_client(self, request: v1.CreateOAuthClientRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateOAuthClientResponse:
        """Registers an OAuth client: an application that may ask users, or us, for tokens."""
        return self._portal.run(self._service.create_o_auth_client(request, timeout_s=timeout_s, metadata=metadata))

    def list_o_auth_clients(self, request: v1.ListOAuthClientsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListOAuthClientsResponse:
        """Lists the OAuth clients of the tenant, oldest first."""
        return self._portal.run(self._service.list_o_auth_clients(request or v1.ListOAuthClientsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_o_auth_clients(self, request: v1.ListOAuthClientsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.OAuthClient]:
        """The clients of ``list_o_auth_clients``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_o_auth_clients(request or v1.ListOAuthClientsRequest(), timeout_s=timeout_s, metadata=metadata))

    def delete_o_auth_client(self, request: v1.DeleteOAuthClientRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteOAuthClientResponse:
        """Ends an OAuth client with its codes, sessions and tokens."""
        return self._portal.run(self._service.delete_o_auth_client(request, timeout_s=timeout_s, metadata=metadata))

    def rotate_o_auth_client_secret(self, request: v1.RotateOAuthClientSecretRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateOAuthClientSecretResponse:
        """Gives an OAuth client a new secret; the old one works on for the overlap."""
        return self._portal.run(self._service.rotate_o_auth_client_secret(request, timeout_s=timeout_s, metadata=metadata))

    def check_authorization(self, request: v1.CheckAuthorizationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CheckAuthorizationResponse:
        """Looks at what an OAuth client asks a user for, before anyone has signed in."""
        return self._portal.run(self._service.check_authorization(request, timeout_s=timeout_s, metadata=metadata))

    def review_authorization(self, request: v1.ReviewAuthorizationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReviewAuthorizationResponse:
        """Tells the caller which tenants and scopes they could consent to."""
        return self._portal.run(self._service.review_authorization(request, timeout_s=timeout_s, metadata=metadata))

    def decide_authorization(self, request: v1.DecideAuthorizationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DecideAuthorizationResponse:
        """Turns the caller's decision into an authorisation code, or into a refusal, for the client."""
        return self._portal.run(self._service.decide_authorization(request, timeout_s=timeout_s, metadata=metadata))

    def exchange_token(self, request: v1.ExchangeTokenRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ExchangeTokenResponse:
        """The token endpoint of OAuth 2 (RFC 6749 3.2); over HTTP it takes a form, and answers errors as 5.2 says."""
        return self._portal.run(self._service.exchange_token(request, timeout_s=timeout_s, metadata=metadata))

    def revoke_token(self, request: v1.RevokeTokenRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeTokenResponse:
        """The revocation endpoint (RFC 7009); a form over HTTP. Says nothing about tokens that are not the client's."""
        return self._portal.run(self._service.revoke_token(request, timeout_s=timeout_s, metadata=metadata))

    def introspect_token(self, request: v1.IntrospectTokenRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.IntrospectTokenResponse:
        """The introspection endpoint (RFC 7662); a form over HTTP. For a client's own tokens, or with the scope internal.introspect."""
        return self._portal.run(self._service.introspect_token(request, timeout_s=timeout_s, metadata=metadata))

    def get_metadata(self, request: v1.GetMetadataRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetMetadataResponse:
        """Metadata of the authorisation server (RFC 8414)."""
        return self._portal.run(self._service.get_metadata(request or v1.GetMetadataRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_user(self, request: v1.GetUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetUserResponse:
        """One user of the tenant."""
        return self._portal.run(self._service.get_user(request, timeout_s=timeout_s, metadata=metadata))

    def list_users(self, request: v1.ListUsersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListUsersResponse:
        """Users of the tenant, in the order in which they joined."""
        return self._portal.run(self._service.list_users(request or v1.ListUsersRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_users(self, request: v1.ListUsersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.User]:
        """The users of ``list_users``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_users(request or v1.ListUsersRequest(), timeout_s=timeout_s, metadata=metadata))

    def update_user(self, request: v1.UpdateUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdateUserResponse:
        """Changes the role of a user. Their access tokens are refused within 2 s; a refresh brings the new role."""
        return self._portal.run(self._service.update_user(request, timeout_s=timeout_s, metadata=metadata))

    def delete_user(self, request: v1.DeleteUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteUserResponse:
        """Removes a user from the tenant: ends their sessions, withdraws their invitations, revokes the API keys they made unless `transfer_to` takes them."""
        return self._portal.run(self._service.delete_user(request, timeout_s=timeout_s, metadata=metadata))

    def invite_user(self, request: v1.InviteUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.InviteUserResponse:
        """Mails a link by which one person joins the tenant in one role, once, within 7 days."""
        return self._portal.run(self._service.invite_user(request, timeout_s=timeout_s, metadata=metadata))

    def list_invitations(self, request: v1.ListInvitationsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListInvitationsResponse:
        """Open invitations, newest first."""
        return self._portal.run(self._service.list_invitations(request or v1.ListInvitationsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_invitations(self, request: v1.ListInvitationsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Invitation]:
        """The invitations of ``list_invitations``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_invitations(request or v1.ListInvitationsRequest(), timeout_s=timeout_s, metadata=metadata))

    def revoke_invitation(self, request: v1.RevokeInvitationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeInvitationResponse:
        """Withdraws an open invitation; its link no longer works."""
        return self._portal.run(self._service.revoke_invitation(request, timeout_s=timeout_s, metadata=metadata))

    def review_invitation(self, request: v1.ReviewInvitationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReviewInvitationResponse:
        """What an invitation offers and asks for; the link stays usable."""
        return self._portal.run(self._service.review_invitation(request, timeout_s=timeout_s, metadata=metadata))

    def accept_invitation(self, request: v1.AcceptInvitationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.AcceptInvitationResponse:
        """Joins a tenant by the token of a mailed link. A new user chooses a password and gets a session; one who has an account joins without either and logs in as before."""
        return self._portal.run(self._service.accept_invitation(request, timeout_s=timeout_s, metadata=metadata))

    def get_tenant(self, request: v1.GetTenantRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetTenantResponse:
        """The caller's tenant."""
        return self._portal.run(self._service.get_tenant(request or v1.GetTenantRequest(), timeout_s=timeout_s, metadata=metadata))

    def update_tenant(self, request: v1.UpdateTenantRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdateTenantResponse:
        """Changes name, settings, retention or accepted terms of the caller's tenant."""
        return self._portal.run(self._service.update_tenant(request or v1.UpdateTenantRequest(), timeout_s=timeout_s, metadata=metadata))

    def delete_tenant(self, request: v1.DeleteTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteTenantResponse:
        """Deletes the caller's tenant: every session ends within 2 s, and after 30 days its data and its key are destroyed.
        What it pays for is ended at once, without a refund; nothing is charged after that.
        """
        return self._portal.run(self._service.delete_tenant(request, timeout_s=timeout_s, metadata=metadata))

    def undelete_tenant(self, request: v1.UndeleteTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UndeleteTenantResponse:
        """Brings a deleted tenant back within 30 days. An owner proves who they are here, since nobody has a session of it.
        A subscription that was ended stays so: the tenant is on plan basic until an owner subscribes anew.
        """
        return self._portal.run(self._service.undelete_tenant(request, timeout_s=timeout_s, metadata=metadata))

    def list_tenants(self, request: v1.ListTenantsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListTenantsResponse:
        """Tenants of the installation, oldest first."""
        return self._portal.run(self._service.list_tenants(request or v1.ListTenantsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_tenants(self, request: v1.ListTenantsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.TenantSummary]:
        """The tenants of ``list_tenants``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_tenants(request or v1.ListTenantsRequest(), timeout_s=timeout_s, metadata=metadata))

    def suspend_tenant(self, request: v1.SuspendTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SuspendTenantResponse:
        """Refuses the calls of a tenant within 2 s; its data stay."""
        return self._portal.run(self._service.suspend_tenant(request, timeout_s=timeout_s, metadata=metadata))

    def resume_tenant(self, request: v1.ResumeTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ResumeTenantResponse:
        """Lets a suspended tenant call again."""
        return self._portal.run(self._service.resume_tenant(request, timeout_s=timeout_s, metadata=metadata))


class BillingService:
    """Plans, usage, subscriptions and invoices."""

    def __init__(self, portal: Portal, service: services.BillingService) -> None:
        self._portal, self._service = portal, service

    def list_plans(self, request: v1.ListPlansRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListPlansResponse:
        """The plans on offer, the smallest first."""
        return self._portal.run(self._service.list_plans(request or v1.ListPlansRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_entitlement(self, request: v1.GetEntitlementRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetEntitlementResponse:
        """What the caller's tenant may do now, and how much of it is taken."""
        return self._portal.run(self._service.get_entitlement(request or v1.GetEntitlementRequest(), timeout_s=timeout_s, metadata=metadata))

    def override_entitlement(self, request: v1.OverrideEntitlementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.OverrideEntitlementResponse:
        """Grants a tenant something beside its subscription, in place of what was granted before; an empty grant takes it
        back. Holds within 2 s.
        """
        return self._portal.run(self._service.override_entitlement(request, timeout_s=timeout_s, metadata=metadata))

    def get_usage(self, request: v1.GetUsageRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetUsageResponse:
        """Where the meters of a period stand."""
        return self._portal.run(self._service.get_usage(request or v1.GetUsageRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_usage(self, request: v1.ListUsageRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListUsageResponse:
        """Who used how much of what in a period, by hour or by day, newest first."""
        return self._portal.run(self._service.list_usage(request or v1.ListUsageRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_usage(self, request: v1.ListUsageRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.UsageRow]:
        """The rows of ``list_usage``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_usage(request or v1.ListUsageRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_subscription(self, request: v1.GetSubscriptionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetSubscriptionResponse:
        """The tenant's subscription; plan `basic` and status NONE when there has never been one."""
        return self._portal.run(self._service.get_subscription(request or v1.GetSubscriptionRequest(), timeout_s=timeout_s, metadata=metadata))

    def create_checkout_session(self, request: v1.CreateCheckoutSessionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateCheckoutSessionResponse:
        """Makes the page of the payment provider on which the tenant subscribes. The same plan again answers the same page; another plan ends the page before."""
        return self._portal.run(self._service.create_checkout_session(request, timeout_s=timeout_s, metadata=metadata))

    def create_portal_session(self, request: v1.CreatePortalSessionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreatePortalSessionResponse:
        """Makes the page of the payment provider on which the tenant sees its invoices and changes its means of payment."""
        return self._portal.run(self._service.create_portal_session(request or v1.CreatePortalSessionRequest(), timeout_s=timeout_s, metadata=metadata))

    def change_plan(self, request: v1.ChangePlanRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ChangePlanResponse:
        """Changes the plan, at once or at the end of the period; with validate_only answers what it would cost and break."""
        return self._portal.run(self._service.change_plan(request, timeout_s=timeout_s, metadata=metadata))

    def cancel_subscription(self, request: v1.CancelSubscriptionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelSubscriptionResponse:
        """Ends the subscription, at the end of the period that is paid unless said otherwise."""
        return self._portal.run(self._service.cancel_subscription(request or v1.CancelSubscriptionRequest(), timeout_s=timeout_s, metadata=metadata))

    def resume_subscription(self, request: v1.ResumeSubscriptionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ResumeSubscriptionResponse:
        """Lets a subscription go on that was to end with its period, or is paused."""
        return self._portal.run(self._service.resume_subscription(request or v1.ResumeSubscriptionRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_invoices(self, request: v1.ListInvoicesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListInvoicesResponse:
        """Lists the tenant's invoices, newest first."""
        return self._portal.run(self._service.list_invoices(request or v1.ListInvoicesRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_invoices(self, request: v1.ListInvoicesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Invoice]:
        """The invoices of ``list_invoices``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_invoices(request or v1.ListInvoicesRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_billing_events(self, request: v1.ListBillingEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListBillingEventsResponse:
        """Lists the events of the payment provider, newest first, and what became of them."""
        return self._portal.run(self._service.list_billing_events(request or v1.ListBillingEventsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_billing_events(self, request: v1.ListBillingEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.BillingEvent]:
        """The events of ``list_billing_events``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_billing_events(request or v1.ListBillingEventsRequest(), timeout_s=timeout_s, metadata=metadata))

    def replay_billing_event(self, request: v1.ReplayBillingEventRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReplayBillingEventResponse:
        """Follows an event of the payment provider once more, such as one that was given up."""
        return self._portal.run(self._service.replay_billing_event(request, timeout_s=timeout_s, metadata=metadata))

    def reconcile_subscription(self, request: v1.ReconcileSubscriptionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReconcileSubscriptionResponse:
        """Has a tenant's subscription compared with what the payment provider says, and set right."""
        return self._portal.run(self._service.reconcile_subscription(request, timeout_s=timeout_s, metadata=metadata))


class ConsentService:
    """Purposes, notices, and the decisions of customers about them."""

    def __init__(self, portal: Portal, service: services.ConsentService) -> None:
        self._portal, self._service = portal, service

    def create_purpose(self, request: v1.CreatePurposeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreatePurposeResponse:
        """Adds a purpose in its first version."""
        return self._portal.run(self._service.create_purpose(request, timeout_s=timeout_s, metadata=metadata))

    def update_purpose(self, request: v1.UpdatePurposeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdatePurposeResponse:
        """Changes a purpose by a new version of it; the versions before stay as they are. With `requires_reconsent` the consents given to them end at once."""
        return self._portal.run(self._service.update_purpose(request, timeout_s=timeout_s, metadata=metadata))

    def list_purposes(self, request: v1.ListPurposesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListPurposesResponse:
        """The purposes of the tenant as they hold now, or all versions of one of them."""
        return self._portal.run(self._service.list_purposes(request or v1.ListPurposesRequest(), timeout_s=timeout_s, metadata=metadata))

    def batch_check_consent(self, request: v1.BatchCheckConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BatchCheckConsentResponse:
        """Says of up to 10,000 customers who may be used for purposes or activities at this moment. Nothing is remembered between
        two calls.
        """
        return self._portal.run(self._service.batch_check_consent(request, timeout_s=timeout_s, metadata=metadata))

    def watch_consents(self, request: v1.WatchConsentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.WatchConsentsResponse]:
        """Tells what changes of who may be used for what, from a version on, within a second of each commit. The stream ends with
        the deadline of the call; go on from the last consent_version. CURSOR_COMPACTED: begin anew with 0.
        """
        return self._portal.iterate(self._service.watch_consents(request or v1.WatchConsentsRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_credential(self, request: v1.GetCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetCredentialResponse:
        """A credential with its signed text, named by its own identifier or by that of its consent event."""
        return self._portal.run(self._service.get_credential(request, timeout_s=timeout_s, metadata=metadata))

    def download_credential(self, request: v1.DownloadCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> api.HttpBody:
        """The exact signed bytes of a credential, as application/vc."""
        return self._portal.run(self._service.download_credential(request, timeout_s=timeout_s, metadata=metadata))

    def list_credentials(self, request: v1.ListCredentialsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListCredentialsResponse:
        """Lists credentials, the newest first."""
        return self._portal.run(self._service.list_credentials(request or v1.ListCredentialsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_credentials(self, request: v1.ListCredentialsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Credential]:
        """The credentials of ``list_credentials``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_credentials(request or v1.ListCredentialsRequest(), timeout_s=timeout_s, metadata=metadata))

    def verify_credential(self, request: v1.VerifyCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyCredentialResponse:
        """Says whether a credential of anybody is to be believed, and if not, why. Open to everyone; nothing is stored."""
        return self._portal.run(self._service.verify_credential(request, timeout_s=timeout_s, metadata=metadata))

    def revoke_credential(self, request: v1.RevokeCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeCredentialResponse:
        """Revokes a credential by hand; the consent itself stays."""
        return self._portal.run(self._service.revoke_credential(request, timeout_s=timeout_s, metadata=metadata))

    def get_issuer(self, request: v1.GetIssuerRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetIssuerResponse:
        """Who issues the tenant's credentials, and with which keys."""
        return self._portal.run(self._service.get_issuer(request or v1.GetIssuerRequest(), timeout_s=timeout_s, metadata=metadata))

    def rotate_issuer_key(self, request: v1.RotateIssuerKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateIssuerKeyResponse:
        """Replaces the key of the issuer. What a compromised key signed is revoked and issued again."""
        return self._portal.run(self._service.rotate_issuer_key(request, timeout_s=timeout_s, metadata=metadata))

    def get_fulfilment(self, request: v1.GetFulfilmentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetFulfilmentResponse:
        """How far what follows a consent has come: credential, reward, pinned receipt."""
        return self._portal.run(self._service.get_fulfilment(request, timeout_s=timeout_s, metadata=metadata))

    def verify_receipt_pin(self, request: v1.VerifyReceiptPinRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyReceiptPinResponse:
        """Says whether a pinned receipt is to be believed, and whether another one took its place. Open to everyone."""
        return self._portal.run(self._service.verify_receipt_pin(request, timeout_s=timeout_s, metadata=metadata))

    def get_status_list(self, request: v1.GetStatusListRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> api.HttpBody:
        """A signed status list, as application/vc: what verifiers of our credentials read. While the sidecar is away the last
        good copy is given until it ends.
        """
        return self._portal.run(self._service.get_status_list(request, timeout_s=timeout_s, metadata=metadata))

    def get_did_document(self, request: v1.GetDidDocumentRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> api.HttpBody:
        """The DID document of an issuer, or of the deployment, as application/did+json."""
        return self._portal.run(self._service.get_did_document(request or v1.GetDidDocumentRequest(), timeout_s=timeout_s, metadata=metadata))

    def publish_notice(self, request: v1.PublishNoticeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PublishNoticeResponse:
        """Publishes a notice, or the newest one in a further language. A notice never changes."""
        return self._portal.run(self._service.publish_notice(request, timeout_s=timeout_s, metadata=metadata))

    def get_notice(self, request: v1.GetNoticeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetNoticeResponse:
        """What customers were told; for everyone who has its identifier."""
        return self._portal.run(self._service.get_notice(request, timeout_s=timeout_s, metadata=metadata))

    def grant_consent(self, request: v1.GrantConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GrantConsentResponse:
        """Records that a customer gives consent."""
        return self._portal.run(self._service.grant_consent(request, timeout_s=timeout_s, metadata=metadata))

    def withdraw_consent(self, request: v1.WithdrawConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.WithdrawConsentResponse:
        """Records that a customer withdraws consent, whether or not it was given. Takes effect at once."""
        return self._portal.run(self._service.withdraw_consent(request, timeout_s=timeout_s, metadata=metadata))

    def refuse_consent(self, request: v1.RefuseConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RefuseConsentResponse:
        """Records that a customer refuses consent."""
        return self._portal.run(self._service.refuse_consent(request, timeout_s=timeout_s, metadata=metadata))

    def reaffirm_consent(self, request: v1.ReaffirmConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReaffirmConsentResponse:
        """Records that a customer confirms a consent that was given and holds; it then lasts anew."""
        return self._portal.run(self._service.reaffirm_consent(request, timeout_s=timeout_s, metadata=metadata))

    def batch_record_consents(self, request: v1.BatchRecordConsentsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BatchRecordConsentsResponse:
        """Records decisions of many customers: all of them, or none."""
        return self._portal.run(self._service.batch_record_consents(request, timeout_s=timeout_s, metadata=metadata))

    def get_consent(self, request: v1.GetConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetConsentResponse:
        """How a customer stands with every purpose, now or as it was known at a time."""
        return self._portal.run(self._service.get_consent(request, timeout_s=timeout_s, metadata=metadata))

    def list_consents(self, request: v1.ListConsentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListConsentsResponse:
        """How customers stand with purposes."""
        return self._portal.run(self._service.list_consents(request or v1.ListConsentsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_consents(self, request: v1.ListConsentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.CustomerConsent]:
        """The consents of ``list_consents``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_consents(request or v1.ListConsentsRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_consent_events(self, request: v1.ListConsentEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListConsentEventsResponse:
        """Every decision as it was recorded, newest first."""
        return self._portal.run(self._service.list_consent_events(request or v1.ListConsentEventsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_consent_events(self, request: v1.ListConsentEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.ConsentEvent]:
        """The events of ``list_consent_events``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_consent_events(request or v1.ListConsentEventsRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_receipt(self, request: v1.GetReceiptRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetReceiptResponse:
        """The receipt of a decision."""
        return self._portal.run(self._service.get_receipt(request, timeout_s=timeout_s, metadata=metadata))

    def verify_receipt(self, request: v1.VerifyReceiptRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyReceiptResponse:
        """Whether a receipt is genuine and still stands; for everyone who holds it."""
        return self._portal.run(self._service.verify_receipt(request, timeout_s=timeout_s, metadata=metadata))

    def list_receipt_keys(self, request: v1.ListReceiptKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListReceiptKeysResponse:
        """The public keys of receipts, for whoever verifies them alone."""
        return self._portal.run(self._service.list_receipt_keys(request or v1.ListReceiptKeysRequest(), timeout_s=timeout_s, metadata=metadata))

    def create_data_request(self, request: v1.CreateDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateDataRequestResponse:
        """Stores a request of a person about their data. It has to be answered within a calendar month."""
        return self._portal.run(self._service.create_data_request(request, timeout_s=timeout_s, metadata=metadata))

    def get_data_request(self, request: v1.GetDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetDataRequestResponse:
        """One data request with its steps: the manifest of what was found, exported or erased in every store."""
        return self._portal.run(self._service.get_data_request(request, timeout_s=timeout_s, metadata=metadata))

    def list_data_requests(self, request: v1.ListDataRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListDataRequestsResponse:
        """Data requests, the newest first."""
        return self._portal.run(self._service.list_data_requests(request or v1.ListDataRequestsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_data_requests(self, request: v1.ListDataRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.DataRequest]:
        """The data_requests of ``list_data_requests``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_data_requests(request or v1.ListDataRequestsRequest(), timeout_s=timeout_s, metadata=metadata))

    def approve_data_request(self, request: v1.ApproveDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ApproveDataRequestResponse:
        """Has a data request worked on. Poll GetDataRequest until the state is final; a failed one is taken up where it stopped."""
        return self._portal.run(self._service.approve_data_request(request, timeout_s=timeout_s, metadata=metadata))

    def reject_data_request(self, request: v1.RejectDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RejectDataRequestResponse:
        """Refuses a data request. Tell the person why, and that they can complain to the authority."""
        return self._portal.run(self._service.reject_data_request(request, timeout_s=timeout_s, metadata=metadata))

    def cancel_data_request(self, request: v1.CancelDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelDataRequestResponse:
        """Ends a data request that the person took back."""
        return self._portal.run(self._service.cancel_data_request(request, timeout_s=timeout_s, metadata=metadata))

    def extend_data_request(self, request: v1.ExtendDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ExtendDataRequestResponse:
        """Takes two more months for a complex data request; once."""
        return self._portal.run(self._service.extend_data_request(request, timeout_s=timeout_s, metadata=metadata))

    def download_data_export(self, request: v1.DownloadDataExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[api.HttpBody]:
        """The file of a request for access or portability: a zip of JSON and CSV with a manifest of digests. It is kept for 7 days."""
        return self._portal.iterate(self._service.download_data_export(request, timeout_s=timeout_s, metadata=metadata))

    def set_legal_hold(self, request: v1.SetLegalHoldRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SetLegalHoldResponse:
        """Keeps a person's data from being erased while a law demands it, or ends that."""
        return self._portal.run(self._service.set_legal_hold(request, timeout_s=timeout_s, metadata=metadata))

    def lift_suppression(self, request: v1.LiftSuppressionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.LiftSuppressionResponse:
        """Lets a person who was erased be imported and decide again, as a new one."""
        return self._portal.run(self._service.lift_suppression(request, timeout_s=timeout_s, metadata=metadata))

    def create_consent_link(self, request: v1.CreateConsentLinkRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateConsentLinkResponse:
        """Makes a link by which a person reaches their own data for half an hour; it works once, within 24 hours."""
        return self._portal.run(self._service.create_consent_link(request, timeout_s=timeout_s, metadata=metadata))

    def open_consent_link(self, request: v1.OpenConsentLinkRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.OpenConsentLinkResponse:
        """Exchanges the secret of a link for the token of the person. Fetching the link's address uses nothing up."""
        return self._portal.run(self._service.open_consent_link(request, timeout_s=timeout_s, metadata=metadata))

    def create_own_data_request(self, request: v1.CreateOwnDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateOwnDataRequestResponse:
        """Stores a request of the person who holds the token."""
        return self._portal.run(self._service.create_own_data_request(request, timeout_s=timeout_s, metadata=metadata))

    def list_own_data_requests(self, request: v1.ListOwnDataRequestsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListOwnDataRequestsResponse:
        """The data requests of the person who holds the token."""
        return self._portal.run(self._service.list_own_data_requests(request, timeout_s=timeout_s, metadata=metadata))

    def download_own_data_export(self, request: v1.DownloadOwnDataExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[api.HttpBody]:
        """The file of a data request of the person who holds the token."""
        return self._portal.iterate(self._service.download_own_data_export(request, timeout_s=timeout_s, metadata=metadata))

    def get_own_consents(self, request: v1.GetOwnConsentsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetOwnConsentsResponse:
        """The decisions of the person who holds the token."""
        return self._portal.run(self._service.get_own_consents(request, timeout_s=timeout_s, metadata=metadata))

    def record_own_consent(self, request: v1.RecordOwnConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RecordOwnConsentResponse:
        """Records a decision of the person who holds the token, made now."""
        return self._portal.run(self._service.record_own_consent(request, timeout_s=timeout_s, metadata=metadata))


class CustomersService:
    """Brings customers and orders in and reads them back."""

    def __init__(self, portal: Portal, service: services.CustomersService) -> None:
        self._portal, self._service = portal, service

    def import_transactions(self, requests: Iterable[v1.ImportTransactionsRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ImportTransactionsResponse:
        """Imports transactions from CSV (plain, gzip, zstd) or Parquet. The first message holds the options, the others
        the bytes of the file. Over HTTP the body is the file itself and the options are query parameters. The answer
        is the stored import, worked on in the background: poll GetImport until its state is final. Rows already
        present are counted as duplicates, so importing a file twice changes nothing.
        """
        return self._portal.run(self._service.import_transactions(self._portal.feed(requests), timeout_s=timeout_s, metadata=metadata))

    def get_import(self, request: v1.GetImportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetImportResponse:
        """One import with its state, counts and, when it failed, the reason."""
        return self._portal.run(self._service.get_import(request, timeout_s=timeout_s, metadata=metadata))

    def list_imports(self, request: v1.ListImportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListImportsResponse:
        """Imports, newest first."""
        return self._portal.run(self._service.list_imports(request or v1.ListImportsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_imports(self, request: v1.ListImportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Import]:
        """The imports of ``list_imports``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_imports(request or v1.ListImportsRequest(), timeout_s=timeout_s, metadata=metadata))

    def list_import_faults(self, request: v1.ListImportFaultsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListImportFaultsResponse:
        """Rows an import refused, in file order: the first 1,000."""
        return self._portal.run(self._service.list_import_faults(request, timeout_s=timeout_s, metadata=metadata))

    def iter_import_faults(self, request: v1.ListImportFaultsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.ImportFault]:
        """The faults of ``list_import_faults``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_import_faults(request, timeout_s=timeout_s, metadata=metadata))

    def get_customer(self, request: v1.GetCustomerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetCustomerResponse:
        """One customer with the facts known about them."""
        return self._portal.run(self._service.get_customer(request, timeout_s=timeout_s, metadata=metadata))

    def batch_get_customers(self, request: v1.BatchGetCustomersRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BatchGetCustomersResponse:
        """Customers by their names, so that nobody asks for a thousand of them one by one."""
        return self._portal.run(self._service.batch_get_customers(request, timeout_s=timeout_s, metadata=metadata))

    def list_customers(self, request: v1.ListCustomersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListCustomersResponse:
        """Customers by external id."""
        return self._portal.run(self._service.list_customers(request or v1.ListCustomersRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_customers(self, request: v1.ListCustomersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Customer]:
        """The customers of ``list_customers``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_customers(request or v1.ListCustomersRequest(), timeout_s=timeout_s, metadata=metadata))

    def delete_customer(self, request: v1.DeleteCustomerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteCustomerResponse:
        """Erases a customer with all rows that hang on them."""
        return self._portal.run(self._service.delete_customer(request, timeout_s=timeout_s, metadata=metadata))


class MarketplaceService:
    """Offers answers about groups of consenting customers; buyers ask from a closed list, answers carry noise."""

    def __init__(self, portal: Portal, service: services.MarketplaceService) -> None:
        self._portal, self._service = portal, service

    def create_offer(self, request: v1.CreateOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateOfferResponse:
        """Makes a draft of an offer."""
        return self._portal.run(self._service.create_offer(request, timeout_s=timeout_s, metadata=metadata))

    def update_offer(self, request: v1.UpdateOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdateOfferResponse:
        """Changes an offer; what is published stays as it is until it is published again."""
        return self._portal.run(self._service.update_offer(request, timeout_s=timeout_s, metadata=metadata))

    def preview_offer(self, request: v1.PreviewOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PreviewOfferResponse:
        """Shows what an offer's first question would answer, with noise and at its price in privacy, and its terms."""
        return self._portal.run(self._service.preview_offer(request, timeout_s=timeout_s, metadata=metadata))

    def publish_offer(self, request: v1.PublishOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PublishOfferResponse:
        """Publishes an offer in a new version, whose terms are derived from its contributors' consents."""
        return self._portal.run(self._service.publish_offer(request, timeout_s=timeout_s, metadata=metadata))

    def withdraw_offer(self, request: v1.WithdrawOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.WithdrawOfferResponse:
        """Withdraws an offer for good; agreements that were made go on to their end."""
        return self._portal.run(self._service.withdraw_offer(request, timeout_s=timeout_s, metadata=metadata))

    def list_offers(self, request: v1.ListOffersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListOffersResponse:
        """Lists what is published by everybody, or the caller's own offers, the newest first."""
        return self._portal.run(self._service.list_offers(request or v1.ListOffersRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_offers(self, request: v1.ListOffersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Offer]:
        """The offers of ``list_offers``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_offers(request or v1.ListOffersRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_offer(self, request: v1.GetOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetOfferResponse:
        """One offer: a published one, or one of the caller's own."""
        return self._portal.run(self._service.get_offer(request, timeout_s=timeout_s, metadata=metadata))

    def get_offer_sample(self, request: v1.GetOfferSampleRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetOfferSampleResponse:
        """An answer of the offer's form whose figures are made up."""
        return self._portal.run(self._service.get_offer_sample(request, timeout_s=timeout_s, metadata=metadata))

    def request_access(self, request: v1.RequestAccessRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RequestAccessResponse:
        """Asks for access to an offer; who asks accepts its terms as published."""
        return self._portal.run(self._service.request_access(request, timeout_s=timeout_s, metadata=metadata))

    def list_access_requests(self, request: v1.ListAccessRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAccessRequestsResponse:
        """Lists requests and agreements, the newest first: those the caller made, and those of its own offers."""
        return self._portal.run(self._service.list_access_requests(request or v1.ListAccessRequestsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_access_requests(self, request: v1.ListAccessRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Agreement]:
        """The agreements of ``list_access_requests``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_access_requests(request or v1.ListAccessRequestsRequest(), timeout_s=timeout_s, metadata=metadata))

    def approve_access_request(self, request: v1.ApproveAccessRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ApproveAccessRequestResponse:
        """Approves a request: the seller offers, the buyer has accepted, and both agree."""
        return self._portal.run(self._service.approve_access_request(request, timeout_s=timeout_s, metadata=metadata))

    def reject_access_request(self, request: v1.RejectAccessRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RejectAccessRequestResponse:
        """Rejects a request."""
        return self._portal.run(self._service.reject_access_request(request, timeout_s=timeout_s, metadata=metadata))

    def get_agreement(self, request: v1.GetAgreementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAgreementResponse:
        """One agreement, for either side."""
        return self._portal.run(self._service.get_agreement(request, timeout_s=timeout_s, metadata=metadata))

    def terminate_agreement(self, request: v1.TerminateAgreementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.TerminateAgreementResponse:
        """Ends an agreement, or takes a request back; either side may. Its credential is revoked."""
        return self._portal.run(self._service.terminate_agreement(request, timeout_s=timeout_s, metadata=metadata))

    def run_query(self, request: v1.RunQueryRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RunQueryResponse:
        """Asks a question of the closed list; the same question on the same data gets the same answer, at no charge."""
        return self._portal.run(self._service.run_query(request, timeout_s=timeout_s, metadata=metadata))

    def list_queries(self, request: v1.ListQueriesRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListQueriesResponse:
        """Lists the questions asked under an agreement with their answers, the newest first."""
        return self._portal.run(self._service.list_queries(request, timeout_s=timeout_s, metadata=metadata))

    def iter_queries(self, request: v1.ListQueriesRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.MarketQuery]:
        """The queries of ``list_queries``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_queries(request, timeout_s=timeout_s, metadata=metadata))

    def get_privacy_budget(self, request: v1.GetPrivacyBudgetRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetPrivacyBudgetResponse:
        """What is left of the budgets that a question draws on."""
        return self._portal.run(self._service.get_privacy_budget(request, timeout_s=timeout_s, metadata=metadata))

    def get_settlement(self, request: v1.GetSettlementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetSettlementResponse:
        """How an agreement was settled: step by step, and by accounts that add up to nothing."""
        return self._portal.run(self._service.get_settlement(request, timeout_s=timeout_s, metadata=metadata))


class ModelsService:
    """The tenant's models and which version of each is active."""

    def __init__(self, portal: Portal, service: services.ModelsService) -> None:
        self._portal, self._service = portal, service

    def start_training(self, request: v1.StartTrainingRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.StartTrainingResponse:
        """Starts a training run on the tenant's own data; a version that passes the gate is promoted, at once or after a
        time in the shadow. A model of which a version is active needs the feature `retraining`.
        """
        return self._portal.run(self._service.start_training(request or v1.StartTrainingRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_training_run(self, request: v1.GetTrainingRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetTrainingRunResponse:
        """One training run."""
        return self._portal.run(self._service.get_training_run(request, timeout_s=timeout_s, metadata=metadata))

    def list_training_runs(self, request: v1.ListTrainingRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListTrainingRunsResponse:
        """Training runs, newest first."""
        return self._portal.run(self._service.list_training_runs(request or v1.ListTrainingRunsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_training_runs(self, request: v1.ListTrainingRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.TrainingRun]:
        """The runs of ``list_training_runs``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_training_runs(request or v1.ListTrainingRunsRequest(), timeout_s=timeout_s, metadata=metadata))

    def cancel_training_run(self, request: v1.CancelTrainingRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelTrainingRunResponse:
        """Ends a training run within five seconds; nothing of it is registered. A run that has ended already stays as it is."""
        return self._portal.run(self._service.cancel_training_run(request, timeout_s=timeout_s, metadata=metadata))

    def list_model_versions(self, request: v1.ListModelVersionsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListModelVersionsResponse:
        """Versions of one model, newest first; with `live_at` the one that answered at that time."""
        return self._portal.run(self._service.list_model_versions(request, timeout_s=timeout_s, metadata=metadata))

    def iter_model_versions(self, request: v1.ListModelVersionsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.ModelVersion]:
        """The versions of ``list_model_versions``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_model_versions(request, timeout_s=timeout_s, metadata=metadata))

    def get_model_version(self, request: v1.GetModelVersionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetModelVersionResponse:
        """One version with its manifest."""
        return self._portal.run(self._service.get_model_version(request, timeout_s=timeout_s, metadata=metadata))

    def list_alias_history(self, request: v1.ListAliasHistoryRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAliasHistoryResponse:
        """What became active and what was compared, since when, until when, by whom and why; latest first."""
        return self._portal.run(self._service.list_alias_history(request, timeout_s=timeout_s, metadata=metadata))

    def iter_alias_history(self, request: v1.ListAliasHistoryRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.AliasInterval]:
        """The intervals of ``list_alias_history``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_alias_history(request, timeout_s=timeout_s, metadata=metadata))

    def get_backtest(self, request: v1.GetBacktestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetBacktestResponse:
        """How a version and what it was made of predicted past periods that they had not seen, beside naive predictions."""
        return self._portal.run(self._service.get_backtest(request, timeout_s=timeout_s, metadata=metadata))

    def promote_model(self, request: v1.PromoteModelRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PromoteModelResponse:
        """Makes a version the active one once every live worker holds it; a challenger that is promoted is cleared. One that
        failed its gate needs `force`, a reason, and a person who is admin or owner.
        """
        return self._portal.run(self._service.promote_model(request, timeout_s=timeout_s, metadata=metadata))

    def rollback_model(self, request: v1.RollbackModelRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RollbackModelResponse:
        """Makes the version active that was active before, once the workers hold it."""
        return self._portal.run(self._service.rollback_model(request, timeout_s=timeout_s, metadata=metadata))

    def set_challenger(self, request: v1.SetChallengerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SetChallengerResponse:
        """Lets a version see a share of the Predict calls beside the active one, whose answers alone are given."""
        return self._portal.run(self._service.set_challenger(request, timeout_s=timeout_s, metadata=metadata))

    def clear_challenger(self, request: v1.ClearChallengerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ClearChallengerResponse:
        """Ends the comparison; what was measured stays."""
        return self._portal.run(self._service.clear_challenger(request, timeout_s=timeout_s, metadata=metadata))

    def get_challenger(self, request: v1.GetChallengerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetChallengerResponse:
        """The challenger and how it compares so far."""
        return self._portal.run(self._service.get_challenger(request, timeout_s=timeout_s, metadata=metadata))


class RewardService:
    """Pays reward tokens for consents, on an EVM chain or on Solana."""

    def __init__(self, portal: Portal, service: services.RewardService) -> None:
        self._portal, self._service = portal, service

    def create_wallet_challenge(self, request: v1.CreateWalletChallengeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateWalletChallengeResponse:
        """Makes the text that a customer signs with a wallet, to prove that it is theirs."""
        return self._portal.run(self._service.create_wallet_challenge(request, timeout_s=timeout_s, metadata=metadata))

    def bind_wallet(self, request: v1.BindWalletRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BindWalletResponse:
        """Binds a wallet to a customer by the signed text; rewards that were held for want of one go out."""
        return self._portal.run(self._service.bind_wallet(request, timeout_s=timeout_s, metadata=metadata))

    def release_wallet(self, request: v1.ReleaseWalletRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReleaseWalletResponse:
        """Releases a wallet; later rewards are held until another one is bound."""
        return self._portal.run(self._service.release_wallet(request, timeout_s=timeout_s, metadata=metadata))

    def get_reward_balance(self, request: v1.GetRewardBalanceRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardBalanceResponse:
        """What a customer has on each chain, what is on its way, and what can be claimed."""
        return self._portal.run(self._service.get_reward_balance(request, timeout_s=timeout_s, metadata=metadata))

    def list_rewards(self, request: v1.ListRewardsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListRewardsResponse:
        """Lists rewards, the newest first."""
        return self._portal.run(self._service.list_rewards(request or v1.ListRewardsRequest(), timeout_s=timeout_s, metadata=metadata))

    def iter_rewards(self, request: v1.ListRewardsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Iterator[v1.Reward]:
        """The rewards of ``list_rewards``, one page after the other; deadline of each page."""
        return self._portal.iterate(self._service.iter_rewards(request or v1.ListRewardsRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_reward(self, request: v1.GetRewardRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardResponse:
        """One reward."""
        return self._portal.run(self._service.get_reward(request, timeout_s=timeout_s, metadata=metadata))

    def get_reward_token(self, request: v1.GetRewardTokenRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardTokenResponse:
        """The token on each chain in use, and how the chains are."""
        return self._portal.run(self._service.get_reward_token(request or v1.GetRewardTokenRequest(), timeout_s=timeout_s, metadata=metadata))

    def get_reward_tariff(self, request: v1.GetRewardTariffRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardTariffResponse:
        """What each purpose pays, and whether anything is paid at all."""
        return self._portal.run(self._service.get_reward_tariff(request or v1.GetRewardTariffRequest(), timeout_s=timeout_s, metadata=metadata))

    def set_reward_tariff(self, request: v1.SetRewardTariffRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SetRewardTariffResponse:
        """Sets what purposes pay. Tokens are off until an administrator confirms what stays on a public chain."""
        return self._portal.run(self._service.set_reward_tariff(request, timeout_s=timeout_s, metadata=metadata))

    def create_reward_claim(self, request: v1.CreateRewardClaimRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateRewardClaimResponse:
        """Gives the holder of a claimable reward what the contract asks for."""
        return self._portal.run(self._service.create_reward_claim(request, timeout_s=timeout_s, metadata=metadata))


class Services:
    """One attribute for each service."""

    def __init__(self, portal: Portal, found: services.Services) -> None:
        self.analytics = AnalyticsService(portal, found.analytics)
        self.audit = AuditService(portal, found.audit)
        self.auth = AuthService(portal, found.auth)
        self.billing = BillingService(portal, found.billing)
        self.consent = ConsentService(portal, found.consent)
        self.customers = CustomersService(portal, found.customers)
        self.marketplace = MarketplaceService(portal, found.marketplace)
        self.models = ModelsService(portal, found.models)
        self.reward = RewardService(portal, found.reward)
