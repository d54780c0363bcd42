"""Unicode characters drawn with the fonts that matplotlib ships."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_hilander.datasets._fonts import FONTS, FontReader, Rasteriser

_COMPARED_SIZE = 20  # pixels
_SAME_IMAGE = 0.003  # squared difference over squared norm; breve and caron stay apart

_DESCR = """\
Glyphs: Unicode characters in several fonts
-------------------------------------------

:Classes: one per character; look-alike characters are one class
:Samples: one per class and font style
:Features: grey values in [0, 1], 0 is background

Characters are drawn with the DejaVu Sans, DejaVu Sans Mono, DejaVu Serif and STIX General
fonts, four styles each, that come with matplotlib. Every glyph is centred and scaled to the
same box, its aspect kept, after a small random rotation and shear; its size and position
then vary a little too.
"""


class _Glyphs(NamedTuple):
    """One class: the characters it merges, and the glyph of each font that has one."""

    characters: str
    fonts: tuple[int, ...]
    codepoints: tuple[int, ...]


def _is_graphic(codepoint: int) -> bool:
    """Neither blank by its nature nor (private use, unassigned) without an identity."""
    return unicodedata.category(chr(codepoint))[0] not in "CZ"


def _same_images(images: np.ndarray) -> np.ndarray:
    """Pairs (i, j), i < j, of rows that are the same but for `_SAME_IMAGE`: (n_pairs, 2)."""
    energy = np.einsum("ij,ij->i", images, images)
    # |a - b|^2 < t (|a|^2 + |b|^2) / 2, solved for the inner product.
    least = (0.5 - _SAME_IMAGE / 4) * np.add.outer(energy, energy)
    return np.argwhere(np.triu(images @ images.T > least, 1))


@lru_cache(maxsize=4)
def _find_classes(min_samples: int) -> tuple[_Glyphs, ...]:
    """Characters drawn in `min_samples` fonts or more, look-alikes together, by code point.

    Two characters look alike if their outlines, fitted to one box, give the same image in at
    least half of the fonts that have both; a class is a connected component. Half, because
    dots, bars and primes coincide by accident in single fonts, and chains of such accidents
    would join whole scripts. Images, because one shape may be written as several outlines.
    """
    reader, rasteriser = FontReader(), Rasteriser(_COMPARED_SIZE)
    mapped = [[c for c in reader.characters(f) if _is_graphic(c)] for f in range(len(FONTS))]
    n_mapped = Counter(c for characters in mapped for c in characters)

    has_glyph: defaultdict[int, np.ndarray] = defaultdict(lambda: np.zeros(len(FONTS), dtype=bool))
    n_same: Counter[tuple[int, int]] = Counter()
    for font, characters in enumerate(mapped):
        drawn, images = [], []
        for codepoint in sorted(c for c in characters if n_mapped[c] >= min_samples):
            outline = reader.outline(font, codepoint)
            if len(outline[0]):
                drawn.append(codepoint)
                images.append(rasteriser.draw(outline).ravel() / np.float32(255))
                has_glyph[codepoint][font] = True
        n_same.update((drawn[i], drawn[j]) for i, j in _same_images(np.stack(images)))

    codepoints = sorted(c for c, fonts in has_glyph.items() if fonts.sum() >= min_samples)
    position = {codepoint: i for i, codepoint in enumerate(codepoints)}
    edges = [
        (position[a], position[b])
        for (a, b), same in n_same.items()
        if a in position and b in position and 2 * same >= (has_glyph[a] & has_glyph[b]).sum()
    ]
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=2 * (len(codepoints),))
    _, component = connected_components(graph, directed=False)

    members = defaultdict(list)
    for codepoint, label in zip(codepoints, component, strict=True):
        members[label].append(codepoint)
    classes = []
    for merged in members.values():
        glyphs = {f: c for c in reversed(merged) for f in np.flatnonzero(has_glyph[c]).tolist()}
        fonts = tuple(sorted(glyphs))
        codes = tuple(glyphs[font] for font in fonts)
        classes.append(_Glyphs("".join(map(chr, merged)), fonts, codes))
    return tuple(classes)


def _select_classes(
    classes: Sequence[_Glyphs],
    characters: Iterable[str] | None,
    max_classes: int | None,
    rng: np.random.RandomState,
) -> list[_Glyphs]:
    selected = list(classes)
    if characters is not None:
        wanted = list(characters)
        if not all(isinstance(c, str) and len(c) == 1 for c in wanted):
            raise ValueError("characters must be a string or a list of single characters.")
        selected = [glyphs for glyphs in selected if not set(wanted).isdisjoint(glyphs.characters)]
    if not selected:
        raise ValueError("None of the characters is drawn in min_samples fonts or more.")
    if max_classes is not None and max_classes < len(selected):
        chosen = rng.choice(len(selected), size=max_classes, replace=False)
        selected = [selected[i] for i in np.sort(chosen)]
    return selected


def _draw_jitter(
    rng: np.random.RandomState, n_samples: int, strength: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation and shear (n, 2, 2), scale (n,) in (0, 1], shift (n, 2) in margins."""
    angle, shear, x, y = strength * rng.uniform(-1, 1, size=(4, n_samples))
    angle, shear = np.deg2rad(6) * angle, 0.1 * shear
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.stack([cos, cos * shear - sin, sin, sin * shear + cos], axis=1).reshape(-1, 2, 2)
    scale = np.exp(-0.15 * strength * rng.uniform(size=n_samples))
    shift = np.clip(0.75 * np.stack([x, y], axis=1), -1, 1)
    return linear, scale, shift


