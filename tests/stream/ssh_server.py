"""An SSH server within the test's process: passwords, questions, several host keys, commands of the test's own making."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko

ECDSA = paramiko.ECDSAKey.generate()
RSA = paramiko.RSAKey.generate(2048)


class Server(paramiko.ServerInterface):
    """What one connection may do. `commands` are those that were asked for."""

    def __init__(self, password: str | None, methods: str, key: paramiko.PKey | None) -> None:
        self.password, self.methods, self.key = password, methods, key
        self.prompts: tuple[tuple[str, str], ...] = (("Password: ", password or ""),)  # and what is right
        self.commands: list[str] = []
        self.asked = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        return self.methods

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if key != self.key:
            return paramiko.AUTH_FAILED
        return paramiko.AUTH_PARTIALLY_SUCCESSFUL if self.password else paramiko.AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if password == self.password else paramiko.AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.InteractiveQuery:
        return paramiko.InteractiveQuery("", "", *[(text, False) for text, _ in self.prompts])

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        is_right = responses == [right for _, right in self.prompts]
        return paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.commands.append(command.decode())
        self.asked.set()
        return True


class Running:
    """A server that listens. Its port, and what became of each connection."""

    def __init__(self, server: Server, host_keys: tuple[paramiko.PKey, ...]) -> None:
        self.server = server
        self._host_keys = host_keys
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.label = f"[127.0.0.1]:{self.port}"
        self.transports: list[paramiko.Transport] = []
        self.channels: list[paramiko.Channel] = []  # held, or they close themselves
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                transport = paramiko.Transport(self._listener.accept()[0])
                self.transports.append(transport)
                for key in self._host_keys:
                    transport.add_server_key(key)
                transport.start_server(event=threading.Event(), server=self.server)

    def channel(self) -> paramiko.Channel:
        """Return the channel that a command was asked for on."""
        assert self.server.asked.wait(20)
        channel = self.transports[-1].accept(20)
        assert channel is not None
        self.channels.append(channel)
        return channel

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self.transports:
            transport.close()


@contextmanager
def running(
    *host_keys: paramiko.PKey, password: str | None = None, methods: str = "publickey", key: paramiko.PKey | None = None
) -> Iterator[Running]:
    there = Running(Server(password, methods, key), host_keys or (ECDSA,))
    try:
        yield there
    finally:
        there.close()
