"""Built-in handwritten-looking digits, for where MNIST isn't available: 28x28, white ink on black.

A digit is a few pen strokes: smooth curves through a handful of control points. Each image moves those points
a little, as a hand does, then slants, turns, stretches and bends the digit and inks it with a pen of its own
width. Some fours come out closed like nines, some sevens short-armed like ones: which digits look alike is in
the data, so a teacher's soft targets can tell it. All of it is batched torch on the CPU. Nothing here knows
about files or splits.
"""

from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

VERSION = 1  # names the recipe: raise it whenever the same seed would draw other images

# The styles of each digit, all equally likely. Points are x,y in percent of the unit box, y down, as they are
# written. The curve passes smoothly through them; "!" makes a sharp corner, "|" lifts the pen.
STYLES = {
    0: [
        "55,3 25,15 12,50 25,86 50,97 77,83 88,48 76,14 52,3",  # round
        "60,6 32,20 20,58 32,92 52,96 72,78 80,42 70,12 48,5",  # narrow, the ends cross
        "68,5 36,18 16,58 30,92 58,94 80,64 74,30 46,20",  # curling in, on the way to a six
    ],
    1: [
        "52,2 51,50 49,98",  # a bare bar
        "62,2 51,50 40,98",  # leaning
        "30,24 54,3! 52,50 50,98",  # with a flag, on the way to a seven
        "34,20 52,3! 51,50 50,96 | 26,97 76,95",  # with flag and foot
    ],
    2: [
        "15,25 36,5 68,8 76,32 50,64 12,94! 88,92",  # flat foot
        "14,24 40,4 74,14 70,44 42,78 18,92 16,79 34,77 60,92 90,88",  # a loop in the foot
        "16,18 46,4 78,16 66,46 18,93! 50,90 86,96",  # swan's neck
    ],
    3: [
        "18,12 50,3 76,22 42,46! 80,64 60,94 14,88",  # a cusp in the middle
        "20,14 50,3 74,18 66,40 48,47 70,54 82,74 56,97 16,86",  # round
        "18,6 76,5! 44,40! 82,60 66,94 14,90",  # flat top
        "30,24 50,3 74,20 46,46! 80,68 52,97 22,74",  # curling in, on the way to an eight
    ],
    4: [
        "28,4 14,56! 86,52 | 68,18 64,98",  # open, straight
        "30,6 18,34 28,52 70,44 | 74,8 70,50 64,98",  # open, round
        "66,3 12,62! 88,60 | 66,3 63,98",  # closed, a triangle
        "60,6 20,46! 72,46 | 72,5 66,50 62,98",  # nearly closed, on the way to a nine
    ],
    5: [
        "78,5 28,6! 22,44! 58,38 80,64 60,94 14,88",  # in one go
        "30,6 24,44! 60,40 78,68 54,96 14,86 | 30,6 82,4",  # the bar last
        "80,8 38,8 24,36 62,50 74,78 44,97 14,86",  # no corner, like an s
        "74,5 34,12 24,50! 56,42 80,66 52,97 22,80",  # curling in, on the way to a six
    ],
    6: [
        "66,3 32,32 18,72 44,97 76,80 62,54 24,72",  # curved back
        "54,2 26,50 24,84 50,97 74,80 56,60 26,78",  # straight back
        "74,10 50,4 22,40 20,82 50,97 80,74 56,48 22,64",  # curled top
        "64,4 32,22 16,62 36,95 70,88 78,56 56,38 24,52",  # a tall bowl, on the way to a nought
    ],
    7: [
        "12,8 84,6! 56,50 42,98",  # plain
        "12,10 82,8! 58,50 46,98 | 30,52 76,48",  # crossed
        "14,22 16,8! 84,8! 60,44 50,98",  # with a serif
        "12,14 48,6 80,12 62,50 44,98",  # no corner
        "22,14 69,6! 57,50 46,98",  # short-armed, on the way to a one
    ],
    8: [
        "72,14 46,3 24,22 50,46 78,72 50,97 20,76 46,50 74,26 66,8",  # in one go
        "50,3 26,24 50,46 74,24 50,3 | 50,46 20,72 50,97 80,72 50,46",  # two rings
        "78,14 44,4 28,24 72,66 54,96 24,80 74,24 72,10",  # slim waist, open above
    ],
    9: [
        "74,22 46,4 20,28 42,50 74,24! 70,60 62,98",  # straight tail
        "76,18 44,5 22,30 46,50 76,20 78,62 54,96 22,88",  # curved tail
        "72,14 40,8 26,34 50,48 72,18! 68,98",  # upright, open above
    ],
}

