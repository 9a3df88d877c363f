"""Web servers on this machine, which serve files and can be told to misbehave."""

import functools
import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: "FileServer"

    def log_message(self, *words):
        pass

    def do_GET(self):
        self.server.requests.append(self.path)
        if self.server.broken > 0 and not self.path.endswith("/"):
            self.server.broken -= 1
            self._break_off()
        elif self.server.status:
            self.send_error(self.server.status)
        else:
            super().do_GET()

    def do_HEAD(self):
        if self.server.status:
            self.send_error(self.server.status)
        else:
            super().do_HEAD()

    def _break_off(self):
        """Promise the whole file, send half of it."""
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True


class FileServer(http.server.ThreadingHTTPServer):
    """What was asked for, and how to answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.requests: list[str] = []
        self.broken = 0
        """So many downloads break off in the middle."""
        self.status = 0
        """Answer everything with this error."""

    def handle_error(self, request, client_address):
        pass

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve(folder: Path) -> Iterator[FileServer]:
    """Serve a folder while the block runs."""
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _WeightHandler(http.server.BaseHTTPRequestHandler):
    """Plain files by their path, with ranges; and a hub's files by ORG/NAME/resolve/main/FILE."""

    server: "WeightServer"

    def log_message(self, *words):
        pass

    def do_HEAD(self):
        self._answer(with_content=False)

    def do_GET(self):
        self._answer(with_content=True)

    def _answer(self, *, with_content):
        path = self.path.lstrip("/")
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        if self.server.status and with_content:
            self.send_response(self.server.status)
            self.send_header("X-Error-Code", self.server.error_code)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path.startswith("api/models/"):
            self._describe(re.sub(r"^api/models/|(/revision/|\?).*", "", path))
        elif "/resolve/" in path:
            self._of_hub(re.sub("/resolve/[^/]+/", "/", path), with_content=with_content)
        elif path.startswith("blobs/"):
            digests = {hashlib.sha256(c).hexdigest(): c for c in self.server.files.values()}
            content = self.server.sent_instead or digests[path.removeprefix("blobs/")]
            self._send(content, with_content=with_content)
        elif path in self.server.files:
            self._send(self.server.files[path], with_content=with_content)
        else:
            self.send_error(404)

    def _describe(self, repository):
        """The files of a repository and its licence, as the hub's API gives them."""
        files = {
            name.removeprefix(f"{repository}/"): len(content)
            for name, content in self.server.files.items()
            if name.startswith(f"{repository}/")
        }
        siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
        card = {"license": self.server.licence} if self.server.licence else {}
        about = {"id": repository, "siblings": siblings, "cardData": card, "tags": []}
        self._send(json.dumps(about).encode(), with_content=True)

    def _of_hub(self, name, *, with_content):
        """Small text files come at once; for others, the hub names the place and the digest."""
        content = self.server.files.get(name)
        headers = {"X-Repo-Commit": "c" * 40}
        if content is None:
            self.send_response(404)
            headers["X-Error-Code"] = "EntryNotFound"
        elif name.endswith(".json"):
            self._send(content, with_content=with_content, headers=headers)
            return
        else:
            digest = hashlib.sha256(content).hexdigest()
            self.send_response(302)
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            # The content comes from another host, as on the real hub.
            place = self.server.address.replace("127.0.0.1", "localhost")
            headers["Location"] = f"{place}/blobs/{digest}"
        for key, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, content, *, with_content, headers=()):
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
        if self.headers.get("If-Range", tag) != tag:
            start = 0
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for key, value in {**dict(headers), "ETag": tag}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if with_content:
            self._send_blocks(content[start:])

    def _send_blocks(self, content):
        torn_at = self.server.torn_after.pop(0) if self.server.torn_after else len(content)
        for begin in range(0, min(torn_at, len(content)), self.server.block):
            time.sleep(self.server.pause_sec)
            self.wfile.write(content[begin : min(begin + self.server.block, torn_at)])
        self.close_connection = True


class WeightServer(http.server.ThreadingHTTPServer):
    """Files by path, what was asked for, and how to answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _WeightHandler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        """Method, path and range of each request."""
        self.torn_after: list[int] = []
        """Bytes after which the next answers break off."""
        self.block, self.pause_sec = 1 << 16, 0.0
        """Size of what is sent at once, and the pause before it."""
        self.status = 0
        """Answer every GET with this error."""
        self.error_code = ""
        """Name of the error, as a hub gives it."""
        self.licence = ""
        """Licence on the cards of all repositories."""
        self.sent_instead = b""
        """Content to send for any file of the hub."""

    def handle_error(self, request, client_address):
        pass

    def ranges_of(self, path: str) -> list[str | None]:
        """The ranges that were asked for in GET requests of a path."""
        return [part for method, name, part in self.requests if (method, name) == ("GET", path)]

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve_weights() -> Iterator[WeightServer]:
    """Serve files that the test puts into `files` while the block runs."""
    server = WeightServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_as_hub(server: WeightServer, monkeypatch, cache: Path) -> None:
    """Let the hub's client, which read the environment when it was imported, use a server."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
