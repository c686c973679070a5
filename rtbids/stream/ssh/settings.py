"""How a host is reached: what the address and the options say, then the user's ``~/.ssh/config``, then that of the machine."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtbids.errors import UsageFault
from rtbids.stream.ssh.address import SCHEME, Address

PORT = 22
TIMEOUT = 10.0  # seconds to connect, where ConnectTimeout says nothing
# Found on its own where ~/.local/bin, in which pip puts it, is only added for logins; quoted so that any shell takes it.
FAR_COMMAND = """sh -c 'PATH="$PATH:$HOME/.local/bin"; exec rtbids far'"""
CONFIGS = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
MOST_JUMPS = 8
_TOKEN = re.compile(r"%(.)")
Lookup = Mapping[str, Any]


@dataclass(frozen=True)
class SshOptions:
    """What options of a command say of all its SSH connections."""

    identity: Path | None = None
    known_hosts: Path | None = None
    fingerprint: str | None = None
    remote_command: str = FAR_COMMAND


@dataclass(frozen=True)
class Host:
    """One host and how to log in there. `alias` is what the user calls it, `jumps` are passed through in their order."""

    alias: str
    name: str
    port: int
    user: str
    identities: tuple[Path, ...] = ()
    is_chosen: bool = False  # these identities and no others, neither defaults nor what else an agent holds
    uses_agent: bool = True
    agent: str | None = None  # the socket of an agent other than SSH_AUTH_SOCK
    known_hosts: tuple[Path, ...] = ()
    known_as: str | None = None  # HostKeyAlias
    fingerprint: str | None = None
    timeout: float = TIMEOUT
    proxy_command: str | None = None
    jumps: tuple[Address, ...] = ()

    @property
    def label(self) -> str:
        """Return the name that stands in known_hosts."""
        if self.known_as:
            return self.known_as
        return self.name.lower() if self.port == PORT else f"[{self.name.lower()}]:{self.port}"

    @property
    def login(self) -> str:
        """Return the command that logs in there."""
        return f"ssh {f'-p {self.port} ' if self.port != PORT else ''}{self.user}@{self.alias}"

    def __str__(self) -> str:
        through = f" ({self.name})" if self.name != self.alias else ""
        return f"{self.alias}{through}:{self.port}" if self.port != PORT else f"{self.alias}{through}"


def host(address: Address, options: SshOptions, configs: Iterable[Path] = CONFIGS) -> Host:
    """Return how `address` is reached; raise UsageFault where a configuration cannot be read."""
    said = _lookup(address, tuple(configs))
    identities = (options.identity,) if options.identity else tuple(_paths(said.get("identityfile", ())))
    name = said.get("hostname", address.host)
    found = Host(
        alias=address.host,
        name=name,
        port=address.port or _whole(said, "port", PORT),
        user=address.user or said.get("user") or _own_name(address),
        identities=identities or tuple(Path.home() / ".ssh" / key for key in KEYS),
        is_chosen=options.identity is not None or said.get("identitiesonly", "no").lower() == "yes",
        uses_agent=said.get("identityagent", "").lower() != "none",
        agent=_agent(said.get("identityagent", "")),
        known_hosts=(options.known_hosts,) if options.known_hosts else _known_hosts(said),
        known_as=said.get("hostkeyalias"),
        fingerprint=options.fingerprint,
        timeout=float(_whole(said, "connecttimeout", 0) or TIMEOUT),
    )
    return replace(found, **_proxy(said, found))


def _lookup(address: Address, configs: tuple[Path, ...]) -> Lookup:
    from paramiko import SSHConfig
    from paramiko.ssh_exception import ConfigParseError, CouldNotCanonicalize

    found: dict[str, Any] = {}
    for path in (path.expanduser() for path in configs):
        if not path.is_file():
            continue
        try:
            settings = SSHConfig.from_text(_with_includes(path))
            settings._config.insert(0, {"host": ["*"], "config": _said(address)})  # the first that is said of anything holds
            said = dict(settings.lookup(address.host))
        except (ConfigParseError, CouldNotCanonicalize, OSError, UnicodeDecodeError, KeyError, ValueError) as error:
            raise UsageFault(f"{path} cannot be read: {error}") from None
        except ImportError:
            raise UsageFault(f"{path}: Match exec is not understood here", "name the host by another Host block") from None
        if said.get("hostname") == address.host:  # paramiko's own addition
            said.pop("hostname")
        found = {**said, **found}
    return found


def _said(address: Address) -> dict[str, str]:
    """Return what the address itself says, as settings; never as their text, in which a name could be more than a name."""
    said = {"port": str(address.port) if address.port else None, "user": address.user}
    return {name: value for name, value in said.items() if value is not None}


def _with_includes(path: Path, depth: int = 0) -> str:
    """Return a configuration with what it includes, which paramiko passes over."""
    if depth > 16:
        raise UsageFault(f"{path}: Include within Include without end")
    lines, block = [], "Host *"
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() in ("host", "match"):
            block = line
        if word.lower() != "include":
            lines.append(line)
            continue
        for pattern in shlex.split(rest):
            place = Path(pattern).expanduser()
            base = place if place.is_absolute() else path.parent / place
            files = sorted(Path(base.anchor).glob(str(base.relative_to(base.anchor))))
            lines += [_with_includes(file, depth + 1) for file in files if file.is_file()]
        lines.append(block)  # which goes on where the included file ends
    return "\n".join(lines)


def _own_name(address: Address) -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for this user
        raise UsageFault(f"{address}: who is to log in is not said", f"name the user: ssh://USER@{address.host}") from None


def _paths(texts: Iterable[str]) -> list[Path]:
    return [Path(text).expanduser() for text in texts if text.lower() != "none"]


def _known_hosts(said: Lookup) -> tuple[Path, ...]:
    own, machine = said.get("userknownhostsfile"), said.get("globalknownhostsfile")
    texts = (shlex.split(own) if own else list(KNOWN_HOSTS[:2])) + (shlex.split(machine) if machine else list(KNOWN_HOSTS[2:]))
    return tuple(_paths(text.replace("%d", str(Path.home())) for text in texts))


def _agent(text: str) -> str | None:
    if text.lower() in ("", "none", "ssh_auth_sock"):
        return None
    return str(Path(text).expanduser())


def _proxy(said: Lookup, host: Host) -> dict[str, Any]:
    """Return what leads to a host that is not reached directly; ProxyJump goes before ProxyCommand."""
    jump, command = said.get("proxyjump") or "none", said.get("proxycommand") or "none"
    if jump.lower() != "none":
        jumps = tuple(_jump(part) for part in jump.split(","))
        if len(jumps) > MOST_JUMPS:
            raise UsageFault(f"{host.alias}: ProxyJump over more than {MOST_JUMPS} hosts")
        return {"jumps": jumps}
    if command.lower() == "none":
        return {}
    tokens = {"n": host.alias, "%": "%"}  # the others are paramiko's work
    return {"proxy_command": _TOKEN.sub(lambda found: tokens.get(found[1], found[0]), command)}


def _jump(text: str) -> Address:
    text = text.strip()
    return Address.parse(text if text.startswith(SCHEME) else f"{SCHEME}{text}")


def _whole(said: Lookup, word: str, default: int) -> int:
    text = str(said.get(word, default))
    if text.lower() == "none":
        return default
    if not text.isdecimal() or int(text) > 65535:
        raise UsageFault(f"~/.ssh/config: expected a number for {word}, found {text!r}")
    return int(text)