@validate_params(
    {
        "min_samples": [Interval(Integral, 1, len(FONTS), closed="both")],
        "max_classes": [Interval(Integral, 1, None, closed="left"), None],
        "characters": [str, "array-like", None],
        "image_size": [Interval(Integral, 8, None, closed="left")],
        "jitter": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_glyphs(
    *,
    min_samples: int = 8,
    max_classes: int | None = None,
    characters: str | Sequence[str] | None = None,
    image_size: int = 28,
    jitter: float = 1.0,
    random_state: int | np.random.RandomState | None = 0,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Draw Unicode characters in the fonts of matplotlib: many small, real classes, offline.

    A class is a character, a sample its glyph in one of 16 fonts (DejaVu Sans, DejaVu Sans Mono,
    DejaVu Serif and STIX General in four styles each), grey on a black ground. Every glyph is
    centred and scaled to one box, so characters that differ in size or position alone look
    alike. Characters whose drawings coincide in at least half of the fonts that have both, such
    as Latin A, Greek Alpha and Cyrillic A, are merged into one class. Blank glyphs, the boxes
    that stand for missing ones, and private-use characters are left out.

    With all defaults there are about 2,900 classes and 35,000 samples. matplotlib is needed, but
    no font of the system.

    Parameters
    ----------
    min_samples : int, default=8
        Characters drawn in fewer fonts are left out; at most 16.
    max_classes : int or None, default=None
        Draw only a random choice of so many classes; all if there are fewer.
    characters : str or array-like of str, default=None
        Restrict the classes to these characters and their look-alikes.
    image_size : int, default=28
        Height and width of the images in pixels, at least 8.
    jitter : float, default=1.0
        Strength of the random affine map of each glyph. At 1 the rotation is within 6 degrees,
        the shear within 0.1, the size between 86 % and 100 % of the box, and the shift within
        1.5 of 28 pixels. At 0 all are off. No glyph is ever cut off.
    random_state : int, RandomState instance or None, default=0
        Determines the choice of classes and the jitter.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    glyphs : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the attributes

        data : ndarray of shape (n_samples, image_size ** 2), float32
            The images, flattened; values in [0, 1].
        images : ndarray of shape (n_samples, image_size, image_size), float32
            The same images, not flattened; shares memory with `data`.
        target : ndarray of shape (n_samples,), int64
            Class of each sample, from 0; ordered by code point, rows of a class adjacent.
        target_names : ndarray of shape (n_classes,), str
            The first character of each class.
        look_alikes : ndarray of shape (n_classes,), str
            All characters of each class.
        fonts : ndarray of shape (n_samples,), str
            Font and style of each sample.
        DESCR : str
            Description of the data.

    (data, target) : tuple if ``return_X_y=True``

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a parameter is out of range, or no character is left.

    Examples
    --------
    >>> from sklearn_hilander.datasets import load_glyphs
    >>> glyphs = load_glyphs(characters="ABC")
    >>> glyphs.data.shape
    (48, 784)
    >>> glyphs.target_names.tolist()
    ['A', 'B', 'C']
    """
    rng = check_random_state(random_state)
    classes = _select_classes(_find_classes(min_samples), characters, max_classes, rng)
    target = np.repeat(np.arange(len(classes), dtype=np.int64), [len(c.fonts) for c in classes])
    linear, scale, shift = _draw_jitter(rng, len(target), jitter)

    reader, rasteriser = FontReader(), Rasteriser(image_size)
    images = np.empty((len(target), image_size, image_size), dtype=np.float32)
    drawn = [glyph for c in classes for glyph in zip(c.fonts, c.codepoints, strict=True)]
    for i, (font, codepoint) in enumerate(drawn):
        outline = reader.outline(font, codepoint)
        images[i] = rasteriser.draw(outline, linear[i], scale[i], shift[i])
    images /= 255
    data = images.reshape(len(images), -1)

    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        images=images,
        target=target,
        target_names=np.array([c.characters[0] for c in classes]),
        look_alikes=np.array([c.characters for c in classes]),
        fonts=np.array([FONTS[font] for font, _ in drawn]),
        DESCR=_DESCR,
    )
