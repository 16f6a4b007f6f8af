"""Mistakes a user can mend, told in one line, and signals a user sends, answered in order."""

import importlib
import signal
import threading
from contextlib import contextmanager

__all__ = ["SIGNALS", "Held", "UserError", "need", "on_signals"]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)  # all of them mean: save and stop


class UserError(ValueError):
    """A mistake the user can mend, shown as one line, without a traceback."""


class Held(UserError):
    """Somebody else is at it: nothing is wrong, and the same command goes on later."""


def need(module: str, extra: str):
    """Import `module`, or raise `UserError` naming the extra of papers_nb that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(
            f"{module.split('.')[0]} is not installed: pip install 'papers_nb[{extra}]'"
        ) from None


@contextmanager
def on_signals(answer):
    """Call `answer` with the `signal.Signals` at each of SIGNALS; in a side thread nothing changes."""
    main = threading.current_thread() is threading.main_thread()
    old = {s: signal.signal(s, lambda n, _: answer(signal.Signals(n))) for s in SIGNALS if main}
    try:
        yield
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
