"""Where data lie, as tensorstore takes it: folders, zip files, and URLs of http, https, s3 and gs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from wkconvert_core import OptionError

SCHEMES = ("http", "https", "s3", "gs")
"""Of URLs that are read."""
DIRECTORIES = "cache_pool#directories"
"""Name of the cache for directories of zip files, which are kept although chunks are not."""


def kvstore_of(place: Path | str, inner: str | None = None) -> dict[str, Any]:
    """A folder, or with `inner` a folder in a zip file, as tensorstore takes it. Raises OptionError for other URLs.

    >>> kvstore_of("https://example.org/em.zarr?key=1")
    {'driver': 'http', 'base_url': 'https://example.org?key=1', 'path': '/em.zarr/'}
    >>> kvstore_of("gs://bucket/em.zip", "a")["path"]
    'a/'
    """
    if inner is None:
        return _base(place, "/")
    return {
        "driver": "zip",
        "path": f"{inner}/" if inner else "",
        "base": _base(place, ""),
        "cache_pool": DIRECTORIES,
    }


def _base(place: Path | str, end: str) -> dict[str, Any]:
    if isinstance(place, Path):
        return {"driver": "file", "path": f"{place.absolute()}{end}"}
    url = urlsplit(place)
    path = url.path.rstrip("/") + end
    if url.scheme in ("http", "https"):
        query = f"?{url.query}" if url.query else ""
        return {"driver": "http", "base_url": f"{url.scheme}://{url.netloc}{query}", "path": path}
    if url.scheme == "gs":
        return {"driver": "gcs", "bucket": url.netloc, "path": unquote(path).lstrip("/")}
    if url.scheme == "s3":
        return {"driver": "s3", "bucket": url.netloc, "path": unquote(path).lstrip("/"), **_s3()}
    raise OptionError(f"{place} is no URL that is read", fix=f"take one of {', '.join(SCHEMES)}")


def _s3() -> dict[str, Any]:
    """Endpoint, region and credentials from the environment, as the tools of AWS take them.

    Without any credentials the bucket is read without, as public ones are: tensorstore would first ask for those of a
    virtual machine, and wait.
    """
    env = os.environ
    found: dict[str, Any] = {}
    if endpoint := env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"):
        found["endpoint"] = endpoint
    if region := env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ("us-east-1" if endpoint else ""):
        found["aws_region"] = region
    files = [env.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), env.get("AWS_CONFIG_FILE", "~/.aws/config")]
    names = ("AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS", "AWS_WEB_IDENTITY_TOKEN_FILE")
    if env.get("AWS_ACCESS_KEY_ID"):
        kind = "environment"
    elif any(name.startswith(names) for name in env) or any(Path(file).expanduser().is_file() for file in files):
        kind = "default"
    else:
        kind = "anonymous"
    return {**found, "aws_credentials": {"type": kind}}
