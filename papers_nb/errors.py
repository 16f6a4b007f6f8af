"""Mistakes a user can mend, told in one line."""
import importlib

__all__ = ["UserError", "need"]


class UserError(ValueError):
    """A mistake the user can mend; the command line and the engine show it as one line, without a traceback."""


def need(module: str, extra: str):
    """Import `module`, or raise `UserError` naming the extra of papers_nb that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{module.split('.')[0]} is not installed: pip install 'papers_nb[{extra}]'") from None
