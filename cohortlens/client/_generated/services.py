# Generated from protos/ by protos/client_types.py (make protos). Do not edit.
"""The services of the API, every method asynchronous."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable

from cohortlens.client._generated.cohortlens import v1
from cohortlens.client._generated.google import api
from cohortlens.client._generated.methods import METHODS
from cohortlens.client.calls import Caller
from cohortlens.client.methods import Metadata
from cohortlens.client.paging import iterate


class AnalyticsService:
    """Runs the tenant's active models and reads their stored results."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def predict(self, request: v1.PredictRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PredictResponse:
        """Predicts purchases, spend, lifetime value or churn of up to 1,000 customers, named by id or given as feature
        vectors. Predictions of named customers are stored with the model version and the feature snapshot before the
        answer leaves.
        """
        return await self._caller.unary(METHODS["AnalyticsService.Predict"], request, v1.PredictResponse, timeout_s, metadata)

    async def segment(self, request: v1.SegmentRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SegmentResponse:
        """Assigns up to 1,000 customers or feature vectors to segments of the active segmentation model."""
        return await self._caller.unary(METHODS["AnalyticsService.Segment"], request or v1.SegmentRequest(), v1.SegmentResponse, timeout_s, metadata)

    async def explain(self, request: v1.ExplainRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ExplainResponse:
        """Explains predictions: by the share of each feature (SHAP or LIME), or by what would change them
        (COUNTERFACTUAL). base_value + the sum of contributions + additivity_residual + surrogate_residual equals the
        natural logarithm of the predicted value. LIME and COUNTERFACTUAL need the plan feature explain.lime.
        """
        return await self._caller.unary(METHODS["AnalyticsService.Explain"], request, v1.ExplainResponse, timeout_s, metadata)

    async def get_global_importance(self, request: v1.GetGlobalImportanceRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetGlobalImportanceResponse:
        """What moves the predictions of one version most: the mean absolute contribution of each feature, measured when the
        version was trained.
        """
        return await self._caller.unary(METHODS["AnalyticsService.GetGlobalImportance"], request, v1.GetGlobalImportanceResponse, timeout_s, metadata)

    async def predict_batch(self, request: v1.PredictBatchRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PredictBatchResponse:
        """Starts predictions for all customers of the tenant, or for the rows of an uploaded input, with the model that is
        active now. One batch of a tenant runs at a time, others wait. Predictions of customers are stored and read by
        ListPredictions; in either case the result is a Parquet file. Poll GetBatchPrediction until the state is final.
        """
        return await self._caller.unary(METHODS["AnalyticsService.PredictBatch"], request, v1.PredictBatchResponse, timeout_s, metadata)

    async def get_batch_prediction(self, request: v1.GetBatchPredictionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetBatchPredictionResponse:
        """One batch prediction with its state and progress."""
        return await self._caller.unary(METHODS["AnalyticsService.GetBatchPrediction"], request, v1.GetBatchPredictionResponse, timeout_s, metadata)

    async def list_batch_predictions(self, request: v1.ListBatchPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListBatchPredictionsResponse:
        """Batch predictions, newest first."""
        return await self._caller.unary(METHODS["AnalyticsService.ListBatchPredictions"], request or v1.ListBatchPredictionsRequest(), v1.ListBatchPredictionsResponse, timeout_s, metadata)

    def iter_batch_predictions(self, request: v1.ListBatchPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.BatchPrediction]:
        """The batches of ``list_batch_predictions``, one page after the other; deadline of each page."""
        return iterate(self.list_batch_predictions, request or v1.ListBatchPredictionsRequest(), lambda reply: reply.batches, timeout_s, metadata)

    async def cancel_batch_prediction(self, request: v1.CancelBatchPredictionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelBatchPredictionResponse:
        """Ends a batch prediction. Predictions committed until then stay stored; there is no result file. A batch that has
        ended already stays as it is.
        """
        return await self._caller.unary(METHODS["AnalyticsService.CancelBatchPrediction"], request, v1.CancelBatchPredictionResponse, timeout_s, metadata)

    async def get_batch_input(self, request: v1.GetBatchInputRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetBatchInputResponse:
        """One uploaded input."""
        return await self._caller.unary(METHODS["AnalyticsService.GetBatchInput"], request, v1.GetBatchInputResponse, timeout_s, metadata)

    async def upload_batch_input(self, requests: AsyncIterable[v1.UploadBatchInputRequest] | Iterable[v1.UploadBatchInputRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UploadBatchInputResponse:
        """Uploads rows of features to predict for: Parquet or CSV with an identifier column and one column for each feature
        of the schema, by name, in any order; the column horizon may be left out. The first message holds the options,
        the others the bytes of the file. Over HTTP the body is the file itself and the options are query parameters.
        Every row is checked before the answer leaves; a fault is named with its row and column and nothing is kept.
        """
        return await self._caller.upload(METHODS["AnalyticsService.UploadBatchInput"], requests, v1.UploadBatchInputResponse, timeout_s, metadata)

    def download_batch_result(self, request: v1.DownloadBatchResultRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[api.HttpBody]:
        """The result of a batch that succeeded, as the bytes of one Parquet file: id, value, lower, upper, unit, horizon,
        model_version, snapshot_id; one row for each row of the input, in its order. Files are kept for 7 days.
        """
        return self._caller.stream(METHODS["AnalyticsService.DownloadBatchResult"], request, api.HttpBody, timeout_s, metadata)

    def predict_stream(self, requests: AsyncIterable[v1.PredictStreamRequest] | Iterable[v1.PredictStreamRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.PredictStreamResponse]:
        """Predicts feature vectors of many messages on one stream. Each message is answered by itself with its
        correlation_id, as soon as it is ready: answers may come in another order. A bad message is answered with its
        own fault and does not end the stream. At most 32 messages are worked on at once; then no more are read.
        Nothing is stored. gRPC only: over HTTP the answer is STREAMING_NOT_SUPPORTED; use Predict there.
        """
        return self._caller.converse(METHODS["AnalyticsService.PredictStream"], requests, v1.PredictStreamResponse, timeout_s, metadata)

    def score_tensor(self, requests: AsyncIterable[v1.ScoreTensorRequest] | Iterable[v1.ScoreTensorRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.ScoreTensorResponse]:
        """Scores a table of features chunk by chunk, as raw numbers: a header, then chunks of 1 to 8,192 rows. Answers keep
        the order of the chunks; two chunks are worked on at once. The first fault ends the stream, behind the answers of
        the chunks before it. Nothing is stored. gRPC only: over HTTP the answer is STREAMING_NOT_SUPPORTED.
        """
        return self._caller.converse(METHODS["AnalyticsService.ScoreTensor"], requests, v1.ScoreTensorResponse, timeout_s, metadata)

    async def get_prediction(self, request: v1.GetPredictionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetPredictionResponse:
        """One stored prediction."""
        return await self._caller.unary(METHODS["AnalyticsService.GetPrediction"], request, v1.GetPredictionResponse, timeout_s, metadata)

    async def list_predictions(self, request: v1.ListPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListPredictionsResponse:
        """Stored predictions, newest first."""
        return await self._caller.unary(METHODS["AnalyticsService.ListPredictions"], request or v1.ListPredictionsRequest(), v1.ListPredictionsResponse, timeout_s, metadata)

    def iter_predictions(self, request: v1.ListPredictionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Prediction]:
        """The predictions of ``list_predictions``, one page after the other; deadline of each page."""
        return iterate(self.list_predictions, request or v1.ListPredictionsRequest(), lambda reply: reply.predictions, timeout_s, metadata)

    async def start_segmentation(self, request: v1.StartSegmentationRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.StartSegmentationResponse:
        """Starts a run that assigns every customer to a segment and publishes the result in one step."""
        return await self._caller.unary(METHODS["AnalyticsService.StartSegmentation"], request or v1.StartSegmentationRequest(), v1.StartSegmentationResponse, timeout_s, metadata)

    async def get_segmentation_run(self, request: v1.GetSegmentationRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetSegmentationRunResponse:
        """One segmentation run."""
        return await self._caller.unary(METHODS["AnalyticsService.GetSegmentationRun"], request, v1.GetSegmentationRunResponse, timeout_s, metadata)

    async def list_segmentation_runs(self, request: v1.ListSegmentationRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSegmentationRunsResponse:
        """Segmentation runs, newest first."""
        return await self._caller.unary(METHODS["AnalyticsService.ListSegmentationRuns"], request or v1.ListSegmentationRunsRequest(), v1.ListSegmentationRunsResponse, timeout_s, metadata)

    def iter_segmentation_runs(self, request: v1.ListSegmentationRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.SegmentationRun]:
        """The runs of ``list_segmentation_runs``, one page after the other; deadline of each page."""
        return iterate(self.list_segmentation_runs, request or v1.ListSegmentationRunsRequest(), lambda reply: reply.runs, timeout_s, metadata)

    async def cancel_segmentation_run(self, request: v1.CancelSegmentationRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelSegmentationRunResponse:
        """Ends a run that is not finished; one that has ended, and the published one, stay as they are."""
        return await self._caller.unary(METHODS["AnalyticsService.CancelSegmentationRun"], request, v1.CancelSegmentationRunResponse, timeout_s, metadata)

    async def compare_segmentation_runs(self, request: v1.CompareSegmentationRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CompareSegmentationRunsResponse:
        """How customers moved from the segments of one run to those of a later one."""
        return await self._caller.unary(METHODS["AnalyticsService.CompareSegmentationRuns"], request or v1.CompareSegmentationRunsRequest(), v1.CompareSegmentationRunsResponse, timeout_s, metadata)

    async def list_segments(self, request: v1.ListSegmentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSegmentsResponse:
        """The segments of the published run, or of the run named: names, sizes, spend."""
        return await self._caller.unary(METHODS["AnalyticsService.ListSegments"], request or v1.ListSegmentsRequest(), v1.ListSegmentsResponse, timeout_s, metadata)

    async def list_segment_members(self, request: v1.ListSegmentMembersRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSegmentMembersResponse:
        """The members of one segment."""
        return await self._caller.unary(METHODS["AnalyticsService.ListSegmentMembers"], request, v1.ListSegmentMembersResponse, timeout_s, metadata)

    def iter_segment_members(self, request: v1.ListSegmentMembersRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.SegmentAssignment]:
        """The members of ``list_segment_members``, one page after the other; deadline of each page."""
        return iterate(self.list_segment_members, request, lambda reply: reply.members, timeout_s, metadata)

    async def start_drift_report(self, request: v1.StartDriftReportRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.StartDriftReportResponse:
        """Starts a report on drift: how far the present customers, the predictions for them and their segments have moved
        from what the active version was trained on. Poll GetDriftReport until the state is final.
        """
        return await self._caller.unary(METHODS["AnalyticsService.StartDriftReport"], request or v1.StartDriftReportRequest(), v1.StartDriftReportResponse, timeout_s, metadata)

    async def get_drift_report(self, request: v1.GetDriftReportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetDriftReportResponse:
        """One drift report with its columns."""
        return await self._caller.unary(METHODS["AnalyticsService.GetDriftReport"], request, v1.GetDriftReportResponse, timeout_s, metadata)

    async def list_drift_reports(self, request: v1.ListDriftReportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListDriftReportsResponse:
        """Drift reports, newest first, without their columns."""
        return await self._caller.unary(METHODS["AnalyticsService.ListDriftReports"], request or v1.ListDriftReportsRequest(), v1.ListDriftReportsResponse, timeout_s, metadata)

    def iter_drift_reports(self, request: v1.ListDriftReportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.DriftReport]:
        """The drift_reports of ``list_drift_reports``, one page after the other; deadline of each page."""
        return iterate(self.list_drift_reports, request or v1.ListDriftReportsRequest(), lambda reply: reply.drift_reports, timeout_s, metadata)

    async def query_cohorts(self, request: v1.QueryCohortsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.QueryCohortsResponse:
        """Customers, orders, revenue or lifetime value by cohort and period, counted from the stored orders. A cell is absent
        where its period is not wholly observed.
        """
        return await self._caller.unary(METHODS["AnalyticsService.QueryCohorts"], request or v1.QueryCohortsRequest(), v1.QueryCohortsResponse, timeout_s, metadata)

    async def query_survival(self, request: v1.QuerySurvivalRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.QuerySurvivalResponse:
        """How long customers stay, or take until an order of a number: Kaplan-Meier curves with intervals."""
        return await self._caller.unary(METHODS["AnalyticsService.QuerySurvival"], request or v1.QuerySurvivalRequest(), v1.QuerySurvivalResponse, timeout_s, metadata)

    async def project_retention(self, request: v1.ProjectRetentionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ProjectRetentionResponse:
        """How many customers stay from period to period, observed, and projected by the shifted-beta-geometric model with a
        bootstrap interval; for the tenant's own customers or for given counts.
        """
        return await self._caller.unary(METHODS["AnalyticsService.ProjectRetention"], request or v1.ProjectRetentionRequest(), v1.ProjectRetentionResponse, timeout_s, metadata)

    async def get_feature_schema(self, request: v1.GetFeatureSchemaRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetFeatureSchemaResponse:
        """The ordered definition of the features that models take."""
        return await self._caller.unary(METHODS["AnalyticsService.GetFeatureSchema"], request or v1.GetFeatureSchemaRequest(), v1.GetFeatureSchemaResponse, timeout_s, metadata)

    async def get_features(self, request: v1.GetFeaturesRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetFeaturesResponse:
        """The current feature values of one customer, in schema order."""
        return await self._caller.unary(METHODS["AnalyticsService.GetFeatures"], request, v1.GetFeaturesResponse, timeout_s, metadata)


class AuditService:
    """Reads, verifies and exports the tenant's audit log. Rows are chained by hashes and never change."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list_audit_events(self, request: v1.ListAuditEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAuditEventsResponse:
        """Rows of the audit log, newest first."""
        return await self._caller.unary(METHODS["AuditService.ListAuditEvents"], request or v1.ListAuditEventsRequest(), v1.ListAuditEventsResponse, timeout_s, metadata)

    def iter_audit_events(self, request: v1.ListAuditEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.AuditEvent]:
        """The events of ``list_audit_events``, one page after the other; deadline of each page."""
        return iterate(self.list_audit_events, request or v1.ListAuditEventsRequest(), lambda reply: reply.events, timeout_s, metadata)

    async def get_audit_event(self, request: v1.GetAuditEventRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAuditEventResponse:
        """One row of the audit log."""
        return await self._caller.unary(METHODS["AuditService.GetAuditEvent"], request, v1.GetAuditEventResponse, timeout_s, metadata)

    async def list_access_entries(self, request: v1.ListAccessEntriesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAccessEntriesResponse:
        """Entries of the access log, newest first: who read about which customers, and who was refused."""
        return await self._caller.unary(METHODS["AuditService.ListAccessEntries"], request or v1.ListAccessEntriesRequest(), v1.ListAccessEntriesResponse, timeout_s, metadata)

    def iter_access_entries(self, request: v1.ListAccessEntriesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.AccessEntry]:
        """The entries of ``list_access_entries``, one page after the other; deadline of each page."""
        return iterate(self.list_access_entries, request or v1.ListAccessEntriesRequest(), lambda reply: reply.entries, timeout_s, metadata)

    async def verify_audit_chain(self, request: v1.VerifyAuditChainRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyAuditChainResponse:
        """Computes the chain again, holds it against the signed checkpoints, and names the first row that is wrong."""
        return await self._caller.unary(METHODS["AuditService.VerifyAuditChain"], request or v1.VerifyAuditChainRequest(), v1.VerifyAuditChainResponse, timeout_s, metadata)

    async def get_audit_checkpoint(self, request: v1.GetAuditCheckpointRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAuditCheckpointResponse:
        """The newest checkpoint: a signed statement of where the chain stood."""
        return await self._caller.unary(METHODS["AuditService.GetAuditCheckpoint"], request or v1.GetAuditCheckpointRequest(), v1.GetAuditCheckpointResponse, timeout_s, metadata)

    async def list_audit_keys(self, request: v1.ListAuditKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAuditKeysResponse:
        """The public keys of checkpoints, also those that sign no more. Keep them apart from exports."""
        return await self._caller.unary(METHODS["AuditService.ListAuditKeys"], request or v1.ListAuditKeysRequest(), v1.ListAuditKeysResponse, timeout_s, metadata)

    async def create_audit_export(self, request: v1.CreateAuditExportRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateAuditExportResponse:
        """Starts an export of rows as JSON lines, with their checkpoints. Poll GetAuditExport until the state is final."""
        return await self._caller.unary(METHODS["AuditService.CreateAuditExport"], request or v1.CreateAuditExportRequest(), v1.CreateAuditExportResponse, timeout_s, metadata)

    async def get_audit_export(self, request: v1.GetAuditExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAuditExportResponse:
        """One export with its state and progress."""
        return await self._caller.unary(METHODS["AuditService.GetAuditExport"], request, v1.GetAuditExportResponse, timeout_s, metadata)

    def download_audit_export(self, request: v1.DownloadAuditExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[api.HttpBody]:
        """The file of an export that succeeded, for `cohortlens audit verify`. It is kept for 7 days."""
        return self._caller.stream(METHODS["AuditService.DownloadAuditExport"], request, api.HttpBody, timeout_s, metadata)


class AuthService:
    """Registers tenants and opens, renews and ends sessions."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def register_tenant(self, request: v1.RegisterTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RegisterTenantResponse:
        """Mails a link that makes a tenant with its owner, or says that there is an account. The answer is the same whether or not the address has one; registering again sends a new link."""
        return await self._caller.unary(METHODS["AuthService.RegisterTenant"], request, v1.RegisterTenantResponse, timeout_s, metadata)

    async def verify_email(self, request: v1.VerifyEmailRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyEmailResponse:
        """Makes the tenant of a mailed link with its owner, and opens the first session. The link works once."""
        return await self._caller.unary(METHODS["AuthService.VerifyEmail"], request, v1.VerifyEmailResponse, timeout_s, metadata)

    async def request_password_reset(self, request: v1.RequestPasswordResetRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RequestPasswordResetResponse:
        """Mails a link to choose a new password, or says that there is no account. The answer is the same for every address."""
        return await self._caller.unary(METHODS["AuthService.RequestPasswordReset"], request, v1.RequestPasswordResetResponse, timeout_s, metadata)

    async def reset_password(self, request: v1.ResetPasswordRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ResetPasswordResponse:
        """Chooses a new password by a mailed link and ends every session of the user. The link works once."""
        return await self._caller.unary(METHODS["AuthService.ResetPassword"], request, v1.ResetPasswordResponse, timeout_s, metadata)

    async def change_password(self, request: v1.ChangePasswordRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ChangePasswordResponse:
        """Chooses a new password by the old one and ends every other session of the user."""
        return await self._caller.unary(METHODS["AuthService.ChangePassword"], request, v1.ChangePasswordResponse, timeout_s, metadata)

    async def begin_totp(self, request: v1.BeginTotpRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BeginTotpResponse:
        """Makes the secret of an authenticator app; nothing changes until ConfirmTotp."""
        return await self._caller.unary(METHODS["AuthService.BeginTotp"], request, v1.BeginTotpResponse, timeout_s, metadata)

    async def confirm_totp(self, request: v1.ConfirmTotpRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ConfirmTotpResponse:
        """Asks for the authenticator app at every log-in from now on, and answers the recovery codes this once."""
        return await self._caller.unary(METHODS["AuthService.ConfirmTotp"], request, v1.ConfirmTotpResponse, timeout_s, metadata)

    async def disable_totp(self, request: v1.DisableTotpRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DisableTotpResponse:
        """Asks for the authenticator app no more."""
        return await self._caller.unary(METHODS["AuthService.DisableTotp"], request, v1.DisableTotpResponse, timeout_s, metadata)

    async def create_session(self, request: v1.CreateSessionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateSessionResponse:
        """Logs in with e-mail address and password and opens a session. MFA_REQUIRED asks for a second call with its mfa_token and a code."""
        return await self._caller.unary(METHODS["AuthService.CreateSession"], request or v1.CreateSessionRequest(), v1.CreateSessionResponse, timeout_s, metadata)

    async def refresh_session(self, request: v1.RefreshSessionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RefreshSessionResponse:
        """Exchanges a refresh token for a new pair. A token that was already exchanged ends its session."""
        return await self._caller.unary(METHODS["AuthService.RefreshSession"], request, v1.RefreshSessionResponse, timeout_s, metadata)

    async def switch_tenant(self, request: v1.SwitchTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateSessionResponse:
        """Opens a session in another tenant of the caller; the session of the call goes on."""
        return await self._caller.unary(METHODS["AuthService.SwitchTenant"], request, v1.CreateSessionResponse, timeout_s, metadata)

    async def list_sessions(self, request: v1.ListSessionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSessionsResponse:
        """Lists the caller's sessions in this tenant, newest first."""
        return await self._caller.unary(METHODS["AuthService.ListSessions"], request or v1.ListSessionsRequest(), v1.ListSessionsResponse, timeout_s, metadata)

    def iter_sessions(self, request: v1.ListSessionsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Session]:
        """The sessions of ``list_sessions``, one page after the other; deadline of each page."""
        return iterate(self.list_sessions, request or v1.ListSessionsRequest(), lambda reply: reply.sessions, timeout_s, metadata)

    async def revoke_user_sessions(self, request: v1.RevokeUserSessionsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeUserSessionsResponse:
        """Ends every session of a user in this tenant; those of others with the scope users.write."""
        return await self._caller.unary(METHODS["AuthService.RevokeUserSessions"], request, v1.RevokeUserSessionsResponse, timeout_s, metadata)

    async def list_signing_keys(self, request: v1.ListSigningKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListSigningKeysResponse:
        """Lists the signing keys of the installation, newest first."""
        return await self._caller.unary(METHODS["AuthService.ListSigningKeys"], request or v1.ListSigningKeysRequest(), v1.ListSigningKeysResponse, timeout_s, metadata)

    async def rotate_signing_key(self, request: v1.RotateSigningKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateSigningKeyResponse:
        """Lets the next signing key sign from now on; the old one verifies for eleven minutes more."""
        return await self._caller.unary(METHODS["AuthService.RotateSigningKey"], request, v1.RotateSigningKeyResponse, timeout_s, metadata)

    async def delete_session(self, request: v1.DeleteSessionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteSessionResponse:
        """Ends a session; `current` is the one of the caller, so this is log out."""
        return await self._caller.unary(METHODS["AuthService.DeleteSession"], request, v1.DeleteSessionResponse, timeout_s, metadata)

    async def get_me(self, request: v1.GetMeRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetMeResponse:
        """Answers who the caller is."""
        return await self._caller.unary(METHODS["AuthService.GetMe"], request or v1.GetMeRequest(), v1.GetMeResponse, timeout_s, metadata)

    async def get_jwks(self, request: v1.GetJwksRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetJwksResponse:
        """The public keys that verify access tokens, as an RFC 7517 key set."""
        return await self._caller.unary(METHODS["AuthService.GetJwks"], request or v1.GetJwksRequest(), v1.GetJwksResponse, timeout_s, metadata)

    async def create_api_key(self, request: v1.CreateApiKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateApiKeyResponse:
        """Makes an API key; its secret is in this answer and nowhere else."""
        return await self._caller.unary(METHODS["AuthService.CreateApiKey"], request, v1.CreateApiKeyResponse, timeout_s, metadata)

    async def list_api_keys(self, request: v1.ListApiKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListApiKeysResponse:
        """API keys of the tenant, newest first, without their secrets."""
        return await self._caller.unary(METHODS["AuthService.ListApiKeys"], request or v1.ListApiKeysRequest(), v1.ListApiKeysResponse, timeout_s, metadata)

    def iter_api_keys(self, request: v1.ListApiKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.ApiKey]:
        """The api_keys of ``list_api_keys``, one page after the other; deadline of each page."""
        return iterate(self.list_api_keys, request or v1.ListApiKeysRequest(), lambda reply: reply.api_keys, timeout_s, metadata)

    async def revoke_api_key(self, request: v1.RevokeApiKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeApiKeyResponse:
        """Revokes an API key; every process refuses it within two seconds."""
        return await self._caller.unary(METHODS["AuthService.RevokeApiKey"], request, v1.RevokeApiKeyResponse, timeout_s, metadata)

    async def rotate_api_key(self, request: v1.RotateApiKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateApiKeyResponse:
        """Makes the successor of an API key; the old one works for an overlap of at most 24 hours."""
        return await self._caller.unary(METHODS["AuthService.RotateApiKey"], request, v1.RotateApiKeyResponse, timeout_s, metadata)

    async def revoke_leaked_key(self, request: v1.RevokeLeakedKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeLeakedKeyResponse:
        """Revokes a key that was found in public. Anyone who holds the whole key may; the answer is always the same."""
        return await self._caller.unary(METHODS["AuthService.RevokeLeakedKey"], request, v1.RevokeLeakedKeyResponse, timeout_s, metadata)

    async def create_service_account(self, request: v1.CreateServiceAccountRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateServiceAccountResponse:
        """Makes a service account: a program that proves itself with a key of its own or a certificate."""
        return await self._caller.unary(METHODS["AuthService.CreateServiceAccount"], request, v1.CreateServiceAccountResponse, timeout_s, metadata)

    async def list_service_accounts(self, request: v1.ListServiceAccountsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListServiceAccountsResponse:
        """Service accounts of the tenant with their public keys, newest first."""
        return await self._caller.unary(METHODS["AuthService.ListServiceAccounts"], request or v1.ListServiceAccountsRequest(), v1.ListServiceAccountsResponse, timeout_s, metadata)

    def iter_service_accounts(self, request: v1.ListServiceAccountsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.ServiceAccount]:
        """The service_accounts of ``list_service_accounts``, one page after the other; deadline of each page."""
        return iterate(self.list_service_accounts, request or v1.ListServiceAccountsRequest(), lambda reply: reply.service_accounts, timeout_s, metadata)

    async def add_service_account_key(self, request: v1.AddServiceAccountKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.AddServiceAccountKeyResponse:
        """Adds a public key to a service account, so that its keys can be rotated without a pause."""
        return await self._caller.unary(METHODS["AuthService.AddServiceAccountKey"], request, v1.AddServiceAccountKeyResponse, timeout_s, metadata)

    async def delete_service_account_key(self, request: v1.DeleteServiceAccountKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteServiceAccountKeyResponse:
        """Removes a public key of a service account."""
        return await self._caller.unary(METHODS["AuthService.DeleteServiceAccountKey"], request, v1.DeleteServiceAccountKeyResponse, timeout_s, metadata)

    async def delete_service_account(self, request: v1.DeleteServiceAccountRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteServiceAccountResponse:
        """Ends a service account with its keys and tokens; every process refuses it within two seconds."""
        return await self._caller.unary(METHODS["AuthService.DeleteServiceAccount"], request, v1.DeleteServiceAccountResponse, timeout_s, metadata)

    async def create_o_auth_client(self, request: v1.CreateOAuthClientRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateOAuthClientResponse:
        """Registers an OAuth client: an application that may ask users, or us, for tokens."""
        return await self._caller.unary(METHODS["AuthService.CreateOAuthClient"], request, v1.CreateOAuthClientResponse, timeout_s, metadata)

    async def list_o_auth_clients(self, request: v1.ListOAuthClientsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListOAuthClientsResponse:
        """Lists the OAuth clients of the tenant, oldest first."""
        return await self._caller.unary(METHODS["AuthService.ListOAuthClients"], request or v1.ListOAuthClientsRequest(), v1.ListOAuthClientsResponse, timeout_s, metadata)

    def iter_o_auth_clients(self, request: v1.ListOAuthClientsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.OAuthClient]:
        """The clients of ``list_o_auth_clients``, one page after the other; deadline of each page."""
        return iterate(self.list_o_auth_clients, request or v1.ListOAuthClientsRequest(), lambda reply: reply.clients, timeout_s, metadata)

    async def delete_o_auth_client(self, request: v1.DeleteOAuthClientRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteOAuthClientResponse:
        """Ends an OAuth client with its codes, sessions and tokens."""
        return await self._caller.unary(METHODS["AuthService.DeleteOAuthClient"], request, v1.DeleteOAuthClientResponse, timeout_s, metadata)

    async def rotate_o_auth_client_secret(self, request: v1.RotateOAuthClientSecretRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateOAuthClientSecretResponse:
        """Gives an OAuth client a new secret; the old one works on for the overlap."""
        return await self._caller.unary(METHODS["AuthService.RotateOAuthClientSecret"], request, v1.RotateOAuthClientSecretResponse, timeout_s, metadata)

    async def check_authorization(self, request: v1.CheckAuthorizationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CheckAuthorizationResponse:
        """Looks at what an OAuth client asks a user for, before anyone has signed in."""
        return await self._caller.unary(METHODS["AuthService.CheckAuthorization"], request, v1.CheckAuthorizationResponse, timeout_s, metadata)

    async def review_authorization(self, request: v1.ReviewAuthorizationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReviewAuthorizationResponse:
        """Tells the caller which tenants and scopes they could consent to."""
        return await self._caller.unary(METHODS["AuthService.ReviewAuthorization"], request, v1.ReviewAuthorizationResponse, timeout_s, metadata)

    async def decide_authorization(self, request: v1.DecideAuthorizationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DecideAuthorizationResponse:
        """Turns the caller's decision into an authorisation code, or into a refusal, for the client."""
        return await self._caller.unary(METHODS["AuthService.DecideAuthorization"], request, v1.DecideAuthorizationResponse, timeout_s, metadata)

    async def exchange_token(self, request: v1.ExchangeTokenRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ExchangeTokenResponse:
        """The token endpoint of OAuth 2 (RFC 6749 3.2); over HTTP it takes a form, and answers errors as 5.2 says."""
        return await self._caller.unary(METHODS["AuthService.ExchangeToken"], request, v1.ExchangeTokenResponse, timeout_s, metadata)

    async def revoke_token(self, request: v1.RevokeTokenRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeTokenResponse:
        """The revocation endpoint (RFC 7009); a form over HTTP. Says nothing about tokens that are not the client's."""
        return await self._caller.unary(METHODS["AuthService.RevokeToken"], request, v1.RevokeTokenResponse, timeout_s, metadata)

    async def introspect_token(self, request: v1.IntrospectTokenRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.IntrospectTokenResponse:
        """The introspection endpoint (RFC 7662); a form over HTTP. For a client's own tokens, or with the scope internal.introspect."""
        return await self._caller.unary(METHODS["AuthService.IntrospectToken"], request, v1.IntrospectTokenResponse, timeout_s, metadata)

    async def get_metadata(self, request: v1.GetMetadataRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetMetadataResponse:
        """Metadata of the authorisation server (RFC 8414)."""
        return await self._caller.unary(METHODS["AuthService.GetMetadata"], request or v1.GetMetadataRequest(), v1.GetMetadataResponse, timeout_s, metadata)

    async def get_user(self, request: v1.GetUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetUserResponse:
        """One user of the tenant."""
        return await self._caller.unary(METHODS["AuthService.GetUser"], request, v1.GetUserResponse, timeout_s, metadata)

    async def list_users(self, request: v1.ListUsersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListUsersResponse:
        """Users of the tenant, in the order in which they joined."""
        return await self._caller.unary(METHODS["AuthService.ListUsers"], request or v1.ListUsersRequest(), v1.ListUsersResponse, timeout_s, metadata)

    def iter_users(self, request: v1.ListUsersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.User]:
        """The users of ``list_users``, one page after the other; deadline of each page."""
        return iterate(self.list_users, request or v1.ListUsersRequest(), lambda reply: reply.users, timeout_s, metadata)

    async def update_user(self, request: v1.UpdateUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdateUserResponse:
        """Changes the role of a user. Their access tokens are refused within 2 s; a refresh brings the new role."""
        return await self._caller.unary(METHODS["AuthService.UpdateUser"], request, v1.UpdateUserResponse, timeout_s, metadata)

    async def delete_user(self, request: v1.DeleteUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteUserResponse:
        """Removes a user from the tenant: ends their sessions, withdraws their invitations, revokes the API keys they made unless `transfer_to` takes them."""
        return await self._caller.unary(METHODS["AuthService.DeleteUser"], request, v1.DeleteUserResponse, timeout_s, metadata)

    async def invite_user(self, request: v1.InviteUserRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.InviteUserResponse:
        """Mails a link by which one person joins the tenant in one role, once, within 7 days."""
        return await self._caller.unary(METHODS["AuthService.InviteUser"], request, v1.InviteUserResponse, timeout_s, metadata)

    async def list_invitations(self, request: v1.ListInvitationsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListInvitationsResponse:
        """Open invitations, newest first."""
        return await self._caller.unary(METHODS["AuthService.ListInvitations"], request or v1.ListInvitationsRequest(), v1.ListInvitationsResponse, timeout_s, metadata)

    def iter_invitations(self, request: v1.ListInvitationsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Invitation]:
        """The invitations of ``list_invitations``, one page after the other; deadline of each page."""
        return iterate(self.list_invitations, request or v1.ListInvitationsRequest(), lambda reply: reply.invitations, timeout_s, metadata)

    async def revoke_invitation(self, request: v1.RevokeInvitationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeInvitationResponse:
        """Withdraws an open invitation; its link no longer works."""
        return await self._caller.unary(METHODS["AuthService.RevokeInvitation"], request, v1.RevokeInvitationResponse, timeout_s, metadata)

    async def review_invitation(self, request: v1.ReviewInvitationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReviewInvitationResponse:
        """What an invitation offers and asks for; the link stays usable."""
        return await self._caller.unary(METHODS["AuthService.ReviewInvitation"], request, v1.ReviewInvitationResponse, timeout_s, metadata)

    async def accept_invitation(self, request: v1.AcceptInvitationRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.AcceptInvitationResponse:
        """Joins a tenant by the token of a mailed link. A new user chooses a password and gets a session; one who has an account joins without either and logs in as before."""
        return await self._caller.unary(METHODS["AuthService.AcceptInvitation"], request, v1.AcceptInvitationResponse, timeout_s, metadata)

    async def get_tenant(self, request: v1.GetTenantRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetTenantResponse:
        """The caller's tenant."""
        return await self._caller.unary(METHODS["AuthService.GetTenant"], request or v1.GetTenantRequest(), v1.GetTenantResponse, timeout_s, metadata)

    async def update_tenant(self, request: v1.UpdateTenantRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdateTenantResponse:
        """Changes name, settings, retention or accepted terms of the caller's tenant."""
        return await self._caller.unary(METHODS["AuthService.UpdateTenant"], request or v1.UpdateTenantRequest(), v1.UpdateTenantResponse, timeout_s, metadata)

    async def delete_tenant(self, request: v1.DeleteTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteTenantResponse:
        """Deletes the caller's tenant: every session ends within 2 s, and after 30 days its data and its key are destroyed.
        What it pays for is ended at once, without a refund; nothing is charged after that.
        """
        return await self._caller.unary(METHODS["AuthService.DeleteTenant"], request, v1.DeleteTenantResponse, timeout_s, metadata)

    async def undelete_tenant(self, request: v1.UndeleteTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UndeleteTenantResponse:
        """Brings a deleted tenant back within 30 days. An owner proves who they are here, since nobody has a session of it.
        A subscription that was ended stays so: the tenant is on plan basic until an owner subscribes anew.
        """
        return await self._caller.unary(METHODS["AuthService.UndeleteTenant"], request, v1.UndeleteTenantResponse, timeout_s, metadata)

    async def list_tenants(self, request: v1.ListTenantsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListTenantsResponse:
        """Tenants of the installation, oldest first."""
        return await self._caller.unary(METHODS["AuthService.ListTenants"], request or v1.ListTenantsRequest(), v1.ListTenantsResponse, timeout_s, metadata)

    def iter_tenants(self, request: v1.ListTenantsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.TenantSummary]:
        """The tenants of ``list_tenants``, one page after the other; deadline of each page."""
        return iterate(self.list_tenants, request or v1.ListTenantsRequest(), lambda reply: reply.tenants, timeout_s, metadata)

    async def suspend_tenant(self, request: v1.SuspendTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SuspendTenantResponse:
        """Refuses the calls of a tenant within 2 s; its data stay."""
        return await self._caller.unary(METHODS["AuthService.SuspendTenant"], request, v1.SuspendTenantResponse, timeout_s, metadata)

    async def resume_tenant(self, request: v1.ResumeTenantRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ResumeTenantResponse:
        """Lets a suspended tenant call again."""
        return await self._caller.unary(METHODS["AuthService.ResumeTenant"], request, v1.ResumeTenantResponse, timeout_s, metadata)


class BillingService:
    """Plans, usage, subscriptions and invoices."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list_plans(self, request: v1.ListPlansRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListPlansResponse:
        """The plans on offer, the smallest first."""
        return await self._caller.unary(METHODS["BillingService.ListPlans"], request or v1.ListPlansRequest(), v1.ListPlansResponse, timeout_s, metadata)

    async def get_entitlement(self, request: v1.GetEntitlementRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetEntitlementResponse:
        """What the caller's tenant may do now, and how much of it is taken."""
        return await self._caller.unary(METHODS["BillingService.GetEntitlement"], request or v1.GetEntitlementRequest(), v1.GetEntitlementResponse, timeout_s, metadata)

    async def override_entitlement(self, request: v1.OverrideEntitlementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.OverrideEntitlementResponse:
        """Grants a tenant something beside its subscription, in place of what was granted before; an empty grant takes it
        back. Holds within 2 s.
        """
        return await self._caller.unary(METHODS["BillingService.OverrideEntitlement"], request, v1.OverrideEntitlementResponse, timeout_s, metadata)

    async def get_usage(self, request: v1.GetUsageRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetUsageResponse:
        """Where the meters of a period stand."""
        return await self._caller.unary(METHODS["BillingService.GetUsage"], request or v1.GetUsageRequest(), v1.GetUsageResponse, timeout_s, metadata)

    async def list_usage(self, request: v1.ListUsageRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListUsageResponse:
        """Who used how much of what in a period, by hour or by day, newest first."""
        return await self._caller.unary(METHODS["BillingService.ListUsage"], request or v1.ListUsageRequest(), v1.ListUsageResponse, timeout_s, metadata)

    def iter_usage(self, request: v1.ListUsageRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.UsageRow]:
        """The rows of ``list_usage``, one page after the other; deadline of each page."""
        return iterate(self.list_usage, request or v1.ListUsageRequest(), lambda reply: reply.rows, timeout_s, metadata)

    async def get_subscription(self, request: v1.GetSubscriptionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetSubscriptionResponse:
        """The tenant's subscription; plan `basic` and status NONE when there has never been one."""
        return await self._caller.unary(METHODS["BillingService.GetSubscription"], request or v1.GetSubscriptionRequest(), v1.GetSubscriptionResponse, timeout_s, metadata)

    async def create_checkout_session(self, request: v1.CreateCheckoutSessionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateCheckoutSessionResponse:
        """Makes the page of the payment provider on which the tenant subscribes. The same plan again answers the same page; another plan ends the page before."""
        return await self._caller.unary(METHODS["BillingService.CreateCheckoutSession"], request, v1.CreateCheckoutSessionResponse, timeout_s, metadata)

    async def create_portal_session(self, request: v1.CreatePortalSessionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreatePortalSessionResponse:
        """Makes the page of the payment provider on which the tenant sees its invoices and changes its means of payment."""
        return await self._caller.unary(METHODS["BillingService.CreatePortalSession"], request or v1.CreatePortalSessionRequest(), v1.CreatePortalSessionResponse, timeout_s, metadata)

    async def change_plan(self, request: v1.ChangePlanRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ChangePlanResponse:
        """Changes the plan, at once or at the end of the period; with validate_only answers what it would cost and break."""
        return await self._caller.unary(METHODS["BillingService.ChangePlan"], request, v1.ChangePlanResponse, timeout_s, metadata)

    async def cancel_subscription(self, request: v1.CancelSubscriptionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelSubscriptionResponse:
        """Ends the subscription, at the end of the period that is paid unless said otherwise."""
        return await self._caller.unary(METHODS["BillingService.CancelSubscription"], request or v1.CancelSubscriptionRequest(), v1.CancelSubscriptionResponse, timeout_s, metadata)

    async def resume_subscription(self, request: v1.ResumeSubscriptionRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ResumeSubscriptionResponse:
        """Lets a subscription go on that was to end with its period, or is paused."""
        return await self._caller.unary(METHODS["BillingService.ResumeSubscription"], request or v1.ResumeSubscriptionRequest(), v1.ResumeSubscriptionResponse, timeout_s, metadata)

    async def list_invoices(self, request: v1.ListInvoicesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListInvoicesResponse:
        """Lists the tenant's invoices, newest first."""
        return await self._caller.unary(METHODS["BillingService.ListInvoices"], request or v1.ListInvoicesRequest(), v1.ListInvoicesResponse, timeout_s, metadata)

    def iter_invoices(self, request: v1.ListInvoicesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Invoice]:
        """The invoices of ``list_invoices``, one page after the other; deadline of each page."""
        return iterate(self.list_invoices, request or v1.ListInvoicesRequest(), lambda reply: reply.invoices, timeout_s, metadata)

    async def list_billing_events(self, request: v1.ListBillingEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListBillingEventsResponse:
        """Lists the events of the payment provider, newest first, and what became of them."""
        return await self._caller.unary(METHODS["BillingService.ListBillingEvents"], request or v1.ListBillingEventsRequest(), v1.ListBillingEventsResponse, timeout_s, metadata)

    def iter_billing_events(self, request: v1.ListBillingEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.BillingEvent]:
        """The events of ``list_billing_events``, one page after the other; deadline of each page."""
        return iterate(self.list_billing_events, request or v1.ListBillingEventsRequest(), lambda reply: reply.events, timeout_s, metadata)

    async def replay_billing_event(self, request: v1.ReplayBillingEventRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReplayBillingEventResponse:
        """Follows an event of the payment provider once more, such as one that was given up."""
        return await self._caller.unary(METHODS["BillingService.ReplayBillingEvent"], request, v1.ReplayBillingEventResponse, timeout_s, metadata)

    async def reconcile_subscription(self, request: v1.ReconcileSubscriptionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReconcileSubscriptionResponse:
        """Has a tenant's subscription compared with what the payment provider says, and set right."""
        return await self._caller.unary(METHODS["BillingService.ReconcileSubscription"], request, v1.ReconcileSubscriptionResponse, timeout_s, metadata)


class ConsentService:
    """Purposes, notices, and the decisions of customers about them."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create_purpose(self, request: v1.CreatePurposeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreatePurposeResponse:
        """Adds a purpose in its first version."""
        return await self._caller.unary(METHODS["ConsentService.CreatePurpose"], request, v1.CreatePurposeResponse, timeout_s, metadata)

    async def update_purpose(self, request: v1.UpdatePurposeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdatePurposeResponse:
        """Changes a purpose by a new version of it; the versions before stay as they are. With `requires_reconsent` the consents given to them end at once."""
        return await self._caller.unary(METHODS["ConsentService.UpdatePurpose"], request, v1.UpdatePurposeResponse, timeout_s, metadata)

    async def list_purposes(self, request: v1.ListPurposesRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListPurposesResponse:
        """The purposes of the tenant as they hold now, or all versions of one of them."""
        return await self._caller.unary(METHODS["ConsentService.ListPurposes"], request or v1.ListPurposesRequest(), v1.ListPurposesResponse, timeout_s, metadata)

    async def batch_check_consent(self, request: v1.BatchCheckConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BatchCheckConsentResponse:
        """Says of up to 10,000 customers who may be used for purposes or activities at this moment. Nothing is remembered between
        two calls.
        """
        return await self._caller.unary(METHODS["ConsentService.BatchCheckConsent"], request, v1.BatchCheckConsentResponse, timeout_s, metadata)

    def watch_consents(self, request: v1.WatchConsentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.WatchConsentsResponse]:
        """Tells what changes of who may be used for what, from a version on, within a second of each commit. The stream ends with
        the deadline of the call; go on from the last consent_version. CURSOR_COMPACTED: begin anew with 0.
        """
        return self._caller.stream(METHODS["ConsentService.WatchConsents"], request or v1.WatchConsentsRequest(), v1.WatchConsentsResponse, timeout_s, metadata)

    async def get_credential(self, request: v1.GetCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetCredentialResponse:
        """A credential with its signed text, named by its own identifier or by that of its consent event."""
        return await self._caller.unary(METHODS["ConsentService.GetCredential"], request, v1.GetCredentialResponse, timeout_s, metadata)

    async def download_credential(self, request: v1.DownloadCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> api.HttpBody:
        """The exact signed bytes of a credential, as application/vc."""
        return await self._caller.unary(METHODS["ConsentService.DownloadCredential"], request, api.HttpBody, timeout_s, metadata)

    async def list_credentials(self, request: v1.ListCredentialsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListCredentialsResponse:
        """Lists credentials, the newest first."""
        return await self._caller.unary(METHODS["ConsentService.ListCredentials"], request or v1.ListCredentialsRequest(), v1.ListCredentialsResponse, timeout_s, metadata)

    def iter_credentials(self, request: v1.ListCredentialsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Credential]:
        """The credentials of ``list_credentials``, one page after the other; deadline of each page."""
        return iterate(self.list_credentials, request or v1.ListCredentialsRequest(), lambda reply: reply.credentials, timeout_s, metadata)

    async def verify_credential(self, request: v1.VerifyCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyCredentialResponse:
        """Says whether a credential of anybody is to be believed, and if not, why. Open to everyone; nothing is stored."""
        return await self._caller.unary(METHODS["ConsentService.VerifyCredential"], request, v1.VerifyCredentialResponse, timeout_s, metadata)

    async def revoke_credential(self, request: v1.RevokeCredentialRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RevokeCredentialResponse:
        """Revokes a credential by hand; the consent itself stays."""
        return await self._caller.unary(METHODS["ConsentService.RevokeCredential"], request, v1.RevokeCredentialResponse, timeout_s, metadata)

    async def get_issuer(self, request: v1.GetIssuerRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetIssuerResponse:
        """Who issues the tenant's credentials, and with which keys."""
        return await self._caller.unary(METHODS["ConsentService.GetIssuer"], request or v1.GetIssuerRequest(), v1.GetIssuerResponse, timeout_s, metadata)

    async def rotate_issuer_key(self, request: v1.RotateIssuerKeyRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RotateIssuerKeyResponse:
        """Replaces the key of the issuer. What a compromised key signed is revoked and issued again."""
        return await self._caller.unary(METHODS["ConsentService.RotateIssuerKey"], request, v1.RotateIssuerKeyResponse, timeout_s, metadata)

    async def get_fulfilment(self, request: v1.GetFulfilmentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetFulfilmentResponse:
        """How far what follows a consent has come: credential, reward, pinned receipt."""
        return await self._caller.unary(METHODS["ConsentService.GetFulfilment"], request, v1.GetFulfilmentResponse, timeout_s, metadata)

    async def verify_receipt_pin(self, request: v1.VerifyReceiptPinRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyReceiptPinResponse:
        """Says whether a pinned receipt is to be believed, and whether another one took its place. Open to everyone."""
        return await self._caller.unary(METHODS["ConsentService.VerifyReceiptPin"], request, v1.VerifyReceiptPinResponse, timeout_s, metadata)

    async def get_status_list(self, request: v1.GetStatusListRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> api.HttpBody:
        """A signed status list, as application/vc: what verifiers of our credentials read. While the sidecar is away the last
        good copy is given until it ends.
        """
        return await self._caller.unary(METHODS["ConsentService.GetStatusList"], request, api.HttpBody, timeout_s, metadata)

    async def get_did_document(self, request: v1.GetDidDocumentRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> api.HttpBody:
        """The DID document of an issuer, or of the deployment, as application/did+json."""
        return await self._caller.unary(METHODS["ConsentService.GetDidDocument"], request or v1.GetDidDocumentRequest(), api.HttpBody, timeout_s, metadata)

    async def publish_notice(self, request: v1.PublishNoticeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PublishNoticeResponse:
        """Publishes a notice, or the newest one in a further language. A notice never changes."""
        return await self._caller.unary(METHODS["ConsentService.PublishNotice"], request, v1.PublishNoticeResponse, timeout_s, metadata)

    async def get_notice(self, request: v1.GetNoticeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetNoticeResponse:
        """What customers were told; for everyone who has its identifier."""
        return await self._caller.unary(METHODS["ConsentService.GetNotice"], request, v1.GetNoticeResponse, timeout_s, metadata)

    async def grant_consent(self, request: v1.GrantConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GrantConsentResponse:
        """Records that a customer gives consent."""
        return await self._caller.unary(METHODS["ConsentService.GrantConsent"], request, v1.GrantConsentResponse, timeout_s, metadata)

    async def withdraw_consent(self, request: v1.WithdrawConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.WithdrawConsentResponse:
        """Records that a customer withdraws consent, whether or not it was given. Takes effect at once."""
        return await self._caller.unary(METHODS["ConsentService.WithdrawConsent"], request, v1.WithdrawConsentResponse, timeout_s, metadata)

    async def refuse_consent(self, request: v1.RefuseConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RefuseConsentResponse:
        """Records that a customer refuses consent."""
        return await self._caller.unary(METHODS["ConsentService.RefuseConsent"], request, v1.RefuseConsentResponse, timeout_s, metadata)

    async def reaffirm_consent(self, request: v1.ReaffirmConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReaffirmConsentResponse:
        """Records that a customer confirms a consent that was given and holds; it then lasts anew."""
        return await self._caller.unary(METHODS["ConsentService.ReaffirmConsent"], request, v1.ReaffirmConsentResponse, timeout_s, metadata)

    async def batch_record_consents(self, request: v1.BatchRecordConsentsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BatchRecordConsentsResponse:
        """Records decisions of many customers: all of them, or none."""
        return await self._caller.unary(METHODS["ConsentService.BatchRecordConsents"], request, v1.BatchRecordConsentsResponse, timeout_s, metadata)

    async def get_consent(self, request: v1.GetConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetConsentResponse:
        """How a customer stands with every purpose, now or as it was known at a time."""
        return await self._caller.unary(METHODS["ConsentService.GetConsent"], request, v1.GetConsentResponse, timeout_s, metadata)

    async def list_consents(self, request: v1.ListConsentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListConsentsResponse:
        """How customers stand with purposes."""
        return await self._caller.unary(METHODS["ConsentService.ListConsents"], request or v1.ListConsentsRequest(), v1.ListConsentsResponse, timeout_s, metadata)

    def iter_consents(self, request: v1.ListConsentsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.CustomerConsent]:
        """The consents of ``list_consents``, one page after the other; deadline of each page."""
        return iterate(self.list_consents, request or v1.ListConsentsRequest(), lambda reply: reply.consents, timeout_s, metadata)

    async def list_consent_events(self, request: v1.ListConsentEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListConsentEventsResponse:
        """Every decision as it was recorded, newest first."""
        return await self._caller.unary(METHODS["ConsentService.ListConsentEvents"], request or v1.ListConsentEventsRequest(), v1.ListConsentEventsResponse, timeout_s, metadata)

    def iter_consent_events(self, request: v1.ListConsentEventsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.ConsentEvent]:
        """The events of ``list_consent_events``, one page after the other; deadline of each page."""
        return iterate(self.list_consent_events, request or v1.ListConsentEventsRequest(), lambda reply: reply.events, timeout_s, metadata)

    async def get_receipt(self, request: v1.GetReceiptRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetReceiptResponse:
        """The receipt of a decision."""
        return await self._caller.unary(METHODS["ConsentService.GetReceipt"], request, v1.GetReceiptResponse, timeout_s, metadata)

    async def verify_receipt(self, request: v1.VerifyReceiptRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.VerifyReceiptResponse:
        """Whether a receipt is genuine and still stands; for everyone who holds it."""
        return await self._caller.unary(METHODS["ConsentService.VerifyReceipt"], request, v1.VerifyReceiptResponse, timeout_s, metadata)

    async def list_receipt_keys(self, request: v1.ListReceiptKeysRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListReceiptKeysResponse:
        """The public keys of receipts, for whoever verifies them alone."""
        return await self._caller.unary(METHODS["ConsentService.ListReceiptKeys"], request or v1.ListReceiptKeysRequest(), v1.ListReceiptKeysResponse, timeout_s, metadata)

    async def create_data_request(self, request: v1.CreateDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateDataRequestResponse:
        """Stores a request of a person about their data. It has to be answered within a calendar month."""
        return await self._caller.unary(METHODS["ConsentService.CreateDataRequest"], request, v1.CreateDataRequestResponse, timeout_s, metadata)

    async def get_data_request(self, request: v1.GetDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetDataRequestResponse:
        """One data request with its steps: the manifest of what was found, exported or erased in every store."""
        return await self._caller.unary(METHODS["ConsentService.GetDataRequest"], request, v1.GetDataRequestResponse, timeout_s, metadata)

    async def list_data_requests(self, request: v1.ListDataRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListDataRequestsResponse:
        """Data requests, the newest first."""
        return await self._caller.unary(METHODS["ConsentService.ListDataRequests"], request or v1.ListDataRequestsRequest(), v1.ListDataRequestsResponse, timeout_s, metadata)

    def iter_data_requests(self, request: v1.ListDataRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.DataRequest]:
        """The data_requests of ``list_data_requests``, one page after the other; deadline of each page."""
        return iterate(self.list_data_requests, request or v1.ListDataRequestsRequest(), lambda reply: reply.data_requests, timeout_s, metadata)

    async def approve_data_request(self, request: v1.ApproveDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ApproveDataRequestResponse:
        """Has a data request worked on. Poll GetDataRequest until the state is final; a failed one is taken up where it stopped."""
        return await self._caller.unary(METHODS["ConsentService.ApproveDataRequest"], request, v1.ApproveDataRequestResponse, timeout_s, metadata)

    async def reject_data_request(self, request: v1.RejectDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RejectDataRequestResponse:
        """Refuses a data request. Tell the person why, and that they can complain to the authority."""
        return await self._caller.unary(METHODS["ConsentService.RejectDataRequest"], request, v1.RejectDataRequestResponse, timeout_s, metadata)

    async def cancel_data_request(self, request: v1.CancelDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelDataRequestResponse:
        """Ends a data request that the person took back."""
        return await self._caller.unary(METHODS["ConsentService.CancelDataRequest"], request, v1.CancelDataRequestResponse, timeout_s, metadata)

    async def extend_data_request(self, request: v1.ExtendDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ExtendDataRequestResponse:
        """Takes two more months for a complex data request; once."""
        return await self._caller.unary(METHODS["ConsentService.ExtendDataRequest"], request, v1.ExtendDataRequestResponse, timeout_s, metadata)

    def download_data_export(self, request: v1.DownloadDataExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[api.HttpBody]:
        """The file of a request for access or portability: a zip of JSON and CSV with a manifest of digests. It is kept for 7 days."""
        return self._caller.stream(METHODS["ConsentService.DownloadDataExport"], request, api.HttpBody, timeout_s, metadata)

    async def set_legal_hold(self, request: v1.SetLegalHoldRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SetLegalHoldResponse:
        """Keeps a person's data from being erased while a law demands it, or ends that."""
        return await self._caller.unary(METHODS["ConsentService.SetLegalHold"], request, v1.SetLegalHoldResponse, timeout_s, metadata)

    async def lift_suppression(self, request: v1.LiftSuppressionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.LiftSuppressionResponse:
        """Lets a person who was erased be imported and decide again, as a new one."""
        return await self._caller.unary(METHODS["ConsentService.LiftSuppression"], request, v1.LiftSuppressionResponse, timeout_s, metadata)

    async def create_consent_link(self, request: v1.CreateConsentLinkRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateConsentLinkResponse:
        """Makes a link by which a person reaches their own data for half an hour; it works once, within 24 hours."""
        return await self._caller.unary(METHODS["ConsentService.CreateConsentLink"], request, v1.CreateConsentLinkResponse, timeout_s, metadata)

    async def open_consent_link(self, request: v1.OpenConsentLinkRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.OpenConsentLinkResponse:
        """Exchanges the secret of a link for the token of the person. Fetching the link's address uses nothing up."""
        return await self._caller.unary(METHODS["ConsentService.OpenConsentLink"], request, v1.OpenConsentLinkResponse, timeout_s, metadata)

    async def create_own_data_request(self, request: v1.CreateOwnDataRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateOwnDataRequestResponse:
        """Stores a request of the person who holds the token."""
        return await self._caller.unary(METHODS["ConsentService.CreateOwnDataRequest"], request, v1.CreateOwnDataRequestResponse, timeout_s, metadata)

    async def list_own_data_requests(self, request: v1.ListOwnDataRequestsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListOwnDataRequestsResponse:
        """The data requests of the person who holds the token."""
        return await self._caller.unary(METHODS["ConsentService.ListOwnDataRequests"], request, v1.ListOwnDataRequestsResponse, timeout_s, metadata)

    def download_own_data_export(self, request: v1.DownloadOwnDataExportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[api.HttpBody]:
        """The file of a data request of the person who holds the token."""
        return self._caller.stream(METHODS["ConsentService.DownloadOwnDataExport"], request, api.HttpBody, timeout_s, metadata)

    async def get_own_consents(self, request: v1.GetOwnConsentsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetOwnConsentsResponse:
        """The decisions of the person who holds the token."""
        return await self._caller.unary(METHODS["ConsentService.GetOwnConsents"], request, v1.GetOwnConsentsResponse, timeout_s, metadata)

    async def record_own_consent(self, request: v1.RecordOwnConsentRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RecordOwnConsentResponse:
        """Records a decision of the person who holds the token, made now."""
        return await self._caller.unary(METHODS["ConsentService.RecordOwnConsent"], request, v1.RecordOwnConsentResponse, timeout_s, metadata)


class CustomersService:
    """Brings customers and orders in and reads them back."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def import_transactions(self, requests: AsyncIterable[v1.ImportTransactionsRequest] | Iterable[v1.ImportTransactionsRequest], *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ImportTransactionsResponse:
        """Imports transactions from CSV (plain, gzip, zstd) or Parquet. The first message holds the options, the others
        the bytes of the file. Over HTTP the body is the file itself and the options are query parameters. The answer
        is the stored import, worked on in the background: poll GetImport until its state is final. Rows already
        present are counted as duplicates, so importing a file twice changes nothing.
        """
        return await self._caller.upload(METHODS["CustomersService.ImportTransactions"], requests, v1.ImportTransactionsResponse, timeout_s, metadata)

    async def get_import(self, request: v1.GetImportRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetImportResponse:
        """One import with its state, counts and, when it failed, the reason."""
        return await self._caller.unary(METHODS["CustomersService.GetImport"], request, v1.GetImportResponse, timeout_s, metadata)

    async def list_imports(self, request: v1.ListImportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListImportsResponse:
        """Imports, newest first."""
        return await self._caller.unary(METHODS["CustomersService.ListImports"], request or v1.ListImportsRequest(), v1.ListImportsResponse, timeout_s, metadata)

    def iter_imports(self, request: v1.ListImportsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Import]:
        """The imports of ``list_imports``, one page after the other; deadline of each page."""
        return iterate(self.list_imports, request or v1.ListImportsRequest(), lambda reply: reply.imports, timeout_s, metadata)

    async def list_import_faults(self, request: v1.ListImportFaultsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListImportFaultsResponse:
        """Rows an import refused, in file order: the first 1,000."""
        return await self._caller.unary(METHODS["CustomersService.ListImportFaults"], request, v1.ListImportFaultsResponse, timeout_s, metadata)

    def iter_import_faults(self, request: v1.ListImportFaultsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.ImportFault]:
        """The faults of ``list_import_faults``, one page after the other; deadline of each page."""
        return iterate(self.list_import_faults, request, lambda reply: reply.faults, timeout_s, metadata)

    async def get_customer(self, request: v1.GetCustomerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetCustomerResponse:
        """One customer with the facts known about them."""
        return await self._caller.unary(METHODS["CustomersService.GetCustomer"], request, v1.GetCustomerResponse, timeout_s, metadata)

    async def batch_get_customers(self, request: v1.BatchGetCustomersRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BatchGetCustomersResponse:
        """Customers by their names, so that nobody asks for a thousand of them one by one."""
        return await self._caller.unary(METHODS["CustomersService.BatchGetCustomers"], request, v1.BatchGetCustomersResponse, timeout_s, metadata)

    async def list_customers(self, request: v1.ListCustomersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListCustomersResponse:
        """Customers by external id."""
        return await self._caller.unary(METHODS["CustomersService.ListCustomers"], request or v1.ListCustomersRequest(), v1.ListCustomersResponse, timeout_s, metadata)

    def iter_customers(self, request: v1.ListCustomersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Customer]:
        """The customers of ``list_customers``, one page after the other; deadline of each page."""
        return iterate(self.list_customers, request or v1.ListCustomersRequest(), lambda reply: reply.customers, timeout_s, metadata)

    async def delete_customer(self, request: v1.DeleteCustomerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.DeleteCustomerResponse:
        """Erases a customer with all rows that hang on them."""
        return await self._caller.unary(METHODS["CustomersService.DeleteCustomer"], request, v1.DeleteCustomerResponse, timeout_s, metadata)


class MarketplaceService:
    """Offers answers about groups of consenting customers; buyers ask from a closed list, answers carry noise."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create_offer(self, request: v1.CreateOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateOfferResponse:
        """Makes a draft of an offer."""
        return await self._caller.unary(METHODS["MarketplaceService.CreateOffer"], request, v1.CreateOfferResponse, timeout_s, metadata)

    async def update_offer(self, request: v1.UpdateOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.UpdateOfferResponse:
        """Changes an offer; what is published stays as it is until it is published again."""
        return await self._caller.unary(METHODS["MarketplaceService.UpdateOffer"], request, v1.UpdateOfferResponse, timeout_s, metadata)

    async def preview_offer(self, request: v1.PreviewOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PreviewOfferResponse:
        """Shows what an offer's first question would answer, with noise and at its price in privacy, and its terms."""
        return await self._caller.unary(METHODS["MarketplaceService.PreviewOffer"], request, v1.PreviewOfferResponse, timeout_s, metadata)

    async def publish_offer(self, request: v1.PublishOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PublishOfferResponse:
        """Publishes an offer in a new version, whose terms are derived from its contributors' consents."""
        return await self._caller.unary(METHODS["MarketplaceService.PublishOffer"], request, v1.PublishOfferResponse, timeout_s, metadata)

    async def withdraw_offer(self, request: v1.WithdrawOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.WithdrawOfferResponse:
        """Withdraws an offer for good; agreements that were made go on to their end."""
        return await self._caller.unary(METHODS["MarketplaceService.WithdrawOffer"], request, v1.WithdrawOfferResponse, timeout_s, metadata)

    async def list_offers(self, request: v1.ListOffersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListOffersResponse:
        """Lists what is published by everybody, or the caller's own offers, the newest first."""
        return await self._caller.unary(METHODS["MarketplaceService.ListOffers"], request or v1.ListOffersRequest(), v1.ListOffersResponse, timeout_s, metadata)

    def iter_offers(self, request: v1.ListOffersRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Offer]:
        """The offers of ``list_offers``, one page after the other; deadline of each page."""
        return iterate(self.list_offers, request or v1.ListOffersRequest(), lambda reply: reply.offers, timeout_s, metadata)

    async def get_offer(self, request: v1.GetOfferRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetOfferResponse:
        """One offer: a published one, or one of the caller's own."""
        return await self._caller.unary(METHODS["MarketplaceService.GetOffer"], request, v1.GetOfferResponse, timeout_s, metadata)

    async def get_offer_sample(self, request: v1.GetOfferSampleRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetOfferSampleResponse:
        """An answer of the offer's form whose figures are made up."""
        return await self._caller.unary(METHODS["MarketplaceService.GetOfferSample"], request, v1.GetOfferSampleResponse, timeout_s, metadata)

    async def request_access(self, request: v1.RequestAccessRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RequestAccessResponse:
        """Asks for access to an offer; who asks accepts its terms as published."""
        return await self._caller.unary(METHODS["MarketplaceService.RequestAccess"], request, v1.RequestAccessResponse, timeout_s, metadata)

    async def list_access_requests(self, request: v1.ListAccessRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAccessRequestsResponse:
        """Lists requests and agreements, the newest first: those the caller made, and those of its own offers."""
        return await self._caller.unary(METHODS["MarketplaceService.ListAccessRequests"], request or v1.ListAccessRequestsRequest(), v1.ListAccessRequestsResponse, timeout_s, metadata)

    def iter_access_requests(self, request: v1.ListAccessRequestsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Agreement]:
        """The agreements of ``list_access_requests``, one page after the other; deadline of each page."""
        return iterate(self.list_access_requests, request or v1.ListAccessRequestsRequest(), lambda reply: reply.agreements, timeout_s, metadata)

    async def approve_access_request(self, request: v1.ApproveAccessRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ApproveAccessRequestResponse:
        """Approves a request: the seller offers, the buyer has accepted, and both agree."""
        return await self._caller.unary(METHODS["MarketplaceService.ApproveAccessRequest"], request, v1.ApproveAccessRequestResponse, timeout_s, metadata)

    async def reject_access_request(self, request: v1.RejectAccessRequestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RejectAccessRequestResponse:
        """Rejects a request."""
        return await self._caller.unary(METHODS["MarketplaceService.RejectAccessRequest"], request, v1.RejectAccessRequestResponse, timeout_s, metadata)

    async def get_agreement(self, request: v1.GetAgreementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetAgreementResponse:
        """One agreement, for either side."""
        return await self._caller.unary(METHODS["MarketplaceService.GetAgreement"], request, v1.GetAgreementResponse, timeout_s, metadata)

    async def terminate_agreement(self, request: v1.TerminateAgreementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.TerminateAgreementResponse:
        """Ends an agreement, or takes a request back; either side may. Its credential is revoked."""
        return await self._caller.unary(METHODS["MarketplaceService.TerminateAgreement"], request, v1.TerminateAgreementResponse, timeout_s, metadata)

    async def run_query(self, request: v1.RunQueryRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RunQueryResponse:
        """Asks a question of the closed list; the same question on the same data gets the same answer, at no charge."""
        return await self._caller.unary(METHODS["MarketplaceService.RunQuery"], request, v1.RunQueryResponse, timeout_s, metadata)

    async def list_queries(self, request: v1.ListQueriesRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListQueriesResponse:
        """Lists the questions asked under an agreement with their answers, the newest first."""
        return await self._caller.unary(METHODS["MarketplaceService.ListQueries"], request, v1.ListQueriesResponse, timeout_s, metadata)

    def iter_queries(self, request: v1.ListQueriesRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.MarketQuery]:
        """The queries of ``list_queries``, one page after the other; deadline of each page."""
        return iterate(self.list_queries, request, lambda reply: reply.queries, timeout_s, metadata)

    async def get_privacy_budget(self, request: v1.GetPrivacyBudgetRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetPrivacyBudgetResponse:
        """What is left of the budgets that a question draws on."""
        return await self._caller.unary(METHODS["MarketplaceService.GetPrivacyBudget"], request, v1.GetPrivacyBudgetResponse, timeout_s, metadata)

    async def get_settlement(self, request: v1.GetSettlementRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetSettlementResponse:
        """How an agreement was settled: step by step, and by accounts that add up to nothing."""
        return await self._caller.unary(METHODS["MarketplaceService.GetSettlement"], request, v1.GetSettlementResponse, timeout_s, metadata)


class ModelsService:
    """The tenant's models and which version of each is active."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def start_training(self, request: v1.StartTrainingRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.StartTrainingResponse:
        """Starts a training run on the tenant's own data; a version that passes the gate is promoted, at once or after a
        time in the shadow. A model of which a version is active needs the feature `retraining`.
        """
        return await self._caller.unary(METHODS["ModelsService.StartTraining"], request or v1.StartTrainingRequest(), v1.StartTrainingResponse, timeout_s, metadata)

    async def get_training_run(self, request: v1.GetTrainingRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetTrainingRunResponse:
        """One training run."""
        return await self._caller.unary(METHODS["ModelsService.GetTrainingRun"], request, v1.GetTrainingRunResponse, timeout_s, metadata)

    async def list_training_runs(self, request: v1.ListTrainingRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListTrainingRunsResponse:
        """Training runs, newest first."""
        return await self._caller.unary(METHODS["ModelsService.ListTrainingRuns"], request or v1.ListTrainingRunsRequest(), v1.ListTrainingRunsResponse, timeout_s, metadata)

    def iter_training_runs(self, request: v1.ListTrainingRunsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.TrainingRun]:
        """The runs of ``list_training_runs``, one page after the other; deadline of each page."""
        return iterate(self.list_training_runs, request or v1.ListTrainingRunsRequest(), lambda reply: reply.runs, timeout_s, metadata)

    async def cancel_training_run(self, request: v1.CancelTrainingRunRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CancelTrainingRunResponse:
        """Ends a training run within five seconds; nothing of it is registered. A run that has ended already stays as it is."""
        return await self._caller.unary(METHODS["ModelsService.CancelTrainingRun"], request, v1.CancelTrainingRunResponse, timeout_s, metadata)

    async def list_model_versions(self, request: v1.ListModelVersionsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListModelVersionsResponse:
        """Versions of one model, newest first; with `live_at` the one that answered at that time."""
        return await self._caller.unary(METHODS["ModelsService.ListModelVersions"], request, v1.ListModelVersionsResponse, timeout_s, metadata)

    def iter_model_versions(self, request: v1.ListModelVersionsRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.ModelVersion]:
        """The versions of ``list_model_versions``, one page after the other; deadline of each page."""
        return iterate(self.list_model_versions, request, lambda reply: reply.versions, timeout_s, metadata)

    async def get_model_version(self, request: v1.GetModelVersionRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetModelVersionResponse:
        """One version with its manifest."""
        return await self._caller.unary(METHODS["ModelsService.GetModelVersion"], request, v1.GetModelVersionResponse, timeout_s, metadata)

    async def list_alias_history(self, request: v1.ListAliasHistoryRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListAliasHistoryResponse:
        """What became active and what was compared, since when, until when, by whom and why; latest first."""
        return await self._caller.unary(METHODS["ModelsService.ListAliasHistory"], request, v1.ListAliasHistoryResponse, timeout_s, metadata)

    def iter_alias_history(self, request: v1.ListAliasHistoryRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.AliasInterval]:
        """The intervals of ``list_alias_history``, one page after the other; deadline of each page."""
        return iterate(self.list_alias_history, request, lambda reply: reply.intervals, timeout_s, metadata)

    async def get_backtest(self, request: v1.GetBacktestRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetBacktestResponse:
        """How a version and what it was made of predicted past periods that they had not seen, beside naive predictions."""
        return await self._caller.unary(METHODS["ModelsService.GetBacktest"], request, v1.GetBacktestResponse, timeout_s, metadata)

    async def promote_model(self, request: v1.PromoteModelRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.PromoteModelResponse:
        """Makes a version the active one once every live worker holds it; a challenger that is promoted is cleared. One that
        failed its gate needs `force`, a reason, and a person who is admin or owner.
        """
        return await self._caller.unary(METHODS["ModelsService.PromoteModel"], request, v1.PromoteModelResponse, timeout_s, metadata)

    async def rollback_model(self, request: v1.RollbackModelRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.RollbackModelResponse:
        """Makes the version active that was active before, once the workers hold it."""
        return await self._caller.unary(METHODS["ModelsService.RollbackModel"], request, v1.RollbackModelResponse, timeout_s, metadata)

    async def set_challenger(self, request: v1.SetChallengerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SetChallengerResponse:
        """Lets a version see a share of the Predict calls beside the active one, whose answers alone are given."""
        return await self._caller.unary(METHODS["ModelsService.SetChallenger"], request, v1.SetChallengerResponse, timeout_s, metadata)

    async def clear_challenger(self, request: v1.ClearChallengerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ClearChallengerResponse:
        """Ends the comparison; what was measured stays."""
        return await self._caller.unary(METHODS["ModelsService.ClearChallenger"], request, v1.ClearChallengerResponse, timeout_s, metadata)

    async def get_challenger(self, request: v1.GetChallengerRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetChallengerResponse:
        """The challenger and how it compares so far."""
        return await self._caller.unary(METHODS["ModelsService.GetChallenger"], request, v1.GetChallengerResponse, timeout_s, metadata)


class RewardService:
    """Pays reward tokens for consents, on an EVM chain or on Solana."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create_wallet_challenge(self, request: v1.CreateWalletChallengeRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateWalletChallengeResponse:
        """Makes the text that a customer signs with a wallet, to prove that it is theirs."""
        return await self._caller.unary(METHODS["RewardService.CreateWalletChallenge"], request, v1.CreateWalletChallengeResponse, timeout_s, metadata)

    async def bind_wallet(self, request: v1.BindWalletRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.BindWalletResponse:
        """Binds a wallet to a customer by the signed text; rewards that were held for want of one go out."""
        return await self._caller.unary(METHODS["RewardService.BindWallet"], request, v1.BindWalletResponse, timeout_s, metadata)

    async def release_wallet(self, request: v1.ReleaseWalletRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ReleaseWalletResponse:
        """Releases a wallet; later rewards are held until another one is bound."""
        return await self._caller.unary(METHODS["RewardService.ReleaseWallet"], request, v1.ReleaseWalletResponse, timeout_s, metadata)

    async def get_reward_balance(self, request: v1.GetRewardBalanceRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardBalanceResponse:
        """What a customer has on each chain, what is on its way, and what can be claimed."""
        return await self._caller.unary(METHODS["RewardService.GetRewardBalance"], request, v1.GetRewardBalanceResponse, timeout_s, metadata)

    async def list_rewards(self, request: v1.ListRewardsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.ListRewardsResponse:
        """Lists rewards, the newest first."""
        return await self._caller.unary(METHODS["RewardService.ListRewards"], request or v1.ListRewardsRequest(), v1.ListRewardsResponse, timeout_s, metadata)

    def iter_rewards(self, request: v1.ListRewardsRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> AsyncIterator[v1.Reward]:
        """The rewards of ``list_rewards``, one page after the other; deadline of each page."""
        return iterate(self.list_rewards, request or v1.ListRewardsRequest(), lambda reply: reply.rewards, timeout_s, metadata)

    async def get_reward(self, request: v1.GetRewardRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardResponse:
        """One reward."""
        return await self._caller.unary(METHODS["RewardService.GetReward"], request, v1.GetRewardResponse, timeout_s, metadata)

    async def get_reward_token(self, request: v1.GetRewardTokenRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardTokenResponse:
        """The token on each chain in use, and how the chains are."""
        return await self._caller.unary(METHODS["RewardService.GetRewardToken"], request or v1.GetRewardTokenRequest(), v1.GetRewardTokenResponse, timeout_s, metadata)

    async def get_reward_tariff(self, request: v1.GetRewardTariffRequest | None = None, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.GetRewardTariffResponse:
        """What each purpose pays, and whether anything is paid at all."""
        return await self._caller.unary(METHODS["RewardService.GetRewardTariff"], request or v1.GetRewardTariffRequest(), v1.GetRewardTariffResponse, timeout_s, metadata)

    async def set_reward_tariff(self, request: v1.SetRewardTariffRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.SetRewardTariffResponse:
        """Sets what purposes pay. Tokens are off until an administrator confirms what stays on a public chain."""
        return await self._caller.unary(METHODS["RewardService.SetRewardTariff"], request, v1.SetRewardTariffResponse, timeout_s, metadata)

    async def create_reward_claim(self, request: v1.CreateRewardClaimRequest, *, timeout_s: float | None = None, metadata: Metadata = ()) -> v1.CreateRewardClaimResponse:
        """Gives the holder of a claimable reward what the contract asks for."""
        return await self._caller.unary(METHODS["RewardService.CreateRewardClaim"], request, v1.CreateRewardClaimResponse, timeout_s, metadata)


class Services:
    """One attribute for each service."""

    def __init__(self, caller: Caller) -> None:
        self.analytics = AnalyticsService(caller)
        self.audit = AuditService(caller)
        self.auth = AuthService(caller)
        self.billing = BillingService(caller)
        self.consent = ConsentService(caller)
        self.customers = CustomersService(caller)
        self.marketplace = MarketplaceService(caller)
        self.models = ModelsService(caller)
        self.reward = RewardService(caller)
