"""The listener of an embedded chain or store: HTTP on loopback, on a port of its own."""

from __future__ import annotations

from aiohttp import web


class LoopbackListener:
    """Serves one application until it is closed."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None

    async def open(self, application: web.Application, port: int = 0) -> str:
        """Listen on loopback.

        Args:
            application: The routes.
            port: 0 for any free one.

        Returns:
            The URL.
        """
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening; requests under way are cut after the usual grace."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
