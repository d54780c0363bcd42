"""The dimension-free architecture: linkage of sample pairs, then a judge of cluster pairs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pairs import count_dtype, sigmoid
from sklearn_hilander._linkage._linkage_model import LinkageModel
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._rounds._cluster_pairs import ClusterPairs
from sklearn_hilander._rounds._decoders import Decoder
from sklearn_hilander._search._cell_search import search_wider
from sklearn_hilander._search._neighbors import build_neighbor_graph, resolve_algorithm
from sklearn_hilander._search._two_hops import search_two_hops

# Up to so many rows an exact search costs nothing to speak of.
_FEW_ROWS = 2_000
# Share of the neighbours that are found first: a flow of small clusters needs no more to tell its
# scale (`_stable_flow`).
_FIRST_SHARE = 0.6
# Classes that are told apart as well as this when they are held out may stand apart for being few.
# Among so many times as many rows, linkage that was learned from them may be too sure.
_EASY, _MANY_MORE = 0.85, 3
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class RelationalModel:
    """What meta-training leaves.

    Attributes
    ----------
    linkage : LinkageModel
    judges : Perceptrons
        One, or several, whose mean counts.
    linkage_threshold : float
        Calibrated on held-out classes.
    decoder : Decoder
    scores : dict of str to float
        Best F of each decoder on held-out classes, mean of pairwise and BCubed F.
    n_learned : int
        Samples that it was learned from; 0 if that is not known.
    """

    linkage: LinkageModel
    judges: Perceptrons
    linkage_threshold: float = 0.5
    decoder: Decoder = field(default_factory=Decoder)
    scores: dict[str, float] = field(default_factory=dict)
    n_learned: int = 0

    def may_be_too_sure_of(self, n_samples: int) -> bool:
        """Whether held-out classes were easy, and so many samples are many more than were seen.

        The clusters of a flow are as they are.
        """
        kind = self.decoder.kind
        is_easy = kind != "flow" and self.scores.get(kind, 0.0) >= _EASY
        return is_easy and 0 < _MANY_MORE * self.n_learned <= n_samples

    def judge(self, clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
        """Probability of each cluster pair to be one class."""
        return sigmoid(self.judges.mean_log_odds(relations))


@dataclass(frozen=True)
class GraphBuilder:
    """Embeddings -> PairGraph.

    Attributes
    ----------
    n_neighbors : int
    algorithm : {"auto", "brute", "ivf", "hnsw"}
    search : dict
        Other settings of `build_neighbor_graph`.
    device : device
        Where neighbours are searched for; the graph is on the CPU.
    """

    n_neighbors: int
    algorithm: str = "auto"
    search: dict[str, Any] = field(default_factory=dict)
    device: torch.device = _CPU

    def __call__(self, features: np.ndarray, before: PairGraph | None = None) -> PairGraph:
        """The graph of unit rows.

        Given the graph of the same rows before they were whitened, too, the search goes no further
        than two steps in it, but for ``algorithm="brute"`` and where a device makes it cheap. What
        the device has no memory for the CPU does, with a warning.
        """
        if not self._is_on_cpu:
            with suppress(torch.OutOfMemoryError):
                return self._of_neighbors(features, self.n_neighbors)
            warnings.warn(
                f"The search for neighbours of {len(features):,} rows takes more memory than "
                f"{self.device} has left, so the CPU does it. device='cpu' spares the attempt.",
                RuntimeWarning,
                stacklevel=2,
            )
            return replace(self, device=_CPU)(features, before)
        is_costly = self.algorithm != "brute" and len(features) > _FEW_ROWS
        if before is not None and is_costly:
            return PairGraph(features, *search_two_hops(features, before.indices))
        return self._of_neighbors(features, self.n_neighbors)

    def widening(self, source: Callable[[], np.ndarray]) -> Iterator[PairGraph]:
        """Graphs of ever more neighbours, the last as many as there are to be.

        Only a search by cells on the CPU is so much quicker for fewer that there is more than one.
        """
        algorithm = resolve_algorithm(self.algorithm, torch.from_numpy(source()))
        first = round(_FIRST_SHARE * self.n_neighbors)
        by_cells = self._is_on_cpu and algorithm == "ivf"
        if not by_cells or not 0 < first < self.n_neighbors < len(source()):
            yield self(source())
            return
        graph = self._of_neighbors(source(), first)
        yield graph
        found = search_wider(source(), graph.indices, self.n_neighbors)
        yield PairGraph(source(), *found)

    @property
    def _is_on_cpu(self) -> bool:
        return self.device.type == "cpu"

    def _of_neighbors(self, features: np.ndarray, n_neighbors: int) -> PairGraph:
        rows = torch.from_numpy(features).to(self.device)
        graph = build_neighbor_graph(rows, n_neighbors, algorithm=self.algorithm, **self.search)
        indices = graph.indices.cpu().numpy().astype(count_dtype(len(features)), copy=False)
        return PairGraph(features, indices, graph.similarities.cpu().numpy())


def graph_builder(
    n_neighbors: int,
    *,
    algorithm: str = "auto",
    device: torch.device = _CPU,
    **search: object,
) -> GraphBuilder:
    """A `GraphBuilder` with these settings of the search."""
    return GraphBuilder(n_neighbors, algorithm, search, device)
