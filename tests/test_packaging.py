"""What the files that describe the package say of each other."""

import configparser
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import licences, run, versions

ROOT = Path(__file__).parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def requirements(text):
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [Requirement(line) for line in lines]


def test_the_oldest_releases_are_the_lower_bounds():
    pinned = {
        requirement.name: str(requirement.specifier).removeprefix("==")
        for requirement in requirements((ROOT / "tools" / "constraints-minimum.txt").read_text())
    }
    extras = SETUP["options.extras_require"]
    texts = [SETUP["options"]["install_requires"], extras["plot"], extras["tables"]]
    for requirement in [each for text in texts for each in requirements(text)]:
        assert str(requirement.specifier) == f">={pinned[requirement.name]}"


def test_supported_pythons_are_those_that_are_tried():
    named = re.findall(r"Python :: (3\.\d+)", SETUP["metadata"]["classifiers"])
    assert tuple(named) == versions.PYTHONS
    assert SETUP["options"]["python_requires"] == f">={versions.PYTHONS[0]}"
    rows = {row.name for row in versions.ROWS}
    assert rows >= {"minimum", "newest", *(f"python-{v}" for v in named)}


@pytest.mark.parametrize("other", [("--newest",), ("--sklearn", "1.7")])
def test_only_one_set_of_releases_at_a_time(other, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HILANDER_VENV", str(tmp_path / "venv"))
    assert run.main(["test", "--minimum", *other]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_licences_of_all_requirements_are_known_and_documented():
    try:
        found = licences.closure(licences.PACKAGE, frozenset())
    except metadata.PackageNotFoundError as error:
        pytest.skip(f"not installed here: {error}")
    page = (ROOT / "docs" / "supply_chain.rst").read_text(encoding="utf-8")
    for requirement in requirements(SETUP["options"]["install_requires"]):
        assert re.search(rf"\* - {requirement.name}\n", page), requirement.name
        assert licences.licence(found[requirement.name])
    # CUDA's own libraries, where torch brings them, are named as a group.
    unnamed = {name for name in found if not licences.licence(found[name])}
    assert not {name for name in unnamed if not name.startswith(("nvidia", "cuda", "triton"))}
