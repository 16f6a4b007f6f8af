"""A training that is killed in one process, and goes on from what it had saved."""

import copy

from papers_nb.core.train import Stepper


class Killed(Exception):
    """Stands for a SIGKILL inside one process."""


class Breaking(Stepper):
    """Breaks off before step `stop` and keeps what a checkpoint would hold; `saved` goes on from there."""

    def __init__(self, stop=None, saved=None):
        super().__init__(0)
        self.stop, self.saved = stop, saved
        self.metrics = list(saved["metrics"]) if saved else []

    def steps(self, total, state):
        """Skip what was done; the state after the last step is kept as `state`."""
        for name, part in state.items() if self.saved else ():
            part.load_state_dict(copy.deepcopy(self.saved["state"][name]))
        for step in super().steps(total, state):
            if self.saved and step < self.saved["step"]:
                continue
            if step == self.stop:
                self.saved = copy.deepcopy(
                    {
                        "step": step,
                        "metrics": self.metrics,
                        "state": {k: v.state_dict() for k, v in state.items()},
                    }
                )
                raise Killed
            yield step
        self.state = {k: copy.deepcopy(v.state_dict()) for k, v in state.items()}
