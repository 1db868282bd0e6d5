"""Fetch a medium from an address: public http(s) hosts only, within limits of size and time."""

from __future__ import annotations

import ipaddress
import mimetypes
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath

import httpx

from orchestrator.errors import InputError

MAX_BYTES = 64 << 20
MAX_REDIRECTS = 5
MAX_SECONDS = 60.0  # in all: who sends a byte now and then holds nobody up
TIMEOUT = httpx.Timeout(20.0, connect=10.0)

# IPv6 whose last 32 bits are an IPv4 address, whichever that is: NAT64, and the "compatible" ones of old.
CARRIERS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))

Resolve = Callable[[str, int], Sequence[str]]


def addresses(host: str, port: int) -> list[str]:
    """The IP addresses of a host."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether an IP address, and the IPv4 address that it may carry, is one of the open internet."""
    ip = ipaddress.ip_address(address)
    carried: list[ipaddress.IPv4Address | None] = []
    if isinstance(ip, ipaddress.IPv6Address):
        carried = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        carried += [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) for block in CARRIERS if ip in block]
    return all(one.is_global and not one.is_multicast for one in (ip, *carried) if one is not None)


def fetch(
    url: str,
    folder: Path,
    name: str,
    transport: httpx.BaseTransport | None = None,
    resolve: Resolve = addresses,
) -> Path:
    """Save what `url` holds in `folder`; `name` is what messages call it. Raises InputError.

    Every hop's host is resolved here and must be public, and the request goes to that very address: a name that
    answers differently the second time leads nowhere.
    """
    address = url
    try:
        with httpx.Client(transport=transport, timeout=TIMEOUT, trust_env=False) as client:
            for _ in range(MAX_REDIRECTS + 1):
                target = httpx.URL(address)
                response = client.send(_request(client, target, name, resolve), stream=True)
                with closing(response):
                    if not response.has_redirect_location:
                        return _saved(response, target, folder, name)
                    address = str(target.join(response.headers["location"]))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InputError(f"{name}: {url} cannot be fetched: {error or type(error).__name__}") from error
    raise InputError(f"{name}: {url} redirects more than {MAX_REDIRECTS} times")


def _request(client: httpx.Client, target: httpx.URL, name: str, resolve: Resolve) -> httpx.Request:
    """A request that goes to a checked address of the target's host."""
    if target.scheme not in ("http", "https") or not target.host:
        raise InputError(f"{name}: {target} is no http(s) address")
    try:
        found = resolve(target.host, target.port or (443 if target.scheme == "https" else 80))
    except OSError as error:
        raise InputError(f"{name}: host '{target.host}' is unknown: {error.strerror or error}") from error
    private = [ip for ip in found if not is_public(ip)]
    if private or not found:
        raise InputError(f"{name}: host '{target.host}' is not public ({', '.join(private)}); give a public one")
    return client.build_request(
        "GET",
        target.copy_with(host=found[0]),
        headers={"Host": target.netloc.decode("ascii")},
        extensions={"sni_hostname": target.host},
    )


def _saved(response: httpx.Response, target: httpx.URL, folder: Path, name: str) -> Path:
    if response.status_code != httpx.codes.OK:
        raise InputError(f"{name}: {target} answered {response.status_code} {response.reason_phrase}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    path = folder / f"fetched{PurePosixPath(target.path).suffix or mimetypes.guess_extension(kind) or ''}"
    size, begun = 0, time.monotonic()
    with path.open("wb") as file:
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > MAX_BYTES:
                raise InputError(f"{name}: {target} is larger than {MAX_BYTES >> 20} MB")
            if time.monotonic() - begun > MAX_SECONDS:
                raise InputError(f"{name}: {target} sends too slowly: {size} bytes in {MAX_SECONDS:g} s")
            file.write(chunk)
    return path
