"""Outlines and images of the characters in the fonts that matplotlib ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
)

_CLOSEPOLY = 79  # matplotlib.path.Path.CLOSEPOLY; its vertex is a dummy at the origin
_IDENTITY, _CENTERED = np.eye(2), np.zeros(2)


class FontReader:
    """Unhinted outlines, in font units, of the fonts in `FONTS`."""

    def __init__(self) -> None:
        try:
            from matplotlib import ft2font, get_data_path
        except ImportError as error:
            raise ImportError(
                "load_glyphs draws with matplotlib and the fonts that it ships: "
                "pip install sklearn-hilander[plot]"
            ) from error
        folder = Path(get_data_path(), "fonts", "ttf")
        self.fonts = [ft2font.FT2Font(str(folder / f"{name}.ttf")) for name in FONTS]
        for font in self.fonts:
            font.set_size(font.units_per_EM, 72)
        # The flags became an enumeration in matplotlib 3.10, and the integers a warning.
        flags: Any = ft2font
        new = hasattr(ft2font, "LoadFlags")
        self.flags = flags.LoadFlags.NO_HINTING if new else flags.LOAD_NO_HINTING

    def characters(self, font: int) -> list[int]:
        """Code points with a glyph of their own (glyph 0 is the box for missing ones)."""
        return [code for code, glyph in self.fonts[font].get_charmap().items() if glyph != 0]

    def outline(self, font: int, codepoint: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (n, 2) and path codes (n,) of a glyph; both empty where it is blank."""
        self.fonts[font].load_char(codepoint, flags=self.flags)
        vertices, codes = self.fonts[font].get_path()
        if len(codes) == 0 or np.ptp(vertices[codes != _CLOSEPOLY], axis=0).max() == 0:
            return np.zeros((0, 2)), np.zeros(0, dtype=np.uint8)
        return vertices, codes


class Rasteriser:
    """Fills outlines with anti-aliasing, each fitted to a box inside the image."""

    def __init__(self, image_size: int) -> None:
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.path import Path
        from matplotlib.transforms import IdentityTransform

        self.make_path = Path
        self.identity = IdentityTransform()
        self.image_size = image_size
        self.renderer = RendererAgg(image_size, image_size, 72)
        self.context = self.renderer.new_gc()
        self.context.set_linewidth(0)
        self.context.set_snap(False)
        self.context.set_sketch_params(None)  # rcParams may ask for wavy lines

    def draw(
        self,
        outline: tuple[np.ndarray, np.ndarray],
        linear: np.ndarray = _IDENTITY,
        scale: float = 1.0,
        shift: np.ndarray = _CENTERED,
    ) -> np.ndarray:
        """Coverage of each pixel, uint8 of shape (image_size, image_size); overwritten later.

        The outline is mapped by `linear` (2, 2) and fitted to the box, of which it then takes
        the share `scale`; `shift` (2,) moves it, in units of the margin around the box.
        """
        vertices, codes = outline
        vertices = vertices @ linear.T
        points = vertices[codes != _CLOSEPOLY]
        low, high = points.min(axis=0), points.max(axis=0)
        margin = self.image_size / 14
        zoom = scale * (self.image_size - 2 * margin) / (high - low).max()
        vertices = (vertices - (low + high) / 2) * zoom + self.image_size / 2 + margin * shift
        self.renderer.clear()
        self.renderer.draw_path(
            self.context, self.make_path(vertices, codes), self.identity, (0.0, 0.0, 0.0)
        )
        return np.asarray(self.renderer.buffer_rgba())[..., 3]
