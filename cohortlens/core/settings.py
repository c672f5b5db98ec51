"""The settings that processes share; a process adds its own dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cohortlens.core.config import Duration, Secret, SettingsInvalid, Url, setting
from cohortlens.core.key_settings import key_faults
from cohortlens.core.mail_settings import mail_faults
from cohortlens.core.payment_settings import payment_faults
from cohortlens.core.selling_settings import selling_faults
from cohortlens.core.tls import MutualTls, mutual_tls
from cohortlens.core.tracing_settings import tracing_faults

OPS_PORT = 9464
OPS_PROCESSES = ("gateway", "jobs", "workers", "web3")
"""Processes with an ops listener; each listens on the port after that of the one before."""

_PEPPER_CHARACTERS = 32


@dataclass(frozen=True)
class SharedConfig:
    """What the workers read too; standard library only, as all they import."""

    data_dir: Path = setting(
        "DATA_DIR", Path(".cohortlens"), "folder of the embedded stack's data, mode 0700"
    )
    artifact_dir: Path | None = setting(
        "ARTIFACT_DIR", None, "artifact store; `artifacts` in the data folder when unset"
    )
    redis_url: Url = setting("REDIS_URL", Url(""), "Redis or Valkey; embedded when unset")
    worker_tls_ca: Path | None = setting(
        "WORKER_TLS_CA", None, "authority of the workers' and their callers' certificates, PEM; TLS when set"
    )
    worker_tls_cert: Path | None = setting(
        "WORKER_TLS_CERT", None, "this host's certificate between workers and their callers, PEM"
    )
    worker_tls_key: Path | None = setting("WORKER_TLS_KEY", None, "private key of that certificate, PEM")
    worker_tls_worker_name: str = setting(
        "WORKER_TLS_WORKER_NAME", "workers.cohortlens.internal", "DNS name in every worker's certificate"
    )
    worker_tls_caller_name: str = setting(
        "WORKER_TLS_CALLER_NAME",
        "gateway.cohortlens.internal",
        "DNS name in the certificates of gateway and jobs; others may not call a worker",
    )
    ops_bind: str = setting("OPS_BIND", "127.0.0.1", "address of /metrics, /livez, /readyz of each process")
    ops_port: int | None = setting(
        "OPS_PORT",
        None,
        "port of these pages: the gateway's; jobs, workers, web3 take the next; 9464 when unset, 0 for any",
    )
    log_level: str = setting(
        "LOG_LEVEL", "info", "least severity logged", choices=("debug", "info", "warning", "error")
    )
    log_format: str = setting("LOG_FORMAT", "json", "form of log lines", choices=("json", "text"))

    @property
    def artifacts(self) -> Path:
        """Folder of the artifact store, absolute: the processes have different working folders."""
        return (self.artifact_dir or self.data_dir / "artifacts").absolute()

    def ops_port_of(self, process: str) -> int:
        """The ops port of ``gateway``, ``jobs``, ``workers`` or ``web3``; 0 for any free one."""
        base = OPS_PORT if self.ops_port is None else self.ops_port
        return base + OPS_PROCESSES.index(process) if base else 0

    def worker_tls(self) -> MutualTls | None:
        """TLS between workers and their callers; None when it is not set.

        Raises:
            SettingsInvalid: It cannot work.
        """
        files = (self.worker_tls_ca, self.worker_tls_cert, self.worker_tls_key)
        try:
            tls = mutual_tls(files, self.worker_tls_worker_name, self.worker_tls_caller_name)
        except ValueError as fault:
            raise SettingsInvalid([str(fault)]) from None
        if tls is not None and (faults := tls.faults()):
            raise SettingsInvalid(faults)
        return tls


@dataclass(frozen=True)
class TracedConfig(SharedConfig):
    """What the processes read whose work can be followed as spans; see ``cohortlens.core.tracing``."""

    otlp_endpoint: Url = setting(
        "OTLP_ENDPOINT",
        Url(""),
        "OpenTelemetry collector that gets spans, such as http://127.0.0.1:4318; none when unset",
    )
    otlp_ratio: float = setting(
        "OTLP_RATIO", 1.0, "part of the traces beginning here that is sent, 0 to 1; callers decide of theirs"
    )


@dataclass(frozen=True)
class CoreConfig(TracedConfig):
    """Where the data lies, how to reach PostgreSQL and Redis; the embedded stack fills in the addresses."""

    environment: str = setting(
        "ENV",
        "development",
        "what kind of installation this is",
        choices=("development", "test", "production"),
    )
    database_url: Url = setting(
        "DATABASE_URL", Url(""), "PostgreSQL of the runtime role; embedded when unset"
    )
    database_admin_url: Url = setting(
        "DATABASE_ADMIN_URL", Url(""), "PostgreSQL of the owner role, for migrations"
    )
    database_pool_size: int = setting("DATABASE_POOL_SIZE", 8, "connections a process keeps to PostgreSQL")
    database_pooled: bool = setting(
        "DATABASE_POOLED",
        False,
        "whether DATABASE_URL is a pooler in transaction mode, as Neon's pooled endpoint",
    )
    kek: Secret = setting(
        "KEK", Secret(""), "key that seals the stored secrets: 32 bytes, base64; made by the embedded stack"
    )
    kek_previous: Secret = setting(
        "KEK_PREVIOUS", Secret(""), "keys that still open what they sealed, while the key is being changed"
    )
    issuer: Url = setting(
        "ISSUER", Url(""), "issuer of access tokens, an address of this installation; PUBLIC_URL when unset"
    )
    explain_method: str = setting(
        "EXPLAIN_METHOD",
        "shap",
        "how predictions are explained when a call names no method and its plan contains this one",
        choices=("shap", "lime"),
    )
    access_token_ttl: Duration = setting("ACCESS_TOKEN_TTL", Duration(600), "life of an access token")
    password_pepper: Secret = setting(
        "PASSWORD_PEPPER",
        Secret(""),
        "secret of 32 characters or more that goes into password hashes; losing it loses every password",
    )
    login_at_once: int = setting(
        "LOGIN_AT_ONCE", 5, "log-in attempts on one e-mail address from one network address before waiting"
    )
    login_wait: Duration = setting(
        "LOGIN_WAIT", Duration(12), "first wait after them; each further attempt doubles it"
    )
    login_wait_max: Duration = setting("LOGIN_WAIT_MAX", Duration(900), "longest wait")
    login_per_address: int = setting(
        "LOGIN_PER_ADDRESS", 30, "attempts of one network address in a minute, over all e-mail addresses"
    )
    login_per_email: int = setting(
        "LOGIN_PER_EMAIL", 50, "attempts on one e-mail address in an hour before a mailed code is asked for"
    )
    login_mails: int = setting(
        "LOGIN_MAILS", 10, "mails to one e-mail address in an hour that registering and resetting send"
    )
    smtp_url: Url = setting(
        "SMTP_URL",
        Url(""),
        "mail server: smtp:// with STARTTLS or smtps://, user:password@host:port; embedded when unset",
    )
    mail_from: str = setting(
        "MAIL_FROM", "CohortLens <no-reply@cohortlens.local>", "sender of mails: Name <address>"
    )
    public_url: Url = setting(
        "PUBLIC_URL", Url(""), "where people reach this installation, for links; this machine when unset"
    )

    stripe_api_key: Secret = setting(
        "STRIPE_API_KEY", Secret(""), "secret key of the account at Stripe; payments are off when unset"
    )
    stripe_webhook_secrets: Secret = setting(
        "STRIPE_WEBHOOK_SECRETS",
        Secret(""),
        "signing secrets of the webhook endpoint, several while one is changed; no endpoint when unset",
    )
    stripe_api_base: Url = setting(
        "STRIPE_API_BASE", Url(""), "address of the payment provider; Stripe itself when unset"
    )
    stripe_account: str = setting(
        "STRIPE_ACCOUNT", "", "account whose events are taken, acct_...; only the key's own when unset"
    )
    quota_processes: int = setting(
        "QUOTA_PROCESSES",
        4,
        "upper bound of gateway and jobs processes, of which the size of leased blocks of quota follows",
    )
    quota_fail_open: Duration = setting(
        "QUOTA_FAIL_OPEN_S",
        Duration(0),
        "time for which calls beyond the leased quota are admitted, and charged later, without PostgreSQL",
    )
    billing_grace: Duration = setting(
        "BILLING_GRACE", Duration(7 * 86_400), "how long an unpaid invoice leaves a tenant all it may do"
    )
    billing_currency: str = setting("BILLING_CURRENCY", "eur", "currency in which plans are sold")
    trial_days: str = setting(
        "TRIAL_DAYS", "", "days of trial by plan, such as professional=14; one trial per tenant; none"
    )
    stripe_meters: str = setting(
        "STRIPE_METERS",
        "",
        "meters whose usage is told to Stripe, such as api_calls=cohortlens_api_calls; none",
    )
    allowed_origins: str = setting(
        "ALLOWED_ORIGINS",
        "",
        "origins beside PUBLIC_URL to which checkout and portal may return, separated by commas; none",
    )

    shadow_period: Duration = setting(
        "SHADOW_PERIOD",
        Duration(86_400),
        "how long a better version of the prediction is compared on live calls before it answers; 0s for not",
    )
    retrain_every: Duration = setting(
        "RETRAIN_EVERY",
        Duration(7 * 86_400),
        "age of a training at which the feature retraining trains on newer data by itself; 0s for never",
    )
    drift_every: Duration = setting(
        "DRIFT_EVERY",
        Duration(86_400),
        "age of a drift report at which the feature drift makes another by itself; 0s for never",
    )
    training_limit: Duration = setting(
        "TRAINING_LIMIT", Duration(1800), "time a training run may take over all its attempts"
    )

    web3_address: str = setting(
        "WEB3_ADDRESS", "", "host:port of the web3 sidecar: credentials, rewards, pins; none when unset"
    )
    web3_token: Secret = setting(
        "WEB3_TOKEN", Secret(""), "what gateway and jobs show the sidecar, 24 characters or more"
    )

    failpoint: str = setting(
        "FAILPOINT", "", "point at which a process kills itself; for fault tests, with COHORTLENS_ENV=test"
    )

    @property
    def token_issuer(self) -> str:
        """Value of ``iss``: where clients find this installation, without a slash at the end."""
        return (self.issuer or self.public_url or "https://cohortlens.local").rstrip("/")

    def faults(self) -> list[str]:
        """What cannot work, one sentence each; empty when all is well."""
        is_production = self.environment == "production"
        faults = mail_faults(self.smtp_url, self.mail_from, self.public_url, is_production=is_production)
        faults += key_faults(self.kek.reveal(), self.kek_previous.reveal(), is_production=is_production)
        faults += self._login_faults()
        faults += tracing_faults(self.otlp_endpoint, self.otlp_ratio)
        if self.quota_processes < 1:
            faults.append(f"COHORTLENS_QUOTA_PROCESSES={self.quota_processes}: expected 1 or more")
        if self.web3_address and not self.web3_token:
            faults.append("COHORTLENS_WEB3_TOKEN is not set; COHORTLENS_WEB3_ADDRESS needs it")
        if self.failpoint and self.environment != "test":
            faults.append("COHORTLENS_FAILPOINT is for fault tests: it needs COHORTLENS_ENV=test")
        faults += payment_faults(
            self.stripe_api_key.reveal(),
            self.stripe_webhook_secrets.reveal(),
            self.stripe_api_base,
            self.stripe_account,
            is_production=is_production,
        )
        faults += selling_faults(
            self.billing_currency,
            self.trial_days,
            self.stripe_meters,
            self.allowed_origins,
            is_production=is_production,
            has_payments=bool(self.stripe_api_key),
        )
        try:
            self.worker_tls()
        except SettingsInvalid as invalid:
            faults += invalid.faults
        return faults

    def _login_faults(self) -> list[str]:
        least = {
            "LOGIN_AT_ONCE": self.login_at_once,
            "LOGIN_PER_ADDRESS": self.login_per_address,
            "LOGIN_PER_EMAIL": self.login_per_email,
            "LOGIN_MAILS": self.login_mails,
        }
        faults = [
            f"COHORTLENS_{name}={value}: expected 1 or more" for name, value in least.items() if value < 1
        ]
        if not 0 < self.login_wait <= self.login_wait_max:
            faults.append(
                "COHORTLENS_LOGIN_WAIT: expected a duration above 0, at most COHORTLENS_LOGIN_WAIT_MAX"
            )
        if 0 < len(self.password_pepper.reveal()) < _PEPPER_CHARACTERS:
            faults.append(
                f"COHORTLENS_PASSWORD_PEPPER=****: expected {_PEPPER_CHARACTERS} characters or more"
            )
        return faults
