"""Servers on this machine that hand out a folder, as the web and S3 do, and fail as they are told to."""

import functools
import http.server
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Handler(http.server.SimpleHTTPRequestHandler):
    """A file server that knows ranges, keeps connections, and counts what is asked for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        with server.lock:
            server.seen.append((self.path, self.headers.get("Range")))
            number = len(server.seen)
        fault = server.fault(self.path, number) if server.fault else None
        if isinstance(fault, int):
            return self.answer(fault, b"<html>no</html>")
        if isinstance(fault, float):
            time.sleep(fault)
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.answer(404, b"<html>not found</html>")
        content, status, more = path.read_bytes(), 200, {}
        if match := re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", self.headers.get("Range", "")):
            size = len(content)
            first = int(match[1]) if match[1] else size - int(match[2])
            last = int(match[2]) if match[1] and match[2] else size - 1
            content, status = content[first : last + 1], 206
            more = {"Content-Range": f"bytes {first}-{first + len(content) - 1}/{size}"}
        return self.answer(status, content, more, cut=fault == "cut")

    def translate_path(self, path):
        """A folder of buckets is asked for as Google's storage is: `/storage/v1/b/BUCKET/o/KEY`."""
        match = re.fullmatch("/storage/v1/b/([^/]+)/o/(.+)", urlsplit(path).path)
        return str(Path(self.directory, match[1], unquote(match[2]))) if match else super().translate_path(path)

    def answer(self, status, content, more=None, *, cut=False):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True
            self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that gave up


@contextmanager
def served(folder):
    """A server of a folder: `url`, `seen` (what was asked for), `fault(path, number)` (what to do instead)."""
    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.lock, server.seen, server.fault = threading.Lock(), [], None
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def uploaded(folder, client, bucket, *, public):
    """Put a folder into a bucket of S3."""
    client.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            access = {"ACL": "public-read"} if public else {}
            client.put_object(Bucket=bucket, Key=str(path.relative_to(folder)), Body=path.read_bytes(), **access)
