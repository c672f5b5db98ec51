"""Wires what stands on the web3 sidecar: credentials, rewards and pins, and what follows a consent."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from cohortlens.adapters.web3_channel import Web3Channel
from cohortlens.adapters.web3_credentials import GrpcCredentialIssuer
from cohortlens.adapters.web3_pins import GrpcPinner
from cohortlens.adapters.web3_rewards import GrpcRewardLedger
from cohortlens.consent.credentials import Credentials
from cohortlens.consent.fulfilment.personal_data import FulfilmentStore
from cohortlens.consent.fulfilment.service import Fulfilment
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.consent.ports import CredentialIssuer, Pinner, RewardLedger
from cohortlens.consent.progress import ConsentProgress
from cohortlens.consent.rewards import Rewards
from cohortlens.consent.wallets import Wallets
from cohortlens.core.db import Database
from cohortlens.core.settings import CoreConfig
from cohortlens.core.tenant_keys import TenantKeys


@dataclass(frozen=True)
class Web3:
    """What stands on the sidecar, one attribute per file.

    Attributes:
        means: All of them, as steps of other slices use them.
        issuer: Issues and verifies credentials.
        ledger: Pays rewards.
        pinner: Keeps content on IPFS.
        fulfilment: What follows a consent.
        progress: How far it is, and what was pinned of it.
        credentials: Credentials as callers see them.
        wallets: Wallets of customers.
        rewards: Rewards as callers see them.
        personal_data: What of it is about one person.
    """

    means: Means
    issuer: CredentialIssuer
    ledger: RewardLedger
    pinner: Pinner
    fulfilment: Fulfilment
    progress: ConsentProgress
    credentials: Credentials
    wallets: Wallets
    rewards: Rewards
    personal_data: FulfilmentStore


def open_web3(opened: AsyncExitStack, db: Database, keys: TenantKeys, config: CoreConfig) -> Web3:
    """Wire it; the sidecar is called when it is needed, and may be away.

    Args:
        opened: Closes the channel.
        db: PostgreSQL.
        keys: The tenants' keys.
        config: Address and token of the sidecar.
    """
    channel = Web3Channel(config.web3_address, config.web3_token.reveal())
    opened.push_async_callback(channel.close)
    issuer, ledger, pinner = (
        GrpcCredentialIssuer(channel),
        GrpcRewardLedger(channel),
        GrpcPinner(channel),
    )
    means = Means(db, keys, issuer, ledger, pinner)
    return Web3(
        means,
        issuer,
        ledger,
        pinner,
        Fulfilment(means),
        ConsentProgress(means),
        Credentials(db, keys, issuer),
        Wallets(db, keys, ledger, config.public_url),
        Rewards(db, keys, ledger),
        FulfilmentStore(means),
    )
