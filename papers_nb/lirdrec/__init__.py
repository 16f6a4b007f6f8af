"""LIRDRec (Zhou et al. 2025): recommendation from several modalities, and what BPR does to identities."""

from papers_nb.lirdrec.data import Interactions, read_interactions
from papers_nb.lirdrec.displacement import displacement_law, feature_share
from papers_nb.lirdrec.recommenders import (
    BM3,
    BPRMF,
    EASE,
    FREEDOM,
    VBPR,
    ItemKNN,
    LightGCN,
    LIRDRec,
    Popularity,
)

__all__ = [
    "BM3",
    "BPRMF",
    "EASE",
    "FREEDOM",
    "VBPR",
    "Interactions",
    "ItemKNN",
    "LIRDRec",
    "LightGCN",
    "Popularity",
    "displacement_law",
    "feature_share",
    "read_interactions",
]
