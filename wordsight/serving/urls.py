"""Photos by URL, from public addresses only: a stranger must not reach this machine's own network through it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from fastapi import HTTPException
from huggingface_hub.utils import httpx

Address: TypeAlias = IPv4Address | IPv6Address
REDIRECTS = 3
METADATA = ip_address("168.63.129.16")  # of virtual machines in Azure; a public address, but not on the internet


class RefusedAddressError(Exception):
    """A URL leads to an address that is not public."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's: not private, loopback, link-local, multicast or reserved.

    IPv6 addresses that lead to an IPv4 address are as public as that one.
    """
    if isinstance(address, IPv6Address) and address.sixtofour and not is_public(address.sixtofour):
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return (
        address.is_global
        and address != METADATA
        and not (address.is_multicast or address.is_reserved or address.is_unspecified)
    )


class PublicTransport(httpx.AsyncHTTPTransport):
    """Sends requests to the addresses that it has checked, those of redirects too.

    A name is looked up once: what is checked is what is connected to, whatever the name's server says next.

    Args:
        allowed: whether an address may be connected to.
    """

    def __init__(self, allowed: Callable[[Address], bool] = is_public) -> None:
        super().__init__(trust_env=False)
        self._allowed = allowed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answers of a host whose addresses are all allowed.

        Raises:
            RefusedAddressError: one of them is not.
        """
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(None, lookup)
        addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses or not all(map(self._allowed, addresses)):
            raise RefusedAddressError(host)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=str(addresses[0])),
            headers=request.headers,  # with the name as Host
            stream=request.stream,
            extensions=request.extensions | {"sni_hostname": host},  # and in TLS
        )
        return await super().handle_async_request(pinned)


async def fetch_photo(url: str, max_bytes: int, transport: httpx.AsyncBaseTransport, name: str = "The photo") -> bytes:
    """A photo's content from a URL.

    Args:
        url: begins with http:// or https://.
        max_bytes: most bytes of it.
        transport: see `PublicTransport`.
        name: what to call it in an error.

    Raises:
        HTTPException: 413, it is too large; 422, it can't be had, or is at an address that is not public.
    """
    content = bytearray()
    try:
        async with (
            httpx.AsyncClient(
                transport=transport, follow_redirects=True, max_redirects=REDIRECTS, trust_env=False
            ) as client,
            client.stream("GET", url) as answer,
        ):
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > max_bytes:
                    raise HTTPException(413, f"{name} is larger than {max_bytes / 10**6:g} MB. Send a smaller one.")
    except RefusedAddressError as error:
        raise HTTPException(
            422, f"{name} is not fetched: {str(error)!r} is no public address. Send the photo itself."
        ) from error
    except httpx.HTTPStatusError as error:
        raise HTTPException(422, f"{name} can't be fetched: status {error.response.status_code}.") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise HTTPException(422, f"{name} can't be fetched ({type(error).__name__}). Check the URL.") from error
    return bytes(content)
