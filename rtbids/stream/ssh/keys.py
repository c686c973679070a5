"""The keys that there are, in the order of ``ssh``, and what the user types, which is asked for in the terminal only."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm

from rtbids.stream.ssh.settings import Host

if TYPE_CHECKING:
    import paramiko

Ask = Callable[[str], str]  # shows a prompt in the terminal and returns what is typed, unseen
ATTEMPTS = 3


class Secrets:
    """What the user has typed, kept in memory so that connecting again asks nobody; `typed` may be shared with others."""

    def __init__(self, ask: Ask | None = None, typed: dict[str, str] | None = None) -> None:
        self._ask = ask
        self._typed = {} if typed is None else typed
        self.are_spent = False  # a part of them was good for one time only

    def get(self, prompt: str) -> str | None:
        """Return what answers `prompt`; None where there is nobody to ask."""
        if prompt not in self._typed:
            if self._ask is None:
                return None
            self._typed[prompt] = self._ask(prompt)
        return self._typed[prompt]

    def knows(self, prompt: str) -> bool:
        return prompt in self._typed

    def once(self, prompt: str) -> str | None:
        """Ask for what is good for one time only, such as a code; None where there is nobody to ask."""
        self.are_spent = True
        return None if self._ask is None else self._ask(prompt)

    def close(self) -> None:
        """Ask nobody any more: what goes on connecting from now on does so beside a run."""
        self._ask = None

    @property
    def can_ask(self) -> bool:
        return self._ask is not None

    def forget(self, prompt: str) -> None:
        self._typed.pop(prompt, None)


def keys(host: Host, secrets: Secrets, tried: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """Give keys that an agent holds, then those in files; of a host whose keys are chosen just these."""
    chosen = {_public(path) for path in host.identities} - {None} if host.is_chosen else None
    from_agent: set[bytes] = set()
    for name, key in _of_agent(host):
        if chosen is None or key.asbytes() in chosen:
            from_agent.add(key.asbytes())
            yield name, key
    for path in host.identities:
        public = _public(path)
        if public is not None and public in from_agent:
            continue
        if not path.is_file():
            if host.is_chosen and not path.with_name(path.name + ".pub").is_file():
                tried.append(f"{path} (no such file)")
            continue
        if (opened := _of_file(path, secrets, tried)) is not None:
            yield str(path), opened


def _of_agent(host: Host) -> Iterator[tuple[str, paramiko.PKey]]:
    from paramiko import SSHException
    from paramiko.agent import Agent, AgentSSH

    if not host.uses_agent:
        return
    try:
        if host.agent is None:
            agent: AgentSSH = Agent()
        else:
            agent = AgentSSH()
            end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            end.connect(host.agent)
            agent._connect(end)
    except (SSHException, OSError):  # an agent that has ended is none
        return
    with closing(agent):
        for key in agent.get_keys():
            yield f"agent ({getattr(key, 'comment', '') or key.get_name()})", key


def _public(path: Path) -> bytes | None:
    """Return the public key that lies beside a private one, or is the file itself, as for a key within an agent."""
    for file in (path.with_name(path.name + ".pub"), path):
        with suppress(OSError, ValueError, IndexError):
            return base64.b64decode(file.read_text(encoding="ascii").split()[1], validate=True)
    return None


def _of_file(path: Path, secrets: Secrets, tried: list[str]) -> paramiko.PKey | None:
    """Open a private key, asking for its passphrase where it has one; None where that is not to be had."""
    prompt = f"Passphrase of {path}: "
    passphrase: str | None = None
    for attempt in range(ATTEMPTS + 1):
        try:
            return _read(path, passphrase)
        except _Locked:
            if attempt:
                secrets.forget(prompt)
            passphrase = secrets.get(prompt) if attempt < ATTEMPTS else None
            if passphrase is None:
                tried.append(f"{path} ({'wrong passphrase' if attempt else 'has a passphrase'})")
                return None
        except ValueError as error:
            tried.append(f"{path} ({error})")
            return None
    return None


class _Locked(Exception):
    """A key that is not opened by this passphrase."""


def _read(path: Path, passphrase: str | None) -> paramiko.PKey:
    import paramiko
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    load = forms.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in content else forms.load_pem_private_key
    try:
        opened = load(content, passphrase.encode() if passphrase is not None else None)
    except TypeError:
        raise _Locked from None
    except (ValueError, UnsupportedAlgorithm):
        if passphrase is not None:
            raise _Locked from None
        raise ValueError("no private key that can be read") from None
    sorts = {rsa.RSAPrivateKey: paramiko.RSAKey, ed25519.Ed25519PrivateKey: paramiko.Ed25519Key}
    sorts[ec.EllipticCurvePrivateKey] = paramiko.ECDSAKey
    sort = next((sort for base, sort in sorts.items() if isinstance(opened, base)), None)
    if sort is None:
        raise ValueError("a sort of key that is not understood; load it into an agent")
    text = opened.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption()).decode()
    key: paramiko.PKey = sort.from_private_key(io.StringIO(text))
    certificate = path.with_name(path.name + "-cert.pub")
    if certificate.is_file():
        with suppress(paramiko.SSHException, ValueError, OSError):
            key.load_certificate(str(certificate))
    return key