# How the whole digit is bent: what x, y, x², xy and y², from the middle of the box, add to the new x and y.
BEND_MEAN = torch.tensor([(0.95, 0), (-0.12, 1.05), (0, 0), (0, 0), (0, 0)])  # people lean to the right
BEND_SPREAD = torch.tensor([(0.10, 0.10), (0.20, 0.10), (0.15, 0.15), (0.15, 0.15), (0.15, 0.15)])
WOBBLE = 0.05  # standard deviation of a control point, in box widths
SIZE, SIZE_SPREAD = 18.0, 0.05  # longer side of the pen's path in pixels; its relative standard deviation
SHIFT_DEVIATION = 0.9  # standard deviation of the centre of mass, in pixels
MAX_OFFSET = 11.5  # how far from the middle of the image the path may go, in pixels
PEN_WIDTHS = (0.7, 1.4)  # least and greatest standard deviation of a line's profile, in pixels: 1.6 to 3.3 wide
PRESSURE = 0.15  # standard deviation of the pen's relative change of width from mid-path to its end
GRAIN = 0.06  # relative standard deviation of a pixel's ink

PATH_POINTS = 64  # on a digit's path
IMAGES_AT_ONCE = 1_000  # images drawn at a time, in about 50 MB
PIXEL_CENTRES = torch.arange(28) - 13.5  # centres along a row or a column, from the middle of the image
CATMULL_ROM = torch.tensor([(0.0, 2, 0, 0), (-1, 0, 1, 0), (2, -5, 4, -1), (-1, 3, -3, 1)]) / 2


