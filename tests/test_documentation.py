"""The link from the HTML representation to the documentation, and the pages that are installed."""

import inspect
import re
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from sklearn_hilander import HiLanderClustering, _documentation
from sklearn_hilander.encoding import ClassifierEncoder
from tools import make_documentation_pages as pages

ESTIMATORS = list(pages.ESTIMATORS.items())
PAPER = "Paper, https://p.example"


@pytest.fixture
def named(monkeypatch):
    """Let the distribution name some addresses."""

    def name(*urls):
        message = Message()
        for url in urls:
            message["Project-URL"] = url
        monkeypatch.setattr(_documentation.metadata, "metadata", lambda _: message)

    return name


def test_the_link_is_to_what_is_online(named):
    named(PAPER, "Documentation, https://d.example/stable/")
    link = "https://d.example/stable/generated/sklearn_hilander.HiLanderClustering.html"
    assert HiLanderClustering()._get_doc_link() == link
    assert link in HiLanderClustering()._repr_html_()


@pytest.mark.parametrize(("module", "estimator"), ESTIMATORS)
def test_else_the_link_is_to_a_page_that_is_installed(named, module, estimator):
    named(PAPER)
    link = estimator()._get_doc_link()
    assert f'href="{link}"' in estimator()._repr_html_()
    assert urlsplit(link).scheme == "file"
    page = Path(unquote(urlsplit(link).path)).read_text(encoding="utf-8")
    assert f"<h1>{module}.{estimator.__name__}</h1>" in page


def test_the_link_where_nothing_is_installed(monkeypatch, tmp_path):
    def missing(name):
        raise _documentation.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_documentation.metadata, "metadata", missing)
    assert HiLanderClustering()._get_doc_link().startswith("file:")
    # As in an archive, whose files have no address.
    monkeypatch.setattr(_documentation, "_PAGES", tmp_path / "pages with {braces}")
    assert HiLanderClustering()._get_doc_link() == ""
    assert 'href="' not in HiLanderClustering()._repr_html_()


def test_no_link_for_the_classes_of_others(named):
    class Other(HiLanderClustering):
        pass

    named(PAPER)
    assert Other()._get_doc_link() == ""


@pytest.mark.parametrize(("module", "estimator"), ESTIMATORS)
def test_pages_say_what_docstrings_say(module, estimator):
    path = pages.FOLDER / f"{module}.{estimator.__name__}.html"
    written = path.read_text(encoding="utf-8")
    fresh = pages.render(module, estimator)
    assert written == fresh, "run: python -m tools.make_documentation_pages"


class Page(HTMLParser):
    """Text, terms and anchors of a page; that each tag is closed in its turn is asserted."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.links, self.text, self.terms = [], set(), [], "", []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.ids |= {value for name, value in attrs if name == "id"}
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)
        if tag == "dt":
            self.terms.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if "dt" in self.open:
            self.terms[-1] += data


@pytest.mark.parametrize(("module", "estimator"), ESTIMATORS)
def test_pages_are_whole_and_self_contained(module, estimator):
    page = Page(pages.render(module, estimator))
    assert {link.removeprefix("#") for link in page.links} <= page.ids
    assert page.ids >= {"fit"}
    terms = {term.partition(" : ")[0] for term in page.terms}
    assert set(inspect.signature(estimator).parameters) <= terms
    assert not re.search(r"``|:\w+:`|\]_|^-{3,}", page.text, flags=re.MULTILINE)
    for name in ("partial_fit", "merge_candidates") if estimator is HiLanderClustering else ():
        assert name in page.ids


def test_every_estimator_has_a_page():
    assert {HiLanderClustering, ClassifierEncoder} == {estimator for _, estimator in ESTIMATORS}
    assert {path.name for path in pages.FOLDER.iterdir()} == {
        f"{module}.{estimator.__name__}.html" for module, estimator in ESTIMATORS
    }
