"""KRR-ST (Lee et al. 2024): a data set without labels, distilled into a few images and target vectors."""

from papers_nb.krrst.bias import richardson
from papers_nb.krrst.data import Source, Targets, Views
from papers_nb.krrst.distill import distill
from papers_nb.krrst.krrst import DistilledSet, Distiller, ModelPool, initial_set
from papers_nb.krrst.metrics import linear_probe, target_error
from papers_nb.krrst.nets import alexnet, convnet, mobilenet, resnet, vgg11
from papers_nb.krrst.patches import PatchEncoder
from papers_nb.krrst.ridge import krr_loss
from papers_nb.krrst.selfsup import BYOL, BarlowTwins, SimCLR
from papers_nb.krrst.tuning import finetune, pretrain

__all__ = [
    "BYOL",
    "BarlowTwins",
    "DistilledSet",
    "Distiller",
    "ModelPool",
    "PatchEncoder",
    "SimCLR",
    "Source",
    "Targets",
    "Views",
    "alexnet",
    "convnet",
    "distill",
    "finetune",
    "initial_set",
    "krr_loss",
    "linear_probe",
    "mobilenet",
    "pretrain",
    "resnet",
    "richardson",
    "target_error",
    "vgg11",
]