def make(train: int = 60_000, test: int = 10_000, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw a data set: train_images, train_labels, test_images, test_labels.

    Images are (N, 1, 28, 28) uint8, labels (N,) int64, each digit equally likely. Both halves have a random
    stream of their own, so the test images don't depend on `train`. Raises ValueError for a count below 1.
    """
    for name, count in (("train", train), ("test", test)):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of images >= 1, got {count!r}")
    return *_draw_half(train, seed=2 * seed), *_draw_half(test, seed=2 * seed + 1)


def _draw_half(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images and labels of one half, from a random stream of its own."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=generator)
    return draw(labels, generator), labels


def draw(labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw one digit for each of labels (N,) int64 in 0..9: images (N, 1, 28, 28) uint8, 255 = white ink.

    As in MNIST a digit is about 20 pixels long, its centre of mass near the middle. Without a generator the
    global one is used. Raises ValueError for labels of another type, shape or range.
    """
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.dim() != 1:
        got = type(labels).__name__
        if isinstance(labels, Tensor):
            got = f"{labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"labels must be a tensor of int64 and shape (N,), got {got}")
    if len(labels) and not 0 <= labels.min() <= labels.max() <= 9:
        raise ValueError(f"labels must be in 0..9, got {labels.min().item()}..{labels.max().item()}")
    return torch.cat([_ink(*_write(part, generator), generator) for part in labels.split(IMAGES_AT_ONCE)])


def _write(labels: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Move the pen: middles (N, S, 2) and lengths (N, S, 1) of the steps of its path, in pixels, y down."""
    uniform = partial(torch.rand, generator=generator)
    normal = partial(torch.randn, generator=generator)
    n = len(labels)

    # a style of the digit, its points a little off
    styles = _styles()
    style = styles.first_row[labels] + (styles.per_digit[labels] * uniform(n)).long()  # (N,)
    control = styles.control[style]  # (N, K, 2)
    path = styles.curves[style] @ (control + WOBBLE * normal(*control.shape))  # (N, PATH_POINTS, 2)

    # bent as a whole, and brought to its size
    x, y = path.unbind(-1)
    bend = BEND_MEAN + BEND_SPREAD * normal(n, 5, 2)
    path = torch.stack([x, y, x * x, x * y, y * y], -1) @ bend  # (N, PATH_POINTS, 5) @ (N, 5, 2)
    extent = (path.amax(1) - path.amin(1)).amax(-1).view(n, 1, 1)
    path = path / extent * SIZE * (1 + SIZE_SPREAD * normal(n, 1, 1))

    # steps of the pen, the middle of their ink near the middle of the image
    length = path.diff(dim=1).norm(dim=-1, keepdim=True) * styles.drawn[style].unsqueeze(-1)  # 0 while the pen is up
    middle = (path[:, 1:] + path[:, :-1]) / 2
    centre = (middle * length).sum(1, keepdim=True) / length.sum(1, keepdim=True)
    least = -MAX_OFFSET - middle.amin(1, keepdim=True)  # how far it may be moved
    most = MAX_OFFSET - middle.amax(1, keepdim=True)
    return middle + (SHIFT_DEVIATION * normal(n, 1, 2) - centre).clamp(least, most), length


def _ink(middle: Tensor, length: Tensor, generator: torch.Generator | None) -> Tensor:
    """Ink the path: images (N, 1, 28, 28) uint8.

    Each step leaves a Gaussian blot, the product of a profile across the image and one down it, so the sum of
    all blots is a matrix product. It is about 1 in the middle of a line, whatever the pen's width.
    """
    uniform = partial(torch.rand, generator=generator)
    normal = partial(torch.randn, generator=generator)
    n, steps, _ = middle.shape

    width = PEN_WIDTHS[0] + (PEN_WIDTHS[1] - PEN_WIDTHS[0]) * uniform(n, 1, 1)
    width = width * (1 + PRESSURE * normal(n, 1, 1) * torch.linspace(-1, 1, steps).view(-1, 1))  # (N, S, 1)

    distance = (middle.unsqueeze(-1) - PIXEL_CENTRES) / width.unsqueeze(-1)  # (N, S, 2, 28)
    across, down = torch.exp(-distance.square() / 2).unbind(2)
    ink = (down * length / (width * (2 * torch.pi) ** 0.5)).mT @ across  # (N, 28, S) @ (N, S, 28)
    ink = ink * (1 + GRAIN * normal(n, 28, 28))
    return (255 * (2 * ink - 0.4).clamp(0, 1)).round().to(torch.uint8).unsqueeze(1)  # soft edge, full core


class _Styles(NamedTuple):
    """STYLES as tensors, one row for each of the P styles, those of a digit side by side."""

    control: Tensor  # (P, K, 2): control points, from the middle of the box, padded with 0
    curves: Tensor  # (P, PATH_POINTS, K): weights of the control points along the path
    drawn: Tensor  # (P, PATH_POINTS - 1): whether the pen is down in a step of the path
    per_digit: Tensor  # (10,): how many styles a digit has
    first_row: Tensor  # (10,): the row of its first one


@cache
def _styles() -> _Styles:
    points: list[Tensor] = []
    pieces: list[list[list[int]]] = []
    for styles in STYLES.values():
        for style in styles:
            its_points, its_pieces = _parse(style)
            points.append(its_points)
            pieces.append(its_pieces)
    control = pad_sequence(points, batch_first=True)

    curves: list[Tensor] = []
    drawn: list[Tensor] = []
    for its_points, its_pieces in zip(points, pieces, strict=True):
        curve, its_drawn = _curve(its_points, its_pieces, columns=control.shape[1])
        curves.append(curve)
        drawn.append(its_drawn)

    per_digit = torch.tensor([len(styles) for styles in STYLES.values()])
    first_row = per_digit.cumsum(0) - per_digit
    return _Styles(control, torch.stack(curves), torch.stack(drawn), per_digit, first_row)


def _parse(style: str) -> tuple[Tensor, list[list[int]]]:
    """Control points (k, 2) of a style; its smooth pieces between corners and lifts, as indices of points."""
    points: list[list[float]] = []
    pieces: list[list[int]] = []
    for stroke in style.split("|"):
        piece: list[int] = []
        for mark in stroke.split():
            piece.append(len(points))
            points.append([int(percent) / 100 - 0.5 for percent in mark.rstrip("!").split(",")])
            if mark.endswith("!"):
                pieces.append(piece)
                piece = piece[-1:]  # the next one starts at the corner
        pieces.append(piece)
    return torch.tensor(points), pieces


def _curve(points: Tensor, pieces: list[list[int]], columns: int) -> tuple[Tensor, Tensor]:
    """Catmull-Rom weights (PATH_POINTS, columns) of the points along the path; which steps between are drawn."""
    segments = []  # each as the points before it, at its start, at its end, after it
    for piece in pieces:
        padded = [piece[0], *piece, piece[-1]]  # a piece's end counts as its own neighbour
        for i in range(len(piece) - 1):
            segments.append(padded[i : i + 4])
    around = torch.tensor(segments)  # (segments, 4)
    chord = (points[around[:, 2]] - points[around[:, 1]]).norm(dim=-1)
    ends = chord.cumsum(0)

    at = (torch.arange(PATH_POINTS) + 0.5) / PATH_POINTS * ends[-1]  # evenly spread
    segment = torch.searchsorted(ends, at)
    t = 1 - (ends[segment] - at) / chord[segment]  # 0..1 along the segment

    weights = torch.stack([t**0, t, t**2, t**3], -1) @ CATMULL_ROM  # (PATH_POINTS, 4)
    curve = torch.zeros(PATH_POINTS, columns).scatter_add_(1, around[segment], weights)
    lifts = torch.cat([torch.tensor([0]), (around[1:, 1] != around[:-1, 2]).cumsum(0)])
    return curve, lifts[segment].diff() == 0
