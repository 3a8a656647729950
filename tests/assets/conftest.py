import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from probe.assets import Asset, download


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PROBE_MIRROR", raising=False)
    monkeypatch.setattr(download, "FIRST_PAUSE_S", 0.001)


class Server:
    """A web server with one file, which can be told to misbehave."""

    def __init__(self):
        self.content = b""
        self.ranges = True  # honours Range
        self.break_after = []  # bytes after which successive answers break off
        self.statuses = []  # successive answers' statuses, before it serves again
        self.asked = []  # Range header of each request
        handler = type("Handler", (_Handler,), {"owner": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http.server_port}/file.bin"

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: Server

    def do_GET(self):
        server, wanted = self.owner, self.headers.get("Range")
        server.asked.append(wanted)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start, content = 0, server.content
        if wanted and server.ranges:
            start = int(re.match(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if server.break_after:
            rest = rest[: server.break_after.pop(0)]
        self.wfile.write(rest)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def content():
    return bytes(range(256)) * 4000  # 1 MB


@pytest.fixture
def asset_of(server):
    def make(content, url="server", scheme="sha256", **more):
        digest = hashlib.new("sha256" if scheme.startswith("sha256") else "sha1", content)
        value = digest.hexdigest()[:8] if scheme == "sha256-prefix" else digest.hexdigest()
        url = server.url if url == "server" else url
        return Asset("things", "file.bin", f"{scheme}:{value}", url=url, **more)

    return make
