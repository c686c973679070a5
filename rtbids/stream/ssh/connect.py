"""Connecting: a socket of our own, the host's key against what it is known by, then logging in."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rtbids.errors import ConnectionLost, InputMissing, UsageFault
from rtbids.stream.ssh import known_hosts, settings
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.channel import Channel
from rtbids.stream.ssh.keys import Ask, Secrets
from rtbids.stream.ssh.said import reason
from rtbids.stream.ssh.settings import Host, SshOptions

if TYPE_CHECKING:
    from rtbids.stream.ssh.transport import Transport

T = TypeVar("T", bound="Closes")
WAIT = 1.0  # seconds after which a read or a write that waits raises TimeoutError; what that means is the link's to say
_FAST = "aes128-gcm"  # needs a third less time than aes128-ctr with its separate check, where paramiko has it
_ANSWER = 30.0  # seconds that a server may take to check a key or a password
logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what matters of it is raised as ours


class Closes(Protocol):
    def close(self) -> Any: ...


class Connection:
    """One connection to a host, with those that it goes through; what runs over it ends with it."""

    def __init__(self, host: Host, transport: Transport, before: Connection | None = None) -> None:
        self.host = host
        self.transport = transport
        self._before = before

    def run(self, command: str, was_there: bool = False) -> Channel:
        """Start a command on the far side, written as its shell takes it; raise ConnectionLost where that is not answered."""
        import paramiko

        with closing_unless_done(self):
            try:
                channel = self.transport.open_session(timeout=self.host.timeout)
                channel.settimeout(WAIT)
                with _bounded(self, self.host.timeout):
                    channel.exec_command(command)
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise ConnectionLost(f"{self.host} starts no command ({reason(error)})") from None
            return Channel(self, channel, command, was_there)

    def close(self) -> None:
        """End it at once, from any thread; the outermost first, for what runs over it would say farewell through it."""
        import paramiko

        if self._before is not None:
            self._before.close()
        with suppress(paramiko.SSHException, EOFError, OSError):
            self.transport.close()


def connect(address: Address, options: SshOptions | None = None, ask: Ask | Secrets | None = None) -> Connection:
    """Connect and log in.

    Parameters
    ----------
    ask
        Asks for a password or passphrase in the terminal; without it only keys that need none are used.

    Raises
    ------
    ConnectionLost
        The host has no such name, refuses, does not answer or went away: trying again may help.
    StreamBroken
        Its key is unknown, or another than it is known by.
    NeedsPerson
        It takes none of the keys.
    """
    secrets = ask if isinstance(ask, Secrets) else Secrets(ask)
    return _connect(settings.host(address, options or SshOptions()), secrets, 0)


def _connect(host: Host, secrets: Secrets, depth: int) -> Connection:
    if depth > settings.MOST_JUMPS:
        raise UsageFault(f"{host.alias}: ProxyJump leads in a circle")
    before = None
    for jump in host.jumps:
        passed = settings.host(jump, SshOptions())
        before = _connect(passed, secrets, depth + 1) if before is None else _over(passed, before, secrets)
    return _over(host, before, secrets) if before is not None else _greet(host, _socket(host), secrets, None)


def _over(host: Host, before: Connection, secrets: Secrets) -> Connection:
    """Connect through another connection."""
    import paramiko

    with closing_unless_done(before):
        try:
            end = before.transport.open_channel("direct-tcpip", (host.name, host.port), ("127.0.0.1", 0), timeout=host.timeout)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise ConnectionLost(f"{host} cannot be reached from {before.host} ({reason(error)})") from None
        return _greet(host, end, secrets, before)


def _socket(host: Host) -> Any:
    """Return a socket to the host, or what talks with its ProxyCommand."""
    if host.proxy_command is not None:
        return _proxy(host)
    try:
        end = socket.create_connection((host.name, host.port), timeout=host.timeout)
    except socket.gaierror:
        raise ConnectionLost(f"there is no host {host.name}", "check its name, and this machine's network") from None
    except ConnectionRefusedError:
        raise ConnectionLost(f"{host} refuses connections on port {host.port}", "does sshd run there, on that port?") from None
    except TimeoutError:
        raise ConnectionLost(
            f"{host} did not answer on port {host.port} within {host.timeout:g} s", "a firewall, or another address?"
        ) from None
    except (OSError, UnicodeError) as error:
        raise ConnectionLost(f"{host} cannot be reached: {getattr(error, 'strerror', None) or error}") from None
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the tail of a volume waits for what came before
    return end


def _proxy(host: Host) -> Any:
    import paramiko

    assert host.proxy_command is not None
    try:
        return paramiko.ProxyCommand(host.proxy_command.removeprefix("exec "))
    except (OSError, ValueError) as error:
        raise InputMissing(f"ProxyCommand of {host.alias}: {getattr(error, 'strerror', None) or error}") from None


def _greet(host: Host, end: Any, secrets: Secrets, before: Connection | None) -> Connection:
    """Agree with the server on how to talk, check that it is the right one, log in."""
    import paramiko

    from rtbids.stream.ssh.login import log_in
    from rtbids.stream.ssh.transport import Transport

    with closing_unless_done(end):
        found = known_hosts.known(host.label, host.known_hosts)
        transport = Transport(end)
    with closing_unless_done(Connection(host, transport, before)) as connection:
        transport.banner_timeout = transport.handshake_timeout = host.timeout
        transport.auth_timeout = _ANSWER
        offered = transport.get_security_options()
        offered.key_types = known_hosts.algorithms(found, offered.key_types)
        offered.ciphers = sorted(offered.ciphers, key=lambda name: not name.startswith(_FAST))
        try:
            transport.start_client(timeout=host.timeout)
            shown = transport.get_remote_server_key()
        except paramiko.ssh_exception.IncompatiblePeer as error:
            raise UsageFault(f"{host} speaks an SSH that is too old ({reason(error)})") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise _silent(host, transport, error) from None
        key = known_hosts.Key(shown.get_name(), shown.asbytes())
        known_hosts.check(host.label, key, found, host.known_hosts, host.fingerprint)
        log_in(transport, host, secrets)
        return connection


def _silent(host: Host, transport: Transport, error: Exception) -> ConnectionLost:
    if transport.remote_version:  # it has said what it is
        return ConnectionLost(f"{host} ended the connection before its key was known ({reason(error)})")
    return ConnectionLost(
        f"no SSH server answers on port {host.port} of {host.name} within {host.timeout:g} s", "is this the right port?"
    )


@contextmanager
def closing_unless_done(end: T) -> Iterator[T]:
    """Close `end` should what follows raise."""
    try:
        yield end
    except BaseException:
        end.close()
        raise


@contextmanager
def _bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """Close a connection that is silent for so long where paramiko itself would wait for ever."""
    watch = threading.Timer(seconds, connection.close)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
