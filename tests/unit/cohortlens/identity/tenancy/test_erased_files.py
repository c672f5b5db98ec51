"""Files of an erased tenant: what only it names goes, what another tenant names stays."""

from __future__ import annotations

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.identity.tenancy.erased_files import ArtifactUse, erase_files


def model(store, snapshot, *blobs):
    files = {f"{at}.onnx": store.put_bytes(blob) for at, blob in enumerate(blobs)}
    manifest = ModelManifest("prediction", "0" * 64, snapshot, "2026-01-01", "EUR", 1, "1", files=files)
    return store.put_bytes(manifest.to_json().encode())


def test_models_and_snapshots_go_unless_another_tenant_has_the_same(tmp_path):
    store, tenant = LocalArtifactStore(tmp_path), TenantId(uuid7())
    snapshot, theirs = store.put_bytes(b"customers of the tenant"), store.put_bytes(b"customers of others")
    own = model(store, snapshot, b"own weights", b"shared weights")
    other = model(store, theirs, b"shared weights", b"other weights")
    for folder in (f"batches/{tenant}/run", f"audit/{tenant}/exports/one", f"batches/{uuid7()}/run"):
        (tmp_path / folder).mkdir(parents=True)
    uses = [
        ArtifactUse(own, is_manifest=True, own=True),
        ArtifactUse(snapshot, is_manifest=False, own=True),
        ArtifactUse("f" * 64, is_manifest=True, own=True),
        ArtifactUse(other, is_manifest=True, own=False),
        ArtifactUse(theirs, is_manifest=False, own=False),
    ]
    assert erase_files(tmp_path, tenant, uses) == 3
    assert not store.exists(own)
    assert not store.exists(snapshot)
    manifest = ModelManifest.from_json(store.read_verified(other))
    assert all(store.exists(digest) for digest in (*manifest.files.values(), theirs))
    assert not (tmp_path / f"batches/{tenant}").exists()
    assert not (tmp_path / f"audit/{tenant}/exports").exists()
    assert len(list((tmp_path / "batches").iterdir())) == 1
    assert erase_files(tmp_path, tenant, uses) == 0
