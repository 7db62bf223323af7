"""
Listeners: endpoint strings, bound before privileges are dropped, opened when the stores are ready.

A listener is a ``Door``: its port is bound in ``privilegedStartService``; a connection that comes
before ``open`` is turned away. Peers in the configured networks must speak the PROXY protocol
(version 1 or 2) and are then known by the address that it names; nobody else may.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.tcp import makeBinding
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from fe_mail.app.proxy import ProxyFactory
from fe_mail.connection.prompt import PromptServer
from fe_mail.model.network import parse_ip

__all__ = ["Door", "Listener", "all_interfaces", "endpoint_strings"]

_LOOPBACK = "127.0.0.1"
_IPV4_ANY, _IPV6_ANY = "0.0.0.0", "::"  # noqa: S104  # a mail server is for everybody
_COLON = "\\:"  # in an endpoint string


def endpoint_strings(
    listen: Sequence[str],
    port: int,
    loopback: bool = False,
    find_interfaces: Callable[[], Sequence[str]] | None = None,
) -> tuple[str, ...]:
    """The endpoint strings of a listener: those given, else the port on IPv6 and IPv4 alike."""
    if listen:
        return tuple(listen)
    if not port:
        return ()
    if loopback:
        return (f"tcp:{port}:interface={_LOOPBACK}",)
    interfaces = (find_interfaces or all_interfaces)()
    return tuple(f"tcp:{port}:interface={each.replace(':', _COLON)}" for each in interfaces)


def all_interfaces() -> tuple[str, ...]:
    """
    What to bind for IPv6 and IPv4 on this host: one socket may take both, or IPv6 alone
    (``net.ipv6.bindv6only``), or there is no IPv6.
    """
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((_IPV6_ANY, 0))
            is_ipv6_alone = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return (_IPV4_ANY,)
    return (_IPV4_ANY, _IPV6_ANY) if is_ipv6_alone else (_IPV6_ANY,)


class Door(Factory):
    """Passes connections on to a factory, once there is one."""

    noisy = False

    def __init__(self, clock: IReactorTime, proxy_networks: Sequence[str] = ()) -> None:
        self._clock = clock
        self._networks = [ipaddress.ip_network(network) for network in proxy_networks]
        self._direct: IProtocolFactory | None = None
        self._proxied: IProtocolFactory | None = None

    def open(self, factory: IProtocolFactory, tls: IOpenSSLServerConnectionCreator | None) -> None:
        """Let connections in; with ``tls`` they begin with a handshake."""
        inner = TLSMemoryBIOFactory(tls, False, factory) if tls is not None else factory
        self._direct = inner
        self._proxied = ProxyFactory(inner, self._clock)
        inner.doStart()

    def close(self) -> None:
        """Turn new connections away; the factory is told that it is over."""
        inner, self._direct, self._proxied = self._direct, None, None
        if inner is not None:
            inner.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Choose by the peer's address."""
        factory = self._proxied if self._is_proxy(addr) else self._direct
        return factory.buildProtocol(addr) if factory is not None and addr is not None else None

    def _is_proxy(self, addr: IAddress | None) -> bool:
        host = getattr(addr, "host", "")
        if not self._networks or not host:
            return False
        ip = parse_ip(host)
        return ip is not None and any(ip in network for network in self._networks)


def _send_at_once(port: Any) -> None:
    """
    Connections inherit it from their port. We gather what belongs together before we write, so
    waiting for the peer's acknowledgement (RFC 896) only adds its 40 ms to every long answer. For
    the same reason it is written before the reactor turns.
    """
    port.transport = PromptServer
    port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class SharedPorts:
    """
    The TCP ports of a reactor, bound in such a way that other processes may bind them too
    (SO_REUSEPORT), if they do it in the same way and run as the same user. The kernel gives each
    its share of the connections.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """What the endpoint string ``tcp:`` asks of a reactor."""
        binding = makeBinding(interface, port, reuseAddress=True, reusePort=True)
        listening: IListeningPort = self._reactor.listenTCP(binding, factory, backlog, interface)
        return listening


class Listener(Service):
    """One named listener on any number of endpoints; ``is_shared`` is for those of TCP."""

    log = Logger()

    def __init__(
        self,
        reactor: object,
        name: str,
        endpoints: Sequence[str],
        door: Door,
        *,
        is_shared: bool = False,
    ) -> None:
        self.name = name
        self.door = door
        self._reactor = reactor
        self._tcp = SharedPorts(reactor) if is_shared else reactor
        self._strings = tuple(endpoints)
        self._ports: list[IListeningPort] = []
        self._listening: Deferred[list[IListeningPort]] | None = None

    def privilegedStartService(self) -> None:
        """Bind; an address that is in use is an error that stops the start."""
        self._listening = gatherResults(
            [self._endpoint(string).listen(self.door) for string in self._strings],
            consumeErrors=True,
        )
        self._listening.addCallbacks(self._bound)

    def _endpoint(self, string: str) -> IStreamServerEndpoint:
        reactor = self._tcp if string.startswith("tcp:") else self._reactor
        endpoint: IStreamServerEndpoint = serverFromString(reactor, string)
        return endpoint

    def _bound(self, ports: list[IListeningPort]) -> None:
        self._ports.extend(ports)
        for port in ports:
            if isinstance(port.getHost(), IPv4Address | IPv6Address):
                _send_at_once(port)

    def startService(self) -> None:
        """Bind, if nobody asked for it before."""
        if self._listening is None:
            self.privilegedStartService()
        Service.startService(self)

    def when_listening(self) -> "Deferred[list[IListeningPort]]":
        """Fires with the ports, or fails with CannotListenError."""
        assert self._listening is not None
        result: Deferred[list[IListeningPort]] = Deferred()
        self._listening.chainDeferred(result)
        return result

    @property
    def port(self) -> int:
        """The port number in use, 0 before binding or for a UNIX socket."""
        host = self._ports[0].getHost() if self._ports else None
        return int(getattr(host, "port", 0))

    async def stop_listening(self) -> None:
        """No new connections."""
        self.door.close()
        ports, self._ports = self._ports, []
        for port in ports:
            stopped = port.stopListening()
            if isinstance(stopped, Deferred):
                await stopped
