"""papermill's engine and address for this project: `papermill --engine papers papers://adab2n/train.ipynb out.ipynb`.

papermill loads this module while it is itself being imported, so whatever needs papermill is imported inside."""
import logging
import os
import signal
import tempfile
import threading
import time
from contextlib import suppress

from papers_nb import runs
from papers_nb.errors import UserError, on_signals

__all__ = ["PapersEngine", "PapersHandler"]

GRACE = 30.0  # seconds a kernel gets to save after SIGTERM or SIGINT


def _kernel_manager(kernels: list):
    """A manager class whose kernels talk over Unix sockets in a private folder, so that none races for a port."""
    from jupyter_client.manager import AsyncKernelManager

    class SocketKernelManager(AsyncKernelManager):
        """Keeps its folder as long as its kernel."""
        def __init__(self, **kw):
            self._folder = tempfile.TemporaryDirectory(prefix="k")  # short: a socket path holds about 100 bytes
            super().__init__(**{**kw, "transport": "ipc", "ip": f"{self._folder.name}/s"})
            kernels.append(self)
    return SocketKernelManager


def _stop(kernels, over):
    """Tell the kernel once, as soon as it is there: a training saves and ends, anything else ends at once; then insist."""
    deadline, told = time.monotonic() + GRACE, set()
    while not over.is_set():
        for process in filter(None, (getattr(k.provisioner, "process", None) for k in kernels)):
            late = time.monotonic() > deadline
            if late or process.pid not in told:
                told.add(process.pid)
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL if late else signal.SIGTERM)
        over.wait(.2)


def _one_line(message: str, code: int = 1):
    """An error that papermill's command line prints as one line."""
    import click
    error = click.ClickException(message)
    error.exit_code = code
    return error


class PapersEngine:
    """Checks the parameters before a kernel starts, and lets a run save when it is told to stop."""

    @classmethod
    def execute_notebook(cls, nb, kernel_name, **kw):
        """Run `nb` as papermill's default engine does; a user's mistake ends in one line."""
        from papermill.engines import NBClientEngine
        kernels, came, over, died = [], [], threading.Event(), False

        def forward(number):
            """Pass the first signal on to the kernel instead of dying with it unsaved."""
            if not came:
                threading.Thread(target=_stop, args=(kernels, over), daemon=True).start()
            came.append(number)
        try:
            runs.check(nb, nb.metadata.papermill["parameters"])
        except UserError as e:
            raise _one_line(str(e)) from None
        with on_signals(forward):
            try:
                NBClientEngine.execute_notebook(nb, kernel_name, kernel_manager_class=_kernel_manager(kernels), coalesce_streams=True, **kw)
            except Exception:
                if not came:
                    raise
                died = True  # of the signal, while it started
            finally:
                over.set()
        errors = [o for c in nb.cells for o in c.get("outputs", []) if o.output_type == "error"]
        if came and (died or errors):
            why = errors[0].evalue if errors else "before the training began"
            raise _one_line(f"stopped by {came[0].name}; {why}; the same command goes on", 128 + came[0])
        if errors and errors[0].ename == "UserError":
            raise _one_line(errors[0].evalue)
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
    """Reads `papers://adab2n/train.ipynb`, a packaged notebook, and `papers://adab2n/split-digits.yaml`, a preset."""

    @classmethod
    def read(cls, path):
        """The text of a notebook or of a preset as YAML."""
        logging.getLogger("papermill").addFilter(lambda r: "Passed unknown parameter" not in str(r.msg))  # it misses Literal; the engine checks names
        name, _, suffix = path.removeprefix("papers://").rpartition(".")
        try:
            if suffix == "yaml":
                return "".join(f"{k}: {v!r}\n" for k, v in runs.preset(name).items())
            return runs.notebook(name).read_text(encoding="utf-8")
        except UserError as e:
            raise _one_line(str(e)) from None

    @classmethod
    def pretty_path(cls, path):
        """The address itself."""
        return path

    @classmethod
    def write(cls, buf, path):
        """Refused: the package is read-only."""
        raise _one_line(f"{path} cannot be written: papers:// is read-only")
