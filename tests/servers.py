"""A web server on this machine that serves a folder, and can be told to misbehave."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
