"""What the chains count; the ops page of the sidecar shows it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from cohortlens.core.telemetry import REGISTRY
from sidecars.web3.rewards.chain import ChainHealth

TRANSACTIONS = Counter(
    "web3_tx_total",
    "Steps of transactions: sent, refused, replaced, mined, reverted, final, dropped, expired",
    ["chain", "outcome"],
    registry=REGISTRY,
)
REORGS = Counter(
    "web3_reorgs_total", "Transactions whose block a chain dropped after it was seen", registry=REGISTRY
)
SIGNER_BALANCE = Gauge(
    "web3_signer_balance", "What the signer holds for fees: wei or lamports", ["chain"], registry=REGISTRY
)
FINALITY_LAG = Gauge(
    "web3_finality_lag_seconds",
    "Age of the newest final block while a reward waits for one, else 0",
    ["chain"],
    registry=REGISTRY,
)
CHAIN_UP = Gauge(
    "web3_chain_up", "1 while the chain is ok, 0 while it is degraded or down", ["chain"], registry=REGISTRY
)
REWARDS = Gauge("web3_rewards", "Rewards that are not at their end", ["chain", "state"], registry=REGISTRY)


def count(chain: str, outcome: str, transactions: int = 1) -> None:
    """Count transactions that took a step.

    Args:
        chain: ``evm`` or ``solana``.
        outcome: One of the words of ``web3_tx_total``.
        transactions: How many, >= 0.
    """
    if transactions:
        TRANSACTIONS.labels(chain, outcome).inc(transactions)


def dropped(chain: str) -> None:
    """Count a transaction whose block is gone."""
    REORGS.inc()
    count(chain, "dropped")


def show(health: ChainHealth) -> None:
    """Show how a chain is; of one that does not answer, funds and lag stay as they were last known."""
    CHAIN_UP.labels(health.chain).set(health.status == "ok")
    if health.status != "down":
        SIGNER_BALANCE.labels(health.chain).set(health.signer_balance)
        FINALITY_LAG.labels(health.chain).set(health.lag_s)
