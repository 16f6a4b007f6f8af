"""Mistakes a user can mend, told in one line, and signals a user sends, answered in order."""
import importlib
import signal
import threading
from contextlib import contextmanager

__all__ = ["UserError", "need", "on_signals"]


class UserError(ValueError):
    """A mistake the user can mend; the command line and the engine show it as one line, without a traceback."""


def need(module: str, extra: str):
    """Import `module`, or raise `UserError` naming the extra of papers_nb that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{module.split('.')[0]} is not installed: pip install 'papers_nb[{extra}]'") from None


@contextmanager
def on_signals(answer):
    """Call `answer` with the `signal.Signals` at SIGTERM and SIGINT while the block runs; in a side thread nothing changes."""
    main = threading.current_thread() is threading.main_thread()
    old = {s: signal.signal(s, lambda n, _: answer(signal.Signals(n))) for s in (signal.SIGTERM, signal.SIGINT) if main}
    try:
        yield
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
