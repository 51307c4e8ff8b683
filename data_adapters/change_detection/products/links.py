"""Read a STAC item that a user names, and decide where its links may lead; nothing is fetched but the item itself."""

import json
import re
import time
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.products.tree import read_file

LARGEST_ITEM = 4 << 20
SECONDS = 30.0
"""Time after which a server has to have sent an item."""

_API_ITEM = re.compile(r"/collections/[^/]+/items/[^/]+$")
_SCHEME = re.compile(r"(?P<scheme>[a-z][\w+.-]*):|/vsi", re.IGNORECASE)


def is_item(path: str) -> bool:
    """Whether an input is the path or the address of a STAC item."""
    name = urlsplit(path).path if "://" in path else path
    return name.lower().endswith(".json") or ("://" in path and bool(_API_ITEM.search(name)))


def read_item(item: str) -> dict[str, Any]:
    """The JSON object in a local file, or at an `http` or `https` address.

    Raises:
        BadInput: it cannot be read, is larger than LARGEST_ITEM, is no JSON object, or the server is too slow or leads
            to another host.
    """
    content = _fetch(item) if "://" in item else read_file(Path(item), LARGEST_ITEM)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(item, "STAC item", reason(error), "JSON") from error
    if not isinstance(value, dict):
        raise BadInput(item, "STAC item", type(value).__name__, "a JSON object")
    return value


def followed(href: str, key: str, item: str, config: ReadConfig) -> str:
    """The raster that an asset links to, as `opened` takes it.

    Args:
        href: The link, absolute or relative to the item.
        key: The name of the asset, for messages.
        item: Path or address of the item.
        config: `config.remote` says where links may lead.

    Raises:
        BadInput: the link leads out of the item's folder or host and `config.remote` does not allow it, or is no link
            to a file, `http`, `https` or `s3`.
    """
    is_remote = "://" in item
    target = urljoin(item, href) if is_remote else href
    match = _SCHEME.match(target)
    scheme = (match["scheme"] or "vsi").lower() if match else ""
    if scheme not in (("http", "https", "s3") if is_remote else ("", "file", "http", "https", "s3")) or "\0" in target:
        expected = "an address (http, https, s3)" + ("" if is_remote else " or a file")
        raise BadInput(item, f"asset {key}", href, expected, "download the raster and name it instead of the item")
    advice = f"to follow it, set read.remote any (now {config.remote})"
    if scheme in ("http", "https", "s3"):
        if config.remote == "item" and not (is_remote and urlsplit(target)[:2] == urlsplit(item)[:2]):
            place = urlsplit(item).netloc if is_remote else "a file in the item's folder"
            raise BadInput(item, f"asset {key}", href, place, advice)
        return target
    path = Path(item).absolute().parent / (url2pathname(urlsplit(target).path) if scheme == "file" else target)
    if config.remote == "item" and not path.resolve().is_relative_to(Path(item).absolute().parent.resolve()):
        raise BadInput(item, f"asset {key}", href, "a file in the item's folder", advice)
    return str(path)


class _SameHost(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            raise BadInput(req.full_url, "STAC item", f"a redirection to {newurl}", "an item", "name that address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(address: str) -> bytes:
    if urlsplit(address).scheme.lower() not in ("http", "https"):
        raise BadInput(address, "STAC item", urlsplit(address).scheme, "a file, http or https", "download the item")
    content, end = bytearray(), time.monotonic() + SECONDS
    try:
        with build_opener(_SameHost).open(address, timeout=SECONDS) as response:
            while part := response.read1(1 << 16):
                content += part
                if len(content) > LARGEST_ITEM or time.monotonic() > end:
                    found = f"more than {LARGEST_ITEM >> 20} MB, or {SECONDS:g} s"
                    raise BadInput(address, "STAC item", found, "a smaller item, or a faster server")
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(address, "STAC item", reason(error), "an item that can be fetched") from error
    return bytes(content)
