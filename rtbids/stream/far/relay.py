"""The far end of one connection: hears the hello, hands its two descriptors to the session's keeper, and waits to be let go."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from rtbids.errors import ConnectionLost, RtbidsError, UsageFault
from rtbids.stream.far import passing, registry
from rtbids.stream.far.keeper import Keeper
from rtbids.stream.link import Descriptors, Hello, hear, refuse

MOST = 64  # keepers of one user


def relay(verbs: Mapping[str, str], linger: float, lasting: Collection[str] = ()) -> None:
    """Serve one connection on standard input and output.

    Parameters
    ----------
    verbs
        What may be asked for: name → ``module:function``, which is called with the link and the arguments.
    linger
        Seconds for which the session goes on without a connection.
    lasting
        Those of the verbs whose session goes on for ever where the hello says ``"keep": true``.
    """
    near = Descriptors(0, 1)
    hello = hear(near)
    try:
        end = _keeper(hello, verbs, linger, hello.verb in lasting)
    except RtbidsError as error:
        refuse(near, error)
        raise
    with end:
        try:
            passing.send(end, {"do": "attach", "hello": hello.content().decode()}, (0, 1))
        except OSError as error:
            raise ConnectionLost(f"the keeper of the session has gone ({error.strerror or error})") from None
        _let_go()
        with suppress(OSError):
            end.recv(1)  # until the keeper has done with this connection, or is dead


def _keeper(hello: Hello, verbs: Mapping[str, str], linger: float, may_stay: bool) -> socket.socket:
    """Return a connection to the keeper of the session, which is started where there is none."""
    if hello.verb not in verbs:
        raise UsageFault(f"{hello.verb[:40]!r} is not allowed here", f"allowed: {', '.join(verbs)} (rtbids far --verbs)")
    with registry.alone(hello.session):
        if (end := registry.connected(hello.session)) is not None:
            return end
        if registry.count() >= MOST:
            raise ConnectionLost(f"{MOST} sessions of this user are there already", "they end by themselves, or by kill")
        _start(hello, verbs[hello.verb], linger, may_stay)
        if (end := registry.connected(hello.session)) is not None:
            return end
    raise ConnectionLost("the keeper of the session did not start")


def _start(hello: Hello, function: str, linger: float, may_stay: bool) -> None:
    """Start a keeper that outlives this process and its terminal: it listens before it is there."""
    listener, path = registry.listening(hello.session)
    with listener:
        log = registry.log(path)
        try:
            _fork(lambda: Keeper(listener, path, function, linger, may_stay).run(), log)
        finally:
            os.close(log)


def _fork(run: Callable[[], int], log: int) -> None:
    if (child := os.fork()) == 0:
        code = 1
        try:
            os.setsid()
            if os.fork() == 0:
                _detach(log)
                code = run()
            else:
                code = 0
        finally:
            os._exit(code)  # nothing of the relay is done twice
    os.waitpid(child, 0)


def _detach(log: int) -> None:
    """Let go of the connection, which is passed like any later one, and of the folder; say what there is to say in the log."""
    _let_go()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir("/")


def _let_go() -> None:
    """Leave standard input and output to whom they were passed: they end when he closes them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
