"""AdaB²N (Lyu et al. 2023): batch normalization for continual learning, its hosts and its metrics."""
from papers_nb.adab2n.layer import AdaB2N, batch_tasks, end_task, task_weights
from papers_nb.adab2n.metrics import acc, bwt, forgetting, fwt

__all__ = ["AdaB2N", "acc", "batch_tasks", "bwt", "end_task", "forgetting", "fwt", "task_weights"]
