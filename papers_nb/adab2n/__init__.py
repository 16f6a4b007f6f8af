"""AdaB²N (Lyu et al. 2023): batch normalization for continual learning, its hosts and its metrics."""

from papers_nb.adab2n.hosts import Reservoir, Ring
from papers_nb.adab2n.layer import AdaB2N, batch_tasks, convert_adab2n, end_task
from papers_nb.adab2n.metrics import acc, bwt, forgetting, fwt
from papers_nb.adab2n.weights import task_weights

__all__ = [
    "AdaB2N",
    "Reservoir",
    "Ring",
    "acc",
    "batch_tasks",
    "bwt",
    "convert_adab2n",
    "end_task",
    "forgetting",
    "fwt",
    "task_weights",
]
