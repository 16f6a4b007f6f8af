"""papermill's engine and address: `papermill --engine papers papers://adab2n/train.ipynb out.ipynb`.

papermill loads this module while it is itself being imported, so whatever needs papermill is imported inside.
"""

import logging
import os
import signal
import tempfile
import threading
import time
from contextlib import suppress

from papers_nb import parameters
from papers_nb.errors import UserError, on_signals

__all__ = ["STARTER", "PapersEngine", "PapersHandler"]

GRACE = 20.0  # seconds a kernel gets to save after a signal; Slurm's default KillWait is 30
STARTER = "PAPERS_NB_STARTER"  # set by whoever holds the other end of our standard input
CODES = {"Held": 75, "UserError": 1}  # error in the notebook → exit code; 75 is EX_TEMPFAIL


def _kernel_manager(kernels: list):
    """A manager whose kernels talk over Unix sockets in a private folder, so that none races for a port."""
    from jupyter_client.manager import AsyncKernelManager

    class SocketKernelManager(AsyncKernelManager):
        """Keeps its folder as long as its kernel, and the kernel's process in `kernels`."""

        def __init__(self, **kw):
            # short: a socket path holds about 100 bytes
            self._folder = tempfile.TemporaryDirectory(prefix="k")
            super().__init__(**{**kw, "transport": "ipc", "ip": f"{self._folder.name}/s"})

        async def _async_launch_kernel(self, *args, **kw):
            await super()._async_launch_kernel(*args, **kw)
            kernels.append(self.provisioner.process)

    return SocketKernelManager


def _stop(kernels, over):
    """Tell each kernel once, as soon as it is there: a training saves, all else ends; then insist."""
    deadline, told = time.monotonic() + GRACE, set()
    while not over.is_set():
        for process in list(kernels):
            late = time.monotonic() > deadline
            if late or process.pid not in told:
                told.add(process.pid)
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
        over.wait(0.2)


def _watch_starter(forward):
    """Save and end when whoever started us is gone: then the pipe that is our standard input ends."""
    if os.environ.pop(STARTER, None) is None:  # popped, so that no kernel inherits it
        return

    def watch():
        """Read until the end, which comes only with the death of the starter."""
        while os.read(0, 4096):
            pass
        forward(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _one_line(message: str, code: int = 1):
    """An error that papermill's command line prints as one line."""
    import click

    error = click.ClickException(message)
    error.exit_code = code
    return error


def _killed(kernels):
    """An error if a kernel was killed from outside, as it is when memory runs out."""
    if any(process.poll() == -signal.SIGKILL for process in kernels):
        why = "the kernel was killed (SIGKILL, as when memory runs out)"
        return _one_line(f"{why}; the same command goes on", 128 + signal.SIGKILL)
    return None


class PapersEngine:
    """Checks the parameters before a kernel starts, and lets a run save when it is told to stop.

    Exit codes: 0 done, 1 failed, 2 a mistake in the call, 75 held by a live run, 128 + n stopped by signal n.
    """

    @classmethod
    def execute_notebook(cls, nb, kernel_name, **kw):
        """Run `nb` as papermill's default engine does; a user's mistake ends in one line."""
        from papermill.engines import NBClientEngine

        kernels, came, over, died = [], [], threading.Event(), False

        def forward(number):
            """Pass the first signal on to the kernel instead of dying with it unsaved."""
            came.append(number)
            if len(came) == 1:
                threading.Thread(target=_stop, args=(kernels, over), daemon=True).start()

        try:
            parameters.check(nb, nb.metadata.papermill["parameters"])
        except UserError as e:
            raise _one_line(str(e), 2) from None
        _watch_starter(forward)
        kw |= {"kernel_manager_class": _kernel_manager(kernels), "coalesce_streams": True}
        with on_signals(forward):
            try:
                NBClientEngine.execute_notebook(nb, kernel_name, **kw)
            except Exception:
                if not came and (killed := _killed(kernels)):
                    raise killed from None
                if not came:
                    raise
                died = True  # of the signal, while it started
            finally:
                over.set()
        errors = [o for c in nb.cells for o in c.get("outputs", []) if o.output_type == "error"]
        if came and (died or errors):
            why = errors[0].evalue if errors else "before the training began"
            raise _one_line(f"stopped by {came[0].name}; {why}; the same command goes on", 128 + came[0])
        if errors and errors[0].ename in CODES:
            raise _one_line(errors[0].evalue, CODES[errors[0].ename])
        return nb

    @classmethod
    def nb_kernel_name(cls, nb, name=None):
        """The kernel that a notebook asks for."""
        from papermill.utils import nb_kernel_name

        return nb_kernel_name(nb, name)

    @classmethod
    def nb_language(cls, nb, language=None):
        """The language that a notebook is written in."""
        from papermill.utils import nb_language

        return nb_language(nb, language)


class PapersHandler:
    """Reads `papers://adab2n/train.ipynb`, a notebook, and `papers://adab2n/split-digits.yaml`, a preset."""

    @classmethod
    def read(cls, path):
        """The text of a notebook or of a preset as YAML."""
        misread = "Passed unknown parameter"  # said of each Literal; the engine checks names
        logging.getLogger("papermill").addFilter(lambda r: not str(r.msg).startswith(misread))
        name, _, suffix = path.removeprefix("papers://").rpartition(".")
        try:
            if suffix == "yaml":
                return "".join(f"{k}: {v!r}\n" for k, v in parameters.preset(name).items())
            return parameters.notebook(name).read_text(encoding="utf-8")
        except UserError as e:
            raise _one_line(str(e), 2) from None

    @classmethod
    def pretty_path(cls, path):
        """The address itself."""
        return path

    @classmethod
    def write(cls, buf, path):
        """Refused: the package is read-only."""
        raise _one_line(f"{path} cannot be written: papers:// is read-only")
