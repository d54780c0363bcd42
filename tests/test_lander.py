"""The paper's network: what is done to be quick changes nothing."""

import pytest
import torch

from sklearn_hilander._levels import _lander
from sklearn_hilander._levels._lander import Lander
from sklearn_hilander._types import NeighborGraph


def made_level(n_nodes=60, n_features=8, n_neighbors=5, seed=0):
    """Rows and a graph of any neighbours, some of them none."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n_nodes, n_features, generator=draw)
    indices = torch.randint(n_nodes, (n_nodes, n_neighbors), generator=draw)
    similarities = torch.rand(n_nodes, n_neighbors, generator=draw)
    similarities[similarities < 0.2] = 0
    return x, NeighborGraph(indices, similarities)


def made_lander(encoder, n_layers=1):
    torch.manual_seed(0)
    lander = Lander(8, hidden_dim=12, encoder=encoder, mean_features=False, n_layers=n_layers)
    for slope in (lander.head[0], lander.head[2]):
        # Slopes of either sign, and steeper than the other side.
        torch.nn.init.uniform_(slope.weight, -2, 2)
    return lander.eval()


@pytest.mark.parametrize("encoder", ["gcn", "gat"])
@pytest.mark.parametrize("n_edges", [1, 5, 33, 300, 1_280])
def test_edges_in_blocks_have_the_logits_of_all_at_once(encoder, n_edges, monkeypatch):
    x, graph = made_level()
    lander = made_lander(encoder)
    expected, density = lander(x, graph)
    assert expected.requires_grad
    monkeypatch.setattr(_lander, "_CPU_EDGES", n_edges)
    with torch.no_grad():
        logits, of_blocks = lander(x, graph)
        some = torch.arange(0, 60, 7)
        of_some, _ = lander(x, graph, some)
    torch.testing.assert_close(logits, expected.detach(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(of_blocks, density.detach(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(of_some, logits[some], atol=1e-6, rtol=1e-6)


def test_graph_convolution_is_that_of_the_equation():
    x, graph = made_level()
    layer = made_lander("gcn").layers[0]
    weights = _lander.normalize_weights(graph.similarities)
    around = (weights[:, :, None] * x[graph.indices]).sum(dim=1)
    for nodes in (torch.arange(60), torch.tensor([3, 8, 59])):
        expected = torch.relu(layer.linear(torch.cat([x, around], dim=1)[nodes]))
        found = layer(x, nodes, graph.indices[nodes], weights[nodes])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
