<<<<<<< HEAD
"""LIRDRec (Zhou et al. 2025): recommendation from several modalities, and what BPR does to identities."""
=======
"""LIRDRec (Zhou et al. 2025): recommendation from features, and what BPR does to item identities."""
>>>>>>> 311a6e4 (LIRDRec: tables by the one function for tables; public names laid out)

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
