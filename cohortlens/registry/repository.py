"""The tables of the registry: versions, which one is active, and since when."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.registry.models import (
    ALIAS_MOVED,
    CHALLENGER,
    CHAMPION,
    AliasInterval,
    Challenger,
    ModelVersion,
)

_COLUMNS = """
v.model, v.version, v.state, v.artifact_digest, v.manifest::text AS manifest, v.created_at, a.since,
v.training_run_id, c.version IS NOT NULL AS is_challenger
FROM model_versions v
LEFT JOIN model_aliases a ON a.tenant_id = v.tenant_id AND a.model = v.model AND a.version = v.version
  AND a.alias = 'CHAMPION'
LEFT JOIN model_aliases c ON c.tenant_id = v.tenant_id AND c.model = v.model AND c.version = v.version
  AND c.alias = 'CHALLENGER'
WHERE v.tenant_id = app.tid() AND v.model = :model
"""
_WAS_LIVE = """
AND (CAST(:live_at AS timestamptz) IS NULL OR EXISTS (
  SELECT FROM model_alias_history h
   WHERE h.tenant_id = v.tenant_id AND h.model = v.model AND h.version = v.version AND h.alias = 'CHAMPION'
     AND h.live @> CAST(:live_at AS timestamptz)))
"""


class RegistryRepository:
    """SQL of the registry.

    Args:
        tx: A transaction of the tenant.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    async def lock(self, model: str) -> None:
        """Serialise changes of the tenant's versions of ``model`` until the transaction ends."""
        await self._tx.execute(
            text(
                "SELECT pg_advisory_xact_lock(hashtextextended('registry' || app.tid()::text || :model, 0))"
            ),
            {"model": model},
        )

    async def insert(
        self,
        manifest: ModelManifest,
        *,
        state: str,
        artifact_digest: str,
        training_run_id: UUID,
        created_at: datetime,
    ) -> int:
        """Store a version under the next number, which it returns."""
        row = await self._tx.execute(
            text(
                """
                INSERT INTO model_versions (tenant_id, model, version, state, artifact_digest, schema_hash,
                  data_sha256, code_version, seed, as_of, manifest, training_run_id, created_at)
                SELECT app.tid(), :model, coalesce(max(version), 0) + 1, :state, :digest, :schema_hash,
                  :data_sha256, :code_version, :seed, :as_of, CAST(:manifest AS jsonb), :run, :created_at
                FROM model_versions WHERE tenant_id = app.tid() AND model = CAST(:model AS text)
                RETURNING version
                """
            ),
            {
                "model": manifest.model,
                "state": state,
                "digest": artifact_digest,
                "schema_hash": manifest.schema_hash,
                "data_sha256": manifest.data_sha256,
                "code_version": manifest.code_version,
                "seed": manifest.seed,
                "as_of": date.fromisoformat(manifest.as_of),
                "manifest": manifest.to_json(),
                "run": training_run_id,
                "created_at": created_at,
            },
        )
        return int(row.scalar_one())

    async def by_training_run(self, training_run_id: UUID) -> tuple[str, int] | None:
        """Model and version that a training run registered."""
        row = await self._tx.execute(
            text(
                "SELECT model, version FROM model_versions "
                "WHERE tenant_id = app.tid() AND training_run_id = :run"
            ),
            {"run": training_run_id},
        )
        found = row.one_or_none()
        return None if found is None else (found.model, found.version)

    async def get(self, model: str, version: int) -> ModelVersion | None:
        """One version; the active one when ``version`` is 0."""
        which = "AND v.version = :version" if version else "AND a.version IS NOT NULL"
        arguments: dict[str, Any] = {"model": model, **({"version": version} if version else {})}
        row = (await self._tx.execute(text(f"SELECT {_COLUMNS} {which}"), arguments)).one_or_none()
        return None if row is None else _version(row)

    async def page(
        self, model: str, below: int | None, limit: int, live_at: datetime | None = None
    ) -> list[ModelVersion]:
        """Versions under ``below``, newest first; of those only the one that was active at ``live_at``."""
        rows = await self._tx.execute(
            text(
                f"SELECT {_COLUMNS} AND (CAST(:below AS integer) IS NULL OR v.version < :below) "
                f"{_WAS_LIVE} ORDER BY v.version DESC LIMIT :limit"
            ),
            {"model": model, "below": below, "limit": limit, "live_at": live_at},
        )
        return [_version(row) for row in rows]

    async def intervals(self, model: str, alias: str, before: UUID | None, limit: int) -> list[AliasInterval]:
        """Times in which versions had an alias (any when empty), latest first, those before ``before``."""
        rows = await self._tx.execute(
            text(
                "SELECT id, alias, version, lower(live), upper(live), action, actor, reason, forced, "
                "share_ratio FROM model_alias_history WHERE tenant_id = app.tid() AND model = :model "
                "AND (:alias = '' OR alias = :alias) AND (CAST(:before AS uuid) IS NULL OR id < :before) "
                "ORDER BY id DESC LIMIT :limit"
            ),
            {"model": model, "alias": alias, "before": before, "limit": limit},
        )
        return [AliasInterval(*row) for row in rows]

    async def activate(
        self,
        model: str,
        version: int,
        *,
        action: str,
        actor: UUID | None,
        reason: str,
        at: datetime,
        forced: bool = False,
    ) -> None:
        """Make ``version`` the champion from now on, and say so to jobs. Needs ``lock``."""
        await self._move(CHAMPION, model, version, action, actor, reason, at, None, forced)
        await Outbox(self._tx).record(
            ALIAS_MOVED, f"alias:{model}", {"model": model, "version": version, "action": action}
        )

    async def challenge(
        self, model: str, version: int, share_ratio: float, *, actor: UUID | None, reason: str, at: datetime
    ) -> None:
        """Make ``version`` the challenger from now on. Needs ``lock``."""
        await self._move(CHALLENGER, model, version, "CHALLENGED", actor, reason, at, share_ratio)

    async def challenger(self, model: str) -> Challenger | None:
        """The challenger of the tenant's model."""
        found = await self._tx.execute(
            text(
                """
                SELECT v.version, v.artifact_digest, v.schema_hash, v.manifest::text AS manifest,
                  a.share_ratio, a.since
                FROM model_aliases a JOIN model_versions v USING (tenant_id, model, version)
                WHERE a.tenant_id = app.tid() AND a.model = :model AND a.alias = 'CHALLENGER'
                """
            ),
            {"model": model},
        )
        row = found.one_or_none()
        if row is None:
            return None
        horizons = ModelManifest.from_json(row.manifest).horizons_days
        return Challenger(
            row.version, row.artifact_digest, row.schema_hash, horizons, row.share_ratio, row.since
        )

    async def clear_challenger(self, model: str, at: datetime, only: int | None = None) -> bool:
        """End the challenger, or leave it when it is not version ``only``. Needs ``lock``.

        Returns:
            Whether one was ended.
        """
        gone = await self._tx.execute(
            text(
                "DELETE FROM model_aliases WHERE tenant_id = app.tid() AND model = :model "
                "AND alias = 'CHALLENGER' AND version = coalesce(CAST(:only AS integer), version) "
                "RETURNING version"
            ),
            {"model": model, "only": only},
        )
        if gone.one_or_none() is None:
            return False
        await self._close(CHALLENGER, model, at)
        return True

    async def _move(
        self,
        alias: str,
        model: str,
        version: int,
        action: str,
        actor: UUID | None,
        reason: str,
        at: datetime,
        share_ratio: float | None,
        forced: bool = False,
    ) -> None:
        """Close the alias's live interval, open one for ``version``, move the alias."""
        arguments = {
            "alias": alias,
            "model": model,
            "version": version,
            "share": share_ratio,
            "at": await self._close(alias, model, at) or at,
        }
        await self._tx.execute(
            text(
                """
                INSERT INTO model_alias_history
                  (tenant_id, id, model, alias, version, live, action, actor, reason, share_ratio, forced)
                VALUES (app.tid(), :id, :model, :alias, :version, tstzrange(:at, NULL), :action, :actor,
                  :reason, :share, :forced)
                """
            ),
            {
                **arguments,
                "id": uuid7(),
                "action": action,
                "actor": actor,
                "reason": reason,
                "forced": forced,
            },
        )
        await self._tx.execute(
            text(
                """
                INSERT INTO model_aliases (tenant_id, model, alias, version, since, share_ratio)
                VALUES (app.tid(), :model, :alias, :version, :at, :share)
                ON CONFLICT (tenant_id, model, alias)
                DO UPDATE SET version = :version, since = :at, share_ratio = :share
                """
            ),
            arguments,
        )

    async def _close(self, alias: str, model: str, at: datetime) -> datetime | None:
        """End the alias's live interval; returns when it ended, None when there was none."""
        # A clock that stands still or goes back must not make an empty or overlapping interval.
        closed = await self._tx.execute(
            text(
                """
                UPDATE model_alias_history
                SET live = tstzrange(lower(live), greatest(:at, lower(live) + interval '1 microsecond'))
                WHERE tenant_id = app.tid() AND model = :model AND alias = :alias AND upper_inf(live)
                RETURNING upper(live)
                """
            ),
            {"alias": alias, "model": model, "at": at},
        )
        ended: datetime | None = closed.scalar_one_or_none()
        return ended

    async def history(self, model: str) -> list[tuple[str, int]]:
        """Actions and the versions they made active, oldest first."""
        rows = await self._tx.execute(
            text(
                "SELECT action, version FROM model_alias_history "
                "WHERE tenant_id = app.tid() AND model = :model AND alias = 'CHAMPION' ORDER BY lower(live)"
            ),
            {"model": model},
        )
        return [(row.action, row.version) for row in rows]

    async def active_models(self) -> set[str]:
        """Models of the tenant that have an active version."""
        rows = await self._tx.execute(
            text("SELECT model FROM model_aliases WHERE tenant_id = app.tid() AND alias = 'CHAMPION'")
        )
        return {row.model for row in rows}


def _version(row: Any) -> ModelVersion:
    manifest = ModelManifest.from_json(row.manifest)
    return ModelVersion(
        row.model,
        row.version,
        row.state,
        row.artifact_digest,
        manifest,
        row.created_at,
        row.since,
        row.training_run_id,
        row.is_challenger,
    )
