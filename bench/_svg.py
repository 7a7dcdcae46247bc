"""SVG by hand: the few elements that `plots.py` draws with, one to a line, the same bytes for the same picture.

A picture has its own ground, and colours for a light and a dark one, since a page that shows it by `<img>` can
give it neither. Widths of texts are estimated for the widest usual font, so that nothing overflows in another.
"""

from dataclasses import dataclass, field
from textwrap import wrap
from typing import Final
from xml.sax.saxutils import escape, quoteattr

WIDTH: Final = 760
MARGIN: Final = 16
SMALL: Final = 11
NORMAL: Final = 13
LARGE: Final = 16
_PER_CHARACTER: Final = 0.62  # of the font's size, in DejaVu Sans
_STYLE: Final = """
  <style>
    text { font-family: Helvetica, Arial, "DejaVu Sans", sans-serif; fill: #1f2328; }
    .ground { fill: #ffffff; stroke: #d1d9e0; }
    .faint { fill: #59636e; }
    .strong { font-weight: bold; }
    .end { text-anchor: end; }
    .middle { text-anchor: middle; }
    .ours { fill: #0a7d5c; }
    .peer { fill: #9aa7b4; }
    .floor { fill: none; stroke: #9aa7b4; }
    .behind { fill: #c4320a; }
    .line { stroke: #59636e; stroke-width: 1; }
    .rule { stroke: #d1d9e0; stroke-width: 1; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .ground { fill: #0d1117; stroke: #3d444d; }
      .faint { fill: #9198a1; }
      .ours { fill: #2fbf94; }
      .peer { fill: #656f7a; }
      .floor { stroke: #656f7a; }
      .behind { fill: #ff7b54; }
      .line { stroke: #9198a1; }
      .rule { stroke: #3d444d; }
    }
  </style>
"""


def width_of(text: str, size: int = NORMAL) -> float:
    """Return how many pixels a text takes at most."""
    return len(text) * size * _PER_CHARACTER


@dataclass
class Picture:
    """A picture that grows downwards; `y` is where the next thing goes."""

    title: str
    y: float = MARGIN
    described: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, content: str, *, kind: str = "", size: int = NORMAL) -> None:
        """Put a text on the line whose foot is at `y`."""
        attributes = f' class="{kind}"' if kind else ""
        self.parts.append(
            f'<text x="{_number(x)}" y="{_number(self.y)}" font-size="{size}"{attributes}>{escape(content)}</text>'
        )

    def paragraph(self, content: str, *, kind: str = "", size: int = NORMAL) -> None:
        """Put a text over as many lines as it needs, and go below it."""
        columns = int((WIDTH - 2 * MARGIN) / (size * _PER_CHARACTER))
        for line in wrap(content, columns):
            self.y += size + 4
            self.text(MARGIN, line, kind=kind, size=size)

    def bar(self, x: float, width: float, height: float, kind: str, tip: str) -> None:
        """Put a bar that stands on `y`."""
        self.parts.append(
            f'<rect x="{_number(x)}" y="{_number(self.y - height + 2)}" width="{_number(max(width, 1))}" '
            f'height="{_number(height)}" class="{kind}"><title>{escape(tip)}</title></rect>'
        )

    def line(self, start: float, end: float, y: float, kind: str = "line") -> None:
        """Put a level line."""
        at = _number(y)
        self.parts.append(
            f'<line x1="{_number(start)}" y1="{at}" x2="{_number(end)}" y2="{at}" class="{kind}"/>'
        )

    def upright(self, x: float, top: float, bottom: float, kind: str, below: int) -> None:
        """Put an upright line under all but the first `below` parts."""
        at = _number(x)
        line = f'<line x1="{at}" y1="{_number(top)}" x2="{at}" y2="{_number(bottom)}" class="{kind}"/>'
        self.parts.insert(below, line)

    def dot(self, x: float, y: float, kind: str, tip: str) -> None:
        """Put a dot; one that is behind is a diamond, for those who do not see its colour."""
        if kind == "behind":
            points = (
                f"{_number(x - 6)},{_number(y)} {_number(x)},{_number(y - 6)} {_number(x + 6)},{_number(y)}"
            )
            points += f" {_number(x)},{_number(y + 6)}"
            drawn = f'<polygon points="{points}" class="behind"><title>{escape(tip)}</title></polygon>'
        else:
            at = f'cx="{_number(x)}" cy="{_number(y)}"'
            drawn = f'<circle {at} r="5" class="{kind}"><title>{escape(tip)}</title></circle>'
        self.parts.append(drawn)

    def svg(self) -> str:
        """Return the file."""
        height = _number(self.y + MARGIN)
        size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ground = f'width="{WIDTH - 1}" height="{_number(self.y + MARGIN - 1)}" rx="6" class="ground"'
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={quoteattr(self.title)}>',
                f"  <title>{escape(self.title)}</title>",
                "  <desc>",
                *(f"    {escape(line)}" for line in self.described),
                f"  </desc>{_STYLE.rstrip()}",
                f'  <rect x="0.5" y="0.5" {ground}/>',
                *(f"  {part}" for part in self.parts),
                "</svg>\n",
            )
        )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
