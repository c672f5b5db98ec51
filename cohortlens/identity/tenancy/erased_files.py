"""The files of a tenant that is erased: uploads, results, training snapshots, models."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.contracts.artifacts import ArtifactCorrupt, ArtifactMissing, LocalArtifactStore
from cohortlens.contracts.batch_files import FOLDER as BATCHES
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.ids import TenantId


@dataclass(frozen=True)
class ArtifactUse:
    """A blob of the artifact store that rows name.

    Attributes:
        digest: Its digest.
        is_manifest: Whether it names further blobs.
        own: Whether a row of the tenant names it; else a row of another one.
    """

    digest: str
    is_manifest: bool
    own: bool


async def artifact_uses(tx: AsyncConnection) -> list[ArtifactUse]:
    """Models and training snapshots that rows name; ``tx`` is inside the transaction of the tenant."""
    rows = await tx.execute(text("SELECT * FROM app.artifact_digests()"))
    return [ArtifactUse(row.digest, row.is_manifest, row.own) for row in rows]


def erase_files(root: Path, tenant_id: TenantId, uses: Sequence[ArtifactUse]) -> int:
    """Delete folders and blobs of a tenant; answers how many blobs.

    Args:
        root: Folder of the artifact store.
        tenant_id: The tenant.
        uses: What rows of the tenant and of others name; a blob both use stays.
    """
    for folder in (f"{BATCHES}/{tenant_id}", f"audit/{tenant_id}/exports", f"data-exports/{tenant_id}"):
        if (root / folder).exists():
            shutil.rmtree(root / folder)
    store, gone = LocalArtifactStore(root), 0
    own, others = ([use for use in uses if use.own is mine] for mine in (True, False))
    for digest in _blobs(store, own) - _blobs(store, others):
        if store.exists(digest):
            store.path(digest).unlink()
            gone += 1
    return gone


def _blobs(store: LocalArtifactStore, uses: Iterable[ArtifactUse]) -> set[str]:
    """The blobs that rows name, and those that manifests among them name."""
    found: set[str] = set()
    for use in uses:
        found.add(use.digest)
        if not use.is_manifest:
            continue
        try:
            manifest = ModelManifest.from_json(store.read_verified(use.digest))
        except (ArtifactMissing, ArtifactCorrupt):
            # Whoever it belongs to cannot load it any more: it names nothing that is still in use.
            continue
        found |= {*manifest.files.values(), manifest.data_sha256}
    return found
