"""``python -m workers``: start the worker side and run it until SIGTERM."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import replace

from cohortlens.core.config import SettingsInvalid, read
from workers.config import WorkerConfig, ray_environment
from workers.pandas_import import hide_pandas


def main() -> int:
    """Read the settings, prepare Ray's environment, supervise.

    Returns:
        Exit code: 0 after a signal, 1 when Ray ended by itself, 2 when it cannot start.
    """
    try:
        config = read(WorkerConfig, os.environ)
        if faults := config.faults():
            raise SettingsInvalid(faults)
    except SettingsInvalid as error:
        for fault in error.faults:
            _say(f"error SETTINGS_INVALID: {fault}")
        return 2
    token = config.ray_token.reveal() if config.spans_hosts else secrets.token_hex(32)
    os.environ.update(ray_environment(token, spans_hosts=config.spans_hosts, port=config.ray_port))
    # Replicas run in other folders, so paths must not depend on the present one.
    config = replace(config, data_dir=config.data_dir.absolute(), artifact_dir=config.artifacts)
    return _supervise(config)


def _supervise(config: WorkerConfig) -> int:
    hide_pandas()
    # Ray reads its environment when it is imported, hence these imports come after it is set.
    from cohortlens.core.ops import OpsListener, OpsPortInUseError  # noqa: PLC0415
    from cohortlens.core.telemetry import configure_logging  # noqa: PLC0415
    from workers.ray_cluster import ClusterFault  # noqa: PLC0415
    from workers.ray_member import RayMember  # noqa: PLC0415
    from workers.supervisor import Supervisor  # noqa: PLC0415

    # Standard output is for the one line that tells of readiness.
    configure_logging(config.log_level, config.log_format, sys.stderr)
    try:
        ops = OpsListener(config.ops_bind, config.ops_port_of("workers"))
    except OpsPortInUseError as fault:
        _say(f"error {fault}")
        return 2

    def announce(line: str) -> None:
        ops.missing = list
        _announce(line)

    try:
        runner = RayMember if config.ray_head else Supervisor
        return runner(config, announce).run()
    except ClusterFault as fault:
        _say(f"error {fault.reason}: {fault}")
        return 2
    finally:
        ops.close()


def _announce(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
