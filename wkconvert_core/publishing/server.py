"""The routes of a WEBKNOSSOS server that an upload needs.

As its Python library (webknossos 4.3.3) and its web page use them, in versions 14 to 16 of the server's API. Files are
sent in pieces as resumable.js does (https://github.com/23/resumable.js): a piece that is there is not sent again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from wkconvert_core.contract.errors import OptionError, PluginError, TargetError, TargetExists

VERSIONS = range(14, 17)
"""The versions of the server's API whose routes these are."""
TRIES = 5
"""How often a request is made before it is given up: servers restart, and connections break."""


class UploadGone(TargetError):
    """The server no longer knows an upload that was begun."""


@dataclass
class Server:
    """A server and the token of somebody who may upload to it. To be used as a context manager."""

    url: str
    token: str
    seconds: float = 1.0
    """Pause before the second try of a request; it doubles each time."""

    def __enter__(self) -> Server:
        try:
            import httpx
        except ImportError as error:
            raise PluginError(
                "httpx is not installed", why=str(error), fix='try pip install "wkconvert[upload]"'
            ) from error
        self.url = self.url.rstrip("/")
        self._client = httpx.Client(
            headers={"X-Auth-Token": self.token}, timeout=600
        )  # no redirects: the token is for this server
        try:
            self._find_routes()
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def check_name(self, name: str) -> None:
        """Raise TargetExists if the name cannot be given to a new dataset."""
        said = self._json("GET", f"{self._api}/datasets/{name}/isValidNewName")
        if not said["isValid"]:
            why = "; ".join(map(str, said.get("errors") or ["there is one of that name"]))
            raise TargetExists(
                f"{self.url} takes no new dataset called {name}", why=why, fix="choose another with --name"
            )

    def reserve(self, upload: str, name: str, files: int, size: int, folder: str | None) -> None:
        """Announce an upload of so many files and bytes in all."""
        body = {
            "resumableUploadInfo": {"uploadId": upload, "totalFileCount": files, "totalFileSizeInBytes": size},
            "datasetName": name,
            "organizationId": self._json("GET", f"{self._api}/user")["organization"],
            "initialTeamIds": [],
            "layersToLink": [],
            "folderId": folder,
        }
        self._request("POST", f"{self._data}/reserveUpload", json=body)

    def has(self, piece: Mapping[str, str]) -> bool:
        """Whether the server has a piece."""
        return bool(self._request("GET", self._data, params=dict(piece)).status_code == 200)

    def send(self, piece: Mapping[str, str], content: bytes) -> None:
        """Send a piece. Raises UploadGone if the upload is not known."""
        self._request("POST", self._data, data=dict(piece), files={"file": content})

    def finish(self, upload: str) -> str:
        """End an upload whose pieces are all there; returns the dataset's id."""
        return str(self._json("POST", f"{self._data}/finishUpload", params={"uploadId": upload})["datasetId"])

    def _find_routes(self) -> None:
        """Ask for the version of the API, and for the data store that takes uploads."""
        self._api = self._data = ""
        said = self._json("GET", f"{self.url}/api/buildinfo").get("httpApiVersioning", {})
        offered = range(said.get("oldestSupportedApiVersion", 0), said.get("currentApiVersion", -1) + 1)
        known = [version for version in VERSIONS if version in offered]
        if not known:
            raise TargetError(
                f"{self.url} is no WEBKNOSSOS server that wkconvert understands",
                why=f"its API is {said or 'unknown'}, and {VERSIONS.start} to {VERSIONS.stop - 1} are understood",
            )
        self._api = f"{self.url}/api/v{known[-1]}"
        stores = [store for store in self._json("GET", f"{self._api}/datastores") if store["allowsUpload"]]
        if not stores:
            raise TargetError(
                f"{self.url} takes no uploads", why="none of its data stores does", fix="ask its administrators"
            )
        version = min(known[-1], 15)  # the newest of a data store, which counts for itself
        self._data = f"{stores[0]['url'].rstrip('/')}/data/v{version}/datasets/upload/dataset"

    def _json(self, method: str, address: str, **what: Any) -> Any:
        answer = self._request(method, address, **what)
        try:
            return answer.json()
        except ValueError:
            raise TargetError(f"{address} does not answer in JSON", why="it is no WEBKNOSSOS server") from None

    def _request(self, method: str, address: str, **what: Any) -> Any:
        """Make a request, again where the server may soon answer. Raises TargetError, OptionError for a bad token."""
        import httpx

        why = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(self.seconds * 2 ** (attempt - 1))
            try:
                answer = self._client.request(method, address, **what)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise OptionError(
                    f"{self.url} is no address", why=str(error), fix="write for example https://webknossos.org"
                ) from None
            except httpx.HTTPError as error:
                why = str(error) or type(error).__name__
                continue
            if answer.status_code in (401, 403):
                raise OptionError(
                    f"{self.url} refuses the token",
                    why=f"{answer.status_code} from {address}",
                    fix="set WK_TOKEN to the one that its page `auth/token` shows",
                )
            if answer.status_code == 404 and address.startswith(self._data or " "):
                raise UploadGone(f"{self.url} does not know the upload", why=answer.text[:200])
            if answer.is_redirect:
                raise OptionError(
                    f"{address} leads elsewhere",
                    why=f"it answers {answer.status_code}, to {answer.headers['location']}",
                    fix="give the address of the server itself; the token is sent to no other",
                )
            if answer.status_code < 400:
                return cast(Any, answer)
            why = f"{answer.status_code} {answer.reason_phrase}: {answer.text[:300]}"
            if answer.status_code < 500 and answer.status_code != 429:
                break
        raise TargetError(
            f"{address} fails",
            why=why,
            fix="look whether WK_URL is the server; the same command again goes on from here",
        )
