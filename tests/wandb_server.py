"""A W&B server as far as `wandb sweep` and `wandb agent` need one: one sweep of one run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

SWEEP = "TEAM/mixvae/ID"


class SweepServer:
    """Answers the requests of the command line.

    Attributes:
        settings: Settings of the sweep's one run, by key.
        config: The YAML of the sweep, once it is made.
        finished: Whether the agent has said that its run ended.
        url: Where it listens.
    """

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.config = ""
        self.finished = False
        self.url = ""
        self._is_given = self._has_started = False

    def answer(self, query: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL request."""
        team, project, sweep = SWEEP.split("/")
        if "viewer" in query:
            teams: dict[str, Any] = {"edges": []}
            names = dict.fromkeys(("username", "entity", "email"), team)
            return {"viewer": {"id": "1", **names, "flags": "{}", "teams": teams}}
        if "upsertSweep(" in query:
            self.config = said["config"]
            made = {"id": "1", "name": project, "entity": {"id": "1", "name": team}}
            return {"upsertSweep": {"sweep": {"name": sweep, "project": made}}}
        if "sweep(sweepName" in query:
            found = {"id": "1", "name": sweep, "state": "RUNNING", "config": self.config}
            return {"project": {"sweep": {**found, "runs": {"edges": []}}}}
        if "createAgent(" in query:
            return {"createAgent": {"agent": {"id": "1"}}}
        assert "agentHeartbeat(" in query, query
        commands = json.dumps(self._commands(json.loads(said["runState"])))
        return {"agentHeartbeat": {"agent": {"id": "1"}, "commands": commands}}

    def _commands(self, states: Mapping[str, bool]) -> list[dict[str, Any]]:
        """One run, and the agent's end after it."""
        if not self._is_given:
            self._is_given = True
            told = {key: {"value": value} for key, value in self.settings.items()}
            return [{"id": "1", "type": "run", "run_id": "run1", "program": None, "args": told}]
        self._has_started |= any(states.values())
        self.finished = self._has_started and not any(states.values())
        return [{"id": "2", "type": "exit"}] if self.finished else []


@contextmanager
def sweep_server() -> Iterator[SweepServer]:
    """Serve on this machine while the context lasts."""
    server = SweepServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = server.answer(asked["query"], asked.get("variables") or {})
            content = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = Thread(target=http.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
