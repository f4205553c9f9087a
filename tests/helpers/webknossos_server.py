"""A double of a WEBKNOSSOS server that takes uploads, by the routes that its Python library uses."""

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Taking:
    """What the server was told and has got, and what it shall do wrong."""

    url: str = ""
    token: str = "token"
    versions: tuple[int, int] = (13, 16)
    told: dict = field(default_factory=dict)
    """What was announced, by the upload's id."""
    pieces: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """By file name and number."""
    posted: int = 0
    """Pieces that came, again or not."""
    names: set[str] = field(default_factory=lambda: {"taken"})
    """Of datasets that are there."""
    fail: dict[str, list[int]] = field(default_factory=dict)
    """The codes of the next answers to requests whose address ends like this; 0 breaks the connection."""
    stop_after: int | None = None
    """After so many pieces, every one is refused."""

    def files(self):
        """The content of each file."""
        names = sorted({name for name, _ in self.pieces})
        return {name: b"".join(self.pieces[key] for key in sorted(self.pieces) if key[0] == name) for name in names}


@contextmanager
def server(**wrong):
    """Takes datasets; at the end of one, as the server does, it refuses if it has not got all it was told."""
    taking = Taking(**wrong)

    class Answers(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # an answer is two writes, of which the second would wait 40 ms
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            return

        def answer(self, what, code=200):
            content = b"" if code == 204 else json.dumps(what).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if code == 301:
                self.send_header("Location", "https://elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def is_wrong(self, path):
            """Whether this request was to fail, and did; or came without the token."""
            for end, codes in taking.fail.items():
                if path.endswith(end) and codes:
                    if (code := codes.pop(0)) == 0:
                        self.close_connection = True
                        self.connection.shutdown(socket.SHUT_RDWR)
                    else:
                        self.answer({"messages": [{"error": "as the test wanted"}]}, code)
                    return True
            if "buildinfo" not in path and self.headers.get("X-Auth-Token") != taking.token:
                self.answer({"messages": []}, 401)
                return True
            return False

        def do_GET(self):
            address = urlsplit(self.path)
            if self.is_wrong(address.path):
                return
            if "buildinfo" in self.path:
                oldest, newest = taking.versions
                self.answer({"httpApiVersioning": {"currentApiVersion": newest, "oldestSupportedApiVersion": oldest}})
            elif "isValidNewName" in self.path:
                name = address.path.split("/")[-2]
                self.answer({"isValid": name not in taking.names, "errors": None})
            elif address.path.endswith("/datastores"):
                stores = [{"name": "far", "url": "http://localhost:1", "allowsUpload": False}]
                self.answer([*stores, {"name": "here", "url": taking.url, "allowsUpload": True}])
            elif "/upload/dataset" in address.path:
                asked = {key: values[0] for key, values in parse_qs(address.query).items()}
                upload, _, name = asked["resumableIdentifier"].partition("/")
                has = (name, int(asked["resumableChunkNumber"])) in taking.pieces and upload in taking.told
                self.answer({}, 200 if has else 204)
            else:
                texts = dict.fromkeys(("id", "email", "organization", "firstName", "lastName"), "a")
                flags = dict.fromkeys(("isActive", "isAdmin", "isDatasetManager"), True)
                self.answer({**texts, **flags, "created": 1, "lastActivity": 1, "teams": [], "experiences": {}})

        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"] or 0))
            address = urlsplit(self.path)
            if self.is_wrong(address.path):
                return
            if address.path.endswith("reserveUpload"):
                told = json.loads(content)
                taking.told[told["resumableUploadInfo"]["uploadId"]] = told
                self.answer({})
            elif address.path.endswith("finishUpload"):
                told = taking.told[parse_qs(address.query)["uploadId"][0]]["resumableUploadInfo"]
                complete = len(taking.files()) == told["totalFileCount"]
                complete &= sum(map(len, taking.pieces.values())) == told["totalFileSizeInBytes"]
                self.answer({"datasetId": "taken"} if complete else {"messages": []}, 200 if complete else 400)
            else:
                kind = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
                parts = message_from_bytes(kind + content, policy=HTTP).iter_parts()
                fields = {part.get_param("name", header="content-disposition"): part for part in parts}
                texts = {name: part.get_content().strip() for name, part in fields.items() if name != "file"}
                upload, _, name = texts["resumableIdentifier"].partition("/")
                if upload not in taking.told:
                    self.answer({"messages": []}, 404)
                    return
                taking.posted += 1
                if taking.stop_after is not None and taking.posted > taking.stop_after:
                    self.answer({"messages": []}, 400)
                    return
                assert name == texts["resumableRelativePath"]
                piece = fields["file"].get_payload(decode=True)
                assert len(piece) == int(texts["resumableCurrentChunkSize"])
                taking.pieces[name, int(texts["resumableChunkNumber"])] = piece
                self.answer({})

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        listening.daemon_threads = True
        listening.handle_error = lambda *broken: None  # connections that the test or the client broke
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        taking.url = f"http://127.0.0.1:{listening.server_port}"
        yield taking
        listening.shutdown()
