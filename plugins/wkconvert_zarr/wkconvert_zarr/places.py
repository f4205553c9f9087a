"""Where data lie, as tensorstore takes it: folders, zip files, and URLs of http, https, s3 and gs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from wkconvert_core import OptionError

_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
"""Where Linux says who made the machine."""
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
    """Endpoint, region and credentials from the environment, as the tools of AWS take them."""
    env = os.environ
    found: dict[str, Any] = {"aws_credentials": _credentials()}
    if endpoint := env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"):
        found["endpoint"] = endpoint
    if region := env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ("us-east-1" if endpoint else ""):
        found["aws_region"] = region
    return found


def _is_machine_of_amazon() -> bool:
    """Whether this is a machine of EC2, which may have a role of its own."""
    try:
        return _VENDOR.read_text() == "Amazon EC2\n"
    except OSError:
        return False


def _credentials() -> dict[str, str]:
    """Where tensorstore finds the credentials; without any, the bucket is read as public ones are.

    Its own search, `default`, asks for those of a machine's role last, and waits where there is no such machine; it
    needs a profile's name.
    """
    from configparser import ConfigParser, Error  # each start of wkconvert would wait for it

    env = os.environ
    if env.get("AWS_ACCESS_KEY_ID"):
        return {"type": "environment"}
    profile = env.get("AWS_PROFILE", "default")
    named = {"credentials_file": "AWS_SHARED_CREDENTIALS_FILE", "config_file": "AWS_CONFIG_FILE"}
    usual = {"credentials_file": "~/.aws/credentials", "config_file": "~/.aws/config"}
    files = {key: str(Path(env.get(name, usual[key])).expanduser()) for key, name in named.items()}
    parser = ConfigParser(interpolation=None, strict=False)
    with suppress(Error):  # then nothing is found, and the server says that the place may not be read
        parser.read(files.values())
    if any(parser.has_option(section, "aws_access_key_id") for section in (profile, f"profile {profile}")):
        there = {key: file if Path(file).is_file() else os.devnull for key, file in files.items()}
        return {"type": "profile", "profile": profile, **there}
    roles = ("AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS", "AWS_WEB_IDENTITY_TOKEN_FILE")
    if parser.sections() or any(name.startswith(roles) for name in env) or _is_machine_of_amazon():
        return {"type": "default", "profile": profile}
    return {"type": "anonymous"}
