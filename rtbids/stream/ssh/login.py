"""Logging in: by keys, then by a password or by answers, as the server wants them, one or several of these."""

from __future__ import annotations

from collections.abc import Callable

import paramiko

from rtbids.errors import ConnectionLost, NeedsPerson, RtbidsError
from rtbids.stream.ssh.keys import ATTEMPTS, Secrets, keys
from rtbids.stream.ssh.said import reason
from rtbids.stream.ssh.settings import Host
from rtbids.stream.ssh.transport import Transport

_INTERACTIVE = "keyboard-interactive"
_PASSING = (7, 11, 12)  # of RFC 4253, 11.1: not available, by the application, too many connections


def log_in(transport: Transport, host: Host, secrets: Secrets) -> None:
    """Log in; raise NeedsPerson, saying what was tried, where the server takes nothing of it, ConnectionLost where it went."""
    login = Login(transport, host, secrets)
    login.run()
    if not login.is_in:
        raise login.refused()


class Login:
    """How far one has come with a server. `allowed`: what it takes next."""

    def __init__(self, transport: Transport, host: Host, secrets: Secrets) -> None:
        self._transport = transport
        self._host = host
        self._secrets = secrets
        self._tried: list[str] = []
        self._prompt = f"Password of {host.user}@{host.alias}: "
        self.allowed: tuple[str, ...] = ("publickey",)
        self.is_in = False

    def run(self) -> None:
        """Give the server what it wants, one thing after another."""
        self._attempt(lambda: self._transport.auth_none(self._host.user))
        methods = {"publickey": self._by_key, "password": self._by_password, _INTERACTIVE: self._by_answers}
        while not self.is_in:
            taken = next((name for name, method in methods.items() if name in self.allowed and method()), None)
            if taken is None:
                return
            del methods[taken]  # it is right, and the server wants another as well

    def _by_key(self) -> bool:
        for name, key in keys(self._host, self._secrets, self._tried):
            if self._attempt(lambda key=key: self._transport.auth_publickey(self._host.user, key)):  # type: ignore[misc]
                return True
            if "publickey" not in self.allowed:
                return False
            self._tried.append(name)
        return False

    def _by_password(self) -> bool:
        for _ in range(ATTEMPTS):
            if (password := self._secrets.get(self._prompt)) is None:
                return False
            if self._attempt(
                lambda word=password: self._transport.auth_password(self._host.user, word, fallback=False)  # type: ignore[misc]
            ):
                return True
            if "password" not in self.allowed:
                return False
            self._forget("a password")
        return False

    def _by_answers(self) -> bool:
        for _ in range(ATTEMPTS):
            if not self._can_answer():
                return False
            if self._attempt(lambda: self._transport.auth_interactive(self._host.user, self._answer)):
                return True
            if _INTERACTIVE not in self.allowed:
                return False
            self._forget("answers")
        return False

    def _can_answer(self) -> bool:
        """Say whether there is somebody to answer, or all was a password which he has typed already."""
        return self._secrets.can_ask or (self._secrets.knows(self._prompt) and not self._secrets.are_spent)

    def _answer(self, title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        return [self._answer_to(text) or "" for text, _ in prompts]

    def _answer_to(self, text: str) -> str | None:
        if "assword" in text:
            return self._secrets.get(self._prompt)
        return self._secrets.once(f"{self._host.alias}: {reason(text)}")

    def _forget(self, name: str) -> None:
        self._secrets.forget(self._prompt)
        self._tried.append(name)

    def _attempt(self, ask: Callable[[], list[str]]) -> bool:
        """Ask the server once; say whether it takes that as what it wants or as a part of it."""
        try:
            left = ask()
        except paramiko.BadAuthenticationType as error:
            self.allowed = tuple(error.allowed_types)
            return False
        except paramiko.AuthenticationException as error:
            if not self._transport.is_active() or "timeout" in str(error):  # paramiko says no more of it
                raise self._left(error) from None
            return False
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._left(error) from None
        self.allowed, self.is_in = tuple(left), not left
        return True

    def _left(self, error: Exception) -> RtbidsError:
        """Return why the server is not there any more: only what it says itself is a reason to ask a person."""
        farewell = self._transport.farewell
        if farewell is None or farewell[0] in _PASSING:
            why = farewell[1] if farewell else reason(error)
            return ConnectionLost(f"{self._host}: the connection was lost while logging in ({why})")
        return NeedsPerson(
            f"{self._host} closed the connection for user {self._host.user} ({farewell[1]}), after {self._listed}",
            "name the right key by --identity",
        )

    def refused(self) -> NeedsPerson:
        """Return why nobody is let in."""
        takes_typed = bool({"password", _INTERACTIVE} & set(self.allowed))
        hint = f"put the public key there: {self._host.login.replace('ssh', 'ssh-copy-id', 1)}; or name another by --identity"
        if takes_typed and not self._secrets.can_ask:
            what = "a code is wanted each time" if self._secrets.are_spent else "a password would do"
            hint = f"{what}, and there is no terminal to ask for it in; {hint}"
        return NeedsPerson(f"{self._host} lets user {self._host.user} in by none of: {self._listed}", hint)

    @property
    def _listed(self) -> str:
        return ", ".join(dict.fromkeys(self._tried)) or "no key (there is none)"
