"""What meta-training leaves, and what it answers for a clustering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sklearn_hilander._clusters._growth import ClusterSettings, grow_by_relations, grow_by_scorer
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._graph._pairs import logit, sigmoid
from sklearn_hilander._incoming._joining import Candidates
from sklearn_hilander._incoming._neighborhood import score_neighborhoods
from sklearn_hilander._incoming._row_judge import Known, RowJudge, row_relations
from sklearn_hilander._levels._lander import Lander
from sklearn_hilander._levels._scoring import LanderScorer, LocalScalingScorer, ReachScorer
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._memory import check_clustering_memory
from sklearn_hilander._models._architectures import UNTRAINED, Architecture
from sklearn_hilander._rounds._nested_rounds import judged_pairs, merges_below
from sklearn_hilander._rounds._relational import RelationalModel
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander._types import Growth, Merges, NeighborGraph, concatenate_merges

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Model:
    """What a clustering needs to know from meta-training.

    Attributes
    ----------
    architecture : Architecture
    network : Lander, RelationalModel or None
        None for the scorer that needs no training.
    linkage_threshold : float
        Calibrated on held-out classes, where that was asked for and possible.
    loss_curve : tuple of float
    row_judge : RowJudge or None
        Of new rows against known clusters, for "relational".
    """

    architecture: Architecture = UNTRAINED
    network: Lander | RelationalModel | None = None
    linkage_threshold: float = DEFAULT_THRESHOLD
    loss_curve: tuple[float, ...] = ()
    row_judge: RowJudge | None = None

    @property
    def n_features(self) -> int | None:
        """Number of features that the model is bound to; None if it takes any."""
        return self.network.n_features if isinstance(self.network, Lander) else None

    @property
    def selected(self) -> str | None:
        """The decoder that did best on held-out classes; None where there was no choice."""
        return self.network.decoder.kind if isinstance(self.network, RelationalModel) else None

    @property
    def validation_scores(self) -> dict[str, float]:
        """Best F of each decoder on held-out classes; empty where there was no choice."""
        return self.network.scores if isinstance(self.network, RelationalModel) else {}

    def judge_to_start_from(self, width: int) -> Perceptrons | None:
        """The judges of cluster pairs, if they have hidden layers of this width."""
        if not isinstance(self.network, RelationalModel):
            return None
        return self.network.judges if self.network.judges.width == width else None

    def to(self, device: torch.device) -> None:
        """Move the network to where the rows will be; relations are computed on the CPU."""
        if isinstance(self.network, Lander):
            self.network.to(device)

    def reads_rows_on_cpu(self, device: torch.device) -> bool:
        """Whether the CPU reads neighbours' rows when they are clustered on a device."""
        return device.type == "cpu" or isinstance(self.network, RelationalModel)

    def grow(
        self, source: RowSource, settings: ClusterSettings, **options: Any
    ) -> tuple[Growth, NeighborGraph | None]:
        """Clusters of embeddings; options as in `grow_by_scorer` and `grow_by_relations`.

        Raises
        ------
        MemoryError
            If there is clearly too little for it.
        """
        if settings.metric == "precomputed":
            check_sees_graphs(self.architecture)
        if self.reads_rows_on_cpu(settings.device):
            check_clustering_memory(
                source().shape,
                settings.n_neighbors,
                "none" if self.network is None else self.architecture.encoder,
                self.network.source.in_features if isinstance(self.network, Lander) else 0,
            )
        if isinstance(self.network, RelationalModel):
            return grow_by_relations(source, self.network, settings, **options)
        return grow_by_scorer(source(), self.level_scorer(), settings, **options)

    def level_scorer(self) -> LanderScorer | LocalScalingScorer:
        """What scores the edges of a level."""
        if isinstance(self.network, Lander):
            return LanderScorer(self.network)
        return LocalScalingScorer()

    def candidates(
        self, features: np.ndarray, known: KnownClusters, settings: ClusterSettings
    ) -> Candidates:
        """Parts of known clusters that new rows may join, each row judged by itself."""
        if self.row_judge is not None and known.graph_indices.shape[1] > 0:
            if "row_judge" not in known.views:
                known.views["row_judge"] = Known(
                    known.embeddings.features,
                    known.graph_indices,
                    known.graph_similarities,
                    known.row_parts,
                    settings.metric,
                )
            pairs = row_relations(
                features, known.views["row_judge"], settings.n_neighbors, settings.device
            )
            return Candidates(pairs.row, pairs.part, self.row_judge(pairs), pairs.neighbor)
        scorer = self.level_scorer() if isinstance(self.network, Lander) else ReachScorer()
        return score_neighborhoods(features, known, scorer, settings)

    def merges_below(self, growth: Growth, constraints: NodeConstraints | None) -> Merges:
        """All merges of a growth, those under its last threshold included."""
        more: tuple[Merges, ...] = ()
        if isinstance(self.network, RelationalModel) and growth.rounds is not None:
            more = merges_below(growth.rounds, self.network, constraints)
        return concatenate_merges([growth.merges, *more])

    def judged(self, growth: Growth) -> Merges | None:
        """Pairs of clusters, by a node of each, and the probability that they are one.

        None where there is no judge, or its rounds are over.
        """
        if not isinstance(self.network, RelationalModel) or growth.rounds is None:
            return None
        return judged_pairs(growth.rounds, self.network)

    def join_threshold(self, linkage_threshold: float) -> float:
        """Probability above which a new row joins a known cluster.

        The judge of rows has a threshold of its own, which moves as the linkage threshold is moved
        from the calibrated one.
        """
        if self.row_judge is not None:
            odds = logit(
                np.array([self.row_judge.threshold, linkage_threshold, self.linkage_threshold]),
                1e-3,
            )
            return float(sigmoid(odds[0] + odds[1] - odds[2]))
        if isinstance(self.network, RelationalModel):
            return DEFAULT_THRESHOLD
        return linkage_threshold


def check_sees_graphs(architecture: Architecture) -> None:
    """Refuse distances for the paper's networks.

    Raises
    ------
    ValueError
    """
    if architecture.encoder in ("gcn", "gat"):
        raise ValueError(
            "metric='precomputed': the paper's networks see embeddings, and distances have none. "
            "Use architecture='relational' or 'untrained', or give embeddings."
        )
