"""A small Hugging Face hub on this machine, which serves model folders."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from huggingface_hub import constants

COMMIT = hashlib.sha1(b"first").hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: "Hub"

    def log_message(self, *words):
        pass

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, *, with_body):
        self.server.requests.append(f"{self.command} {self.path}")
        if self.server.status:
            return self._send(self.server.status, b"", self.server.headers)
        path = unquote(self.path.partition("?")[0]).removeprefix("/")
        if path.startswith("api/models/"):
            path = path.removeprefix("api/models/")
            repository, _, revision = path.partition("/revision/")
            return self._about(repository, revision or "main")
        repository, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        return self._file(repository, revision, file, with_body=with_body)

    def _folder(self, repository, revision):
        folder = self.server.models.get(repository)
        if folder is None:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", COMMIT):
            folder = self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        return folder

    def _about(self, repository, revision):
        if folder := self._folder(repository, revision):
            files = [{"rfilename": path.name} for path in folder.iterdir()]
            about = {"id": repository, "sha": COMMIT, "siblings": files}
            self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

    def _file(self, repository, revision, name, *, with_body):
        if not (folder := self._folder(repository, revision)):
            return
        headers = {"X-Repo-Commit": COMMIT}
        path = folder / name
        if not path.is_file():
            return self._send(404, b"", {**headers, "X-Error-Code": "EntryNotFound"})
        data = path.read_bytes()
        headers["ETag"] = f'"{hashlib.sha1(data).hexdigest()}"'
        self._send(200, data, headers, with_body=with_body)

    def _send(self, status, data, headers, *, with_body=True):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)


class Hub(http.server.ThreadingHTTPServer):
    """The models by name, and what was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[str, Path] = {}
        self.requests: list[str] = []
        self.status, self.headers = 0, {}
        """Answer everything with this error."""

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub(monkeypatch, cache: Path) -> Iterator[Hub]:
    """Serve models while the block runs, to huggingface_hub with an own cache."""
    server = Hub()
    for name, value in {
        "ENDPOINT": server.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
