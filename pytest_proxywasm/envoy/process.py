"""One Envoy process: start it, wait until it is ready, see what it logs, stop it; knows nothing of filters."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .log import LogReader, Record

__all__ = ["EnvoyFailure", "EnvoyProcess"]

READY_SECONDS = 120.0
"""How long a start may take: a large Go guest is compiled several times, on a machine that may be busy."""
STOP_SECONDS = 10.0
ADMIN_SECONDS = 30.0
POLL = 0.002

_SUPERVISOR = """
exec 3<&0
"$@" </dev/null 3<&- & envoy=$!
{ read -r _ <&3; kill -TERM $envoy; sleep 5; kill -KILL $envoy; } >/dev/null 2>&1 & watch=$!
exec 3<&-
wait $envoy; status=$?
kill -KILL $watch 2>/dev/null
exit $status
"""
"""Ends Envoy when our end of the pipe is closed: by us, or because this process is gone, however it went."""


class EnvoyFailure(Exception):
    """Envoy does not do what every Envoy does: it does not start, answer or end in time."""


class EnvoyProcess:
    """A running Envoy with its files in ``folder``.

    It has a process group of its own, so that Ctrl-C does not reach it, and never outlives this process.

    Args:
        binary: the Envoy to run.
        config: its bootstrap.
        folder: where bootstrap, log and the admin listener's address are written.
        level: the level of the component ``wasm``.
        options: more of the command line.

    Attributes:
        ready: it has accepted its configuration.
        exit: its exit status once it has ended; negative when a signal ended it.
    """

    def __init__(
        self,
        binary: Path,
        config: Mapping[str, Any],
        folder: Path,
        *,
        level: str = "trace",
        options: Sequence[str] = (),
    ) -> None:
        self.ready = False
        self.exit: int | None = None
        self.folder = folder
        self._admin_file = folder / "admin"
        self._admin_connection: http.client.HTTPConnection | None = None
        bootstrap = folder / "bootstrap.json"
        bootstrap.write_text(json.dumps(config), encoding="utf-8")
        marker = f"\x1e{secrets.token_hex(4)}|"
        self.log = LogReader(folder / "log", marker)
        command = [
            *(str(binary), "-c", str(bootstrap)),
            *("--concurrency", "1", "--use-dynamic-base-id"),
            *("--admin-address-path", str(self._admin_file)),
            *("-l", "error", "--component-log-level", f"wasm:{level}"),
            *("--log-format", marker + "%l|%n|%t|%v"),
            *options,
        ]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SUPERVISOR, "envoy", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={"HOME": os.environ.get("HOME", "/"), "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
                start_new_session=True,
            )

    def __enter__(self) -> EnvoyProcess:
        self.await_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def await_ready(self) -> None:
        """Wait until it has accepted its configuration, or has ended because it did not.

        Raises:
            EnvoyFailure: neither happened in time.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready:
            if self.ended:
                return
            if self._admin_file.exists() and self._admin_file.stat().st_size and self._is_live():
                self.ready = True
                return
            if time.monotonic() > deadline:
                last = "\n".join(f"    {record.text}" for record in self.log.all()[-5:])
                self.stop()
                raise EnvoyFailure(f"Envoy was not ready after {READY_SECONDS:g} seconds. It logged last:\n{last}")
            time.sleep(POLL)

    def _is_live(self) -> bool:
        try:
            return self.admin("/ready").strip() == "LIVE"
        except EnvoyFailure:
            return False

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        if self.exit is None:
            status = self._process.poll()
            if status is not None:
                self._over(status)
        return self.exit is not None

    def _over(self, status: int) -> None:
        # A shell says 128 and the number of the signal.
        self.exit = 128 - status if status > 128 else status
        if self._process.stdin is not None:
            self._process.stdin.close()

    def admin(self, path: str, method: str = "GET") -> str:
        """Ask the admin listener; all questions go over one connection.

        Raises:
            EnvoyFailure: it does not answer.
        """
        if self._admin_connection is None:
            address = self._admin_file.read_text(encoding="utf-8").strip()
            self._admin_connection = http.client.HTTPConnection(address, timeout=ADMIN_SECONDS)
        try:
            self._admin_connection.request(method, path)
            return self._admin_connection.getresponse().read().decode("utf-8", "surrogateescape")
        except (OSError, http.client.HTTPException) as error:
            self._admin_connection.close()
            self._admin_connection = None
            raise EnvoyFailure(f"Envoy's admin listener does not answer {path}: {error!r}") from error

    def listener_ports(self) -> dict[str, int]:
        """The ports of its listeners by name."""
        statuses = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        return {one["name"]: int(one["local_address"]["socket_address"]["port_value"]) for one in statuses}

    def records(self) -> list[Record]:
        """Everything it has logged."""
        return self.log.all()

    def settle(self, quiet: float, at_most: float) -> None:
        """Wait until it has logged nothing for so long."""
        now = time.monotonic()
        end, silent_until, size = now + at_most, now + quiet, -1
        while now < min(end, silent_until) and not self.ended:
            time.sleep(0.01)
            now = time.monotonic()
            grown = self.log.size()
            if grown != size:
                size, silent_until = grown, now + quiet

    def begin_stop(self) -> None:
        """Ask it to end, and do not wait."""
        if self._admin_connection is not None:
            self._admin_connection.close()
            self._admin_connection = None
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def stop(self) -> None:
        """End it, unless it has ended."""
        self.begin_stop()
        if self.ended:
            return
        try:
            self._over(self._process.wait(STOP_SECONDS))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self.exit = -signal.SIGKILL
