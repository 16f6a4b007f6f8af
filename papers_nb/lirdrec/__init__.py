"""LIRDRec (Zhou et al. 2025): recommendation from multimodal features, and what BPR does to item identities."""
from papers_nb.lirdrec.baselines import EASE, VBPR, FreeRows, Popularity
from papers_nb.lirdrec.data import Interactions
from papers_nb.lirdrec.displacement import displacement_law, feature_share
from papers_nb.lirdrec.lirdrec import LIRDRecNet

__all__ = ["EASE", "VBPR", "FreeRows", "Interactions", "LIRDRecNet", "Popularity", "displacement_law", "feature_share"]
