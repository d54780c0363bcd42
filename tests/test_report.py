"""The report: one page that holds all it needs, escapes what it is given, and can be seen."""

import base64
import io
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from sklearn_hilander._report import MergeCandidate, ReportContent, render_report

LABELS = np.array([0, 0, 0, 1, 1, 2, -1])
HOSTILE = "<script src='https://x.test/a.js'>alert(1)</script>\" onload=\"x"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Page(HTMLParser):
    """Elements, text and what a browser would fetch."""

    VOID = frozenset({"meta", "img", "br"})
    ADDRESSES = frozenset({"src", "href", "srcset", "action", "data", "poster", "background"})

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words, self.addresses = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.addresses += [value for name, value in attributes if name in self.ADDRESSES]
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            assert "url(" not in data and "@import" not in data
        elif data.strip():
            self.words.append(data.strip())

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def content(**options):
    defaults = {
        "samples": [f"text {i}" for i in range(len(LABELS))],
        "probabilities": np.array([1, 0.9, 0.2, 1, 0.8, 1, 0]),
        "exemplars": np.array([0, 3, 5]),
        "merge_candidates": [MergeCandidate((0, 1), (0, 3), 0.4321)],
    }
    return ReportContent(LABELS, **(defaults | options))


def images(rng):
    return rng.integers(0, 256, size=(len(LABELS), 9, 7, 3))


@pytest.fixture
def pillow():
    return pytest.importorskip("PIL.Image", reason="images in a report need Pillow")


def test_nothing_is_fetched_and_nothing_runs(rng, pillow):
    pages = [
        render_report(content()),
        render_report(content(samples=images(rng))),
        render_report(ReportContent(LABELS)),
    ]
    for text in pages:
        page = Page(text)
        assert all(re.match(r"data:image/png;base64,|#cluster-\d+$", a) for a in page.addresses)
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
        policy = next(m["content"] for m in page.attributes("meta") if "http-equiv" in m)
        assert policy.startswith("default-src 'none'")
        assert "://" not in text


def test_whatever_the_user_gives_is_text(rng, pillow):
    hostile = [HOSTILE] * len(LABELS)
    for samples in (hostile, images(rng), None):
        page = Page(
            render_report(
                content(title=HOSTILE, facts=[(HOSTILE, HOSTILE)], names=hostile, samples=samples)
            )
        )
        assert not page.attributes("script")
        assert page.addresses == [a for a in page.addresses if "x.test" not in a]
        assert page.words.count(HOSTILE) >= 4
        for image in page.attributes("img"):
            assert image["alt"] == HOSTILE


def test_summary():
    words = Page(render_report(content(title="My rows", facts=[("Model", "m")]))).words
    facts = dict(pairwise(words))
    assert words.count("My rows") == 2
    assert (facts["Rows"], facts["Clusters"], facts["Clusters of one row"]) == ("7", "3", "1")
    assert (facts["Median cluster size"], facts["Largest cluster"]) == ("2", "3")
    assert (facts["Rows in no cluster"], facts["Members under probability 0.5"]) == ("1", "1")
    assert facts["Model"] == "m"


def test_members_and_candidates():
    page = Page(render_report(content()))
    items = page.attributes("li")
    assert [item.get("class") for item in items] == [
        "exemplar", None, "doubtful", "exemplar", None, "exemplar",
    ]  # fmt: skip
    assert "text 6" not in page.words, "noise belongs to no cluster"
    assert "0.43" in page.words and page.words.count("text 0") == 2
    assert {a["href"] for a in page.attributes("a")} == {"#cluster-0", "#cluster-1"}
    ids = {s["id"] for s in page.attributes("section")}
    assert ids == {"cluster-0", "cluster-1", "cluster-2"}


def test_clusters_that_are_not_shown_have_no_link():
    page = Page(render_report(content(n_clusters=1, n_members=2)))
    assert {a["href"] for a in page.attributes("a")} == {"#cluster-0"}
    assert "3 rows, 1 not shown" in page.words


def test_images_are_shown_small(rng, pillow):
    large = rng.integers(0, 256, size=(len(LABELS), 300, 600), dtype=np.uint8)
    page = Page(render_report(content(samples=large)))
    uris = [image["src"] for image in page.attributes("img")]
    assert len(uris) == 6 + 2  # all in clusters, and the candidates' exemplars
    picture = pillow.open(io.BytesIO(base64.b64decode(uris[0].partition(",")[2])))
    assert picture.size == (128, 64)
    exact = images(rng).astype(np.uint8)
    page = Page(render_report(content(samples=exact)))
    picture = pillow.open(io.BytesIO(base64.b64decode(page.attributes("img")[0]["src"][22:])))
    np.testing.assert_array_equal(np.asarray(picture), exact[0])


def test_order_of_members_is_that_of_the_embeddings():
    X = np.array([[1, 0], [0, 1], [0.9, 0.1], [1, 0], [1, 0], [1, 0], [1, 0]], dtype=np.float64)
    words = Page(render_report(content(X=X))).words
    assert words.index("text 0") < words.index("text 2") < words.index("text 1")


def test_only_noise():
    page = Page(render_report(ReportContent(np.array([-1, -1]))))
    assert "Rows in no cluster" in page.words and not page.attributes("section")


def test_long_texts_are_cut():
    page = Page(render_report(content(samples=["x" * 5000] * len(LABELS))))
    assert max(len(word) for word in page.words) == 401


def test_without_pillow(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="images in a report need Pillow"):
        render_report(content(samples=images(rng)))


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_it(tmp_path, rng, pillow):
    page, shot = tmp_path / "report.html", tmp_path / "shot.png"
    green = np.zeros((len(LABELS), 64, 64, 3), dtype=np.uint8)
    green[..., 1] = 255
    page.write_text(render_report(content(samples=green)), encoding="utf-8")
    options = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        "disable-component-update disable-sync disable-dev-shm-usage hide-scrollbars "
        "window-size=900,1400"
    )
    subprocess.run(
        [
            CHROMIUM,
            *(f"--{option}" for option in options.split()),
            "--host-resolver-rules=MAP * ~NOTFOUND",  # as without a network, names of hosts fail
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        check=True,
        timeout=300,
        capture_output=True,
    )
    pixels = np.asarray(pillow.open(shot).convert("RGB")).reshape(-1, 3)
    count = {
        name: int((pixels == colour).all(axis=1).sum())
        for name, colour in {
            "image": (0, 255, 0),
            "clusters": (0, 0x72, 0xB2),
            "rows": (0xE6, 0x9F, 0),
            "doubt": (0xB8, 0x4A, 0),
        }.items()
    }
    # Eight images of 70 by 70 pixels within their borders, both kinds of bars, one dashed frame.
    assert count["image"] >= 8 * 70 * 70
    assert min(count["clusters"], count["rows"]) > 1000
    assert count["doubt"] > 100
