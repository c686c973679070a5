"""Logging in: the keys that there are, in the order of ``ssh``, then a password, which is asked for in the terminal only."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm

from rtbids.errors import ConnectionLost, NeedsPerson
from rtbids.stream.ssh.settings import Host

if TYPE_CHECKING:
    import paramiko

Ask = Callable[[str], str]  # shows a prompt in the terminal and returns what is typed, unseen
_ATTEMPTS = 3
_INTERACTIVE = "keyboard-interactive"


class Secrets:
    """What the user has typed, kept in memory so that connecting again asks nobody."""

    def __init__(self, ask: Ask | None = None) -> None:
        self._ask = ask
        self._typed: dict[str, str] = {}

    def get(self, prompt: str) -> str | None:
        """Return what answers `prompt`; None where there is nobody to ask."""
        if prompt not in self._typed:
            if self._ask is None:
                return None
            self._typed[prompt] = self._ask(prompt)
        return self._typed[prompt]

    @property
    def can_ask(self) -> bool:
        return self._ask is not None

    def forget(self, prompt: str) -> None:
        self._typed.pop(prompt, None)


def log_in(transport: paramiko.Transport, host: Host, secrets: Secrets) -> None:
    """Log in; raise NeedsPerson, saying what was tried, where the server takes nothing of it."""
    import paramiko

    tried: list[str] = []
    allowed = _methods(transport, host)
    if allowed is None:
        return
    if "publickey" in allowed:
        for name, key in _keys(host, secrets, tried):
            try:
                left = transport.auth_publickey(host.user, key)
            except paramiko.BadAuthenticationType as error:
                allowed = tuple(error.allowed_types)
                break
            except paramiko.AuthenticationException:
                tried.append(name)
                _demand_alive(transport, host, tried)
                continue
            except (paramiko.SSHException, OSError) as error:
                raise _lost(host, error) from None
            if not left:
                return
            allowed = tuple(left)  # the key is right and one thing more is asked for
            break
    if _by_password(transport, host, allowed, secrets, tried):
        return
    raise _refused(host, tried, allowed, secrets)


def _methods(transport: paramiko.Transport, host: Host) -> tuple[str, ...] | None:
    """Return how the server lets one log in; None where it asks for nothing."""
    import paramiko

    try:
        transport.auth_none(host.user)
    except paramiko.BadAuthenticationType as error:
        return tuple(error.allowed_types)
    except paramiko.AuthenticationException:
        return ("publickey",)
    except (paramiko.SSHException, OSError) as error:
        raise _lost(host, error) from None
    return None


def _keys(host: Host, secrets: Secrets, tried: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
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
    for attempt in range(_ATTEMPTS + 1):
        try:
            return _read(path, passphrase)
        except _Locked:
            if attempt:
                secrets.forget(prompt)
            passphrase = secrets.get(prompt) if attempt < _ATTEMPTS else None
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


def _by_password(
    transport: paramiko.Transport, host: Host, allowed: tuple[str, ...], secrets: Secrets, tried: list[str]
) -> bool:
    """Log in by what the user types, where the server takes that and there is somebody to type it."""
    import paramiko

    prompt = f"Password of {host.user}@{host.alias}: "

    def answer(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        return [secrets.get(prompt if "assword" in text else f"{host.alias}: {text}") or "" for text, _ in prompts]

    for _ in range(_ATTEMPTS):
        if not {"password", _INTERACTIVE} & set(allowed) or (password := secrets.get(prompt)) is None:
            return False
        try:
            if "password" in allowed:
                left = transport.auth_password(host.user, password, fallback=False)
            else:
                left = transport.auth_interactive(host.user, answer)
        except paramiko.BadAuthenticationType:
            return False
        except paramiko.AuthenticationException:
            secrets.forget(prompt)
            tried.append("a password")
            _demand_alive(transport, host, tried)
            continue
        except (paramiko.SSHException, OSError) as error:
            raise _lost(host, error) from None
        return not left
    return False


def _demand_alive(transport: paramiko.Transport, host: Host, tried: list[str]) -> None:
    """Raise where the server has had enough (MaxAuthTries)."""
    if not transport.is_active():
        raise NeedsPerson(
            f"{host} closed the connection after {_listed(tried)} for user {host.user}", "name the right key by --identity"
        )


def _lost(host: Host, error: Exception) -> ConnectionLost:
    return ConnectionLost(f"{host}: the connection was lost while logging in ({str(error) or type(error).__name__})")


def _refused(host: Host, tried: list[str], allowed: tuple[str, ...], secrets: Secrets) -> NeedsPerson:
    takes_password = bool({"password", _INTERACTIVE} & set(allowed))
    hint = f"put the public key there: {host.login.replace('ssh', 'ssh-copy-id', 1)}; or name another by --identity"
    if takes_password and not secrets.can_ask:
        hint = f"a password would do, and there is no terminal to ask for it in; {hint}"
    return NeedsPerson(f"{host} lets user {host.user} in by none of: {_listed(tried)}", hint)


def _listed(tried: list[str]) -> str:
    return ", ".join(dict.fromkeys(tried)) or "no key (there is none)"
