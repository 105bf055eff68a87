"""Room `status`: each replica about itself, by its page /status. Touches HTTP and the machine's own addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import aiohttp

from completion_relay.status.members import Member
from completion_relay.status_page import PageError, ReplicaState, read_page

_SECONDS: Final = 3.0
_MOST_BYTES: Final = 4 * 2**20
_ANY: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound
"""Bound to all of a machine's addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A member of the group, with what it says of itself."""

    member: Member
    address: str
    """HOST:PORT at which it was asked; empty: it could not be."""
    state: ReplicaState | None
    """What it said; None: nothing."""
    note: str = ""
    """Why it said nothing."""
    is_missed: bool = False
    """Whether it should have answered: it was to be found there, and nobody is."""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.member.name


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody said anything that could be read."""

    why: str
    is_refused: bool = False
    """Whether the machine answered, and nobody listens there."""


Answer: TypeAlias = list[ReplicaState] | Silent


async def ask(members: Iterable[Member]) -> tuple[list[Replica], list[ReplicaState]]:
    """Ask every member, side by side and each for a few seconds at most.

    Returns:
        The replicas; and what supervisors say of processes that are in no group.
    """
    members = tuple(members)
    addresses = {member: address_of(member) for member in members}
    wanted = sorted({address for address in addresses.values() if address})
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        answers = dict(
            zip(wanted, await asyncio.gather(*(_get(session, at) for at in wanted)), strict=True)
        )
    replicas = [
        replica_of(member, addresses[member], answers.get(addresses[member])) for member in members
    ]
    return replicas, _others(replicas, answers.values())


def address_of(member: Member) -> str:
    """Return HOST:PORT of a member's pages; empty: it does not say."""
    if member.introduction is None:
        return ""
    host, _, port = member.introduction.http.rpartition(":")
    host = host.strip("[]")
    if host in _ANY:
        host = member.client_host
    if not host or not port.isdecimal():
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def replica_of(member: Member, address: str, answer: Answer | None) -> Replica:
    """Return what is known of a member, by what came from its address."""
    if answer is None:
        note = "says nothing of itself in the group: of another version, or another program"
        return Replica(member=member, address="", state=None, note=note)
    assert member.introduction is not None  # noqa: S101 - it had an address
    is_elsewhere = _is_loopback(address) and not is_this_machine(member.client_host)
    bound_there = (
        f"its pages are for its own machine alone: {member.introduction.http} on "
        f"{member.client_host}; run status there, or set http.address"
    )
    if isinstance(answer, Silent):
        if is_elsewhere:
            return Replica(member=member, address=address, state=None, note=bound_there)
        return Replica(
            member=member,
            address=address,
            state=None,
            note=f"http://{address}/status: {answer.why}",
            is_missed=answer.is_refused or is_this_machine(member.client_host),
        )
    for state in answer:
        if state.instance == member.introduction.instance:
            return Replica(member=member, address=address, state=state)
    # A process that does not answer its supervisor is on the page without its instance.
    for state in answer:
        if not state.instance and state.relay_id == member.introduction.relay_id:
            return Replica(member=member, address=address, state=state)
    note = bound_there if is_elsewhere else f"http://{address}/status is another relay's"
    if any(state.relay_id == member.introduction.relay_id for state in answer):
        is_elsewhere = False  # of this name it is the one that is meant, tunnels included
        note = (
            f"the process at http://{address}/status was started since; this one is gone, and keeps "
            "its partitions until its session ends"
        )
    return Replica(
        member=member, address=address, state=None, note=note, is_missed=not is_elsewhere
    )


def is_this_machine(host: str) -> bool:
    """Return whether an address is one of this machine's: only then can it be bound."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    if ip.is_loopback:
        return True
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _get(session: aiohttp.ClientSession, address: str) -> Answer:
    try:
        async with session.get(f"http://{address}/status", allow_redirects=False) as response:
            if response.status == 404:
                return Silent("there is no such page: of another version")
            return read_page(await _body(response))
    except aiohttp.ClientConnectorError as error:
        refused = isinstance(error.os_error, ConnectionRefusedError)
        why = "nobody listens there" if refused else error.os_error.strerror or "cannot be reached"
        return Silent(why, is_refused=refused)
    except TimeoutError:
        return Silent(f"no answer within {_SECONDS:g} s")
    except PageError as error:
        return Silent(str(error))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Silent(type(error).__name__)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise PageError("its page is too long to be a relay's")
    return body


def _others(replicas: Iterable[Replica], answers: Iterable[Answer]) -> list[ReplicaState]:
    """Return the processes whose supervisors speak for them, and that are in the group under no name."""
    known = {replica.name for replica in replicas}
    return [
        state
        for answer in answers
        if not isinstance(answer, Silent)
        for state in answer
        if not state.instance and state.relay_id not in known
    ]
