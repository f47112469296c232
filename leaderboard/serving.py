"""The site on this machine's own address."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from simclick.errors import ConfigError
from simclick.leaderboard.downloads import MARKER

__all__ = ["make_server"]


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder, quietly, never guessed to be another type than named, never kept."""

    def end_headers(self) -> None:
        """Send headers that every answer has."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def make_server(site: Path, port: int = 8000) -> ThreadingHTTPServer:
    """Return a server of a site on 127.0.0.1, bound but not yet serving.

    Args:
        site: The folder that `build_site` wrote.
        port: The port; 0 for any that is free.

    Raises:
        ConfigError: When the folder holds no site, or the port is taken.
    """
    if not (site / MARKER).is_file():
        raise ConfigError(f"{site} holds no site: build it with simclick leaderboard build --out {site}")
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(site)))
    except (OSError, OverflowError) as error:
        raise ConfigError(f"port {port} of 127.0.0.1: {error}; choose another --port") from None
