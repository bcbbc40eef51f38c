"""Which students of Hinton et al. 2015, section 3, are trained, and among what their settings are chosen: in full, or
as a quick look.

Everything is chosen by students of the choosing seeds, which learn from the training images, on the validation images
(`evidence.search.choose`); the results are of other seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

Grid = Mapping[str, Sequence[float]]

IMAGES = ("train", "all")  # what results learn from: the training images, or those and the validation images
DIGITS = tuple(range(10))
LIMITS = {"lr": (1e-4, 0.1), "temperature": (1.0, 160.0), "alpha": (0.1, 1.0)}

RATES: Grid = {"lr": (1e-3, 3e-3, 1e-2)}
AT_20: Grid = {"alpha": (0.5, 0.9, 1.0), "temperature": (20.0,), **RATES}
SOFT: Grid = {"alpha": (0.5, 0.9, 1.0), "temperature": (4.0, 8.0, 20.0), **RATES}


@dataclass(frozen=True)
class Method:
    """A way to train students of 784-units-units-10, and what is to be chosen for it.

    Attributes:
        grid: the values of each axis to begin with; one without "alpha" is of students that learn from labels alone.
        epochs: the first is the length at which the axes of the grid are searched. With what was found there, the
            length is chosen among all of them.
        longest: how far the length may grow.
        images: what the results learn from, of IMAGES.
        batch_size: smaller where there are few images, so that an epoch has about as many steps.
        classes: of the images in the transfer set.
        moved, sign: the classes whose biases are moved afterwards, up (1) or down (-1).
        jittered: whether the students see jittered images and match the mean of several teachers.
    """

    grid: Grid
    epochs: Sequence[int]
    longest: int
    images: Sequence[str] = ("all",)
    batch_size: int = 256
    units: int = 800
    classes: Sequence[int] = DIGITS
    moved: Sequence[int] = ()
    sign: int = 1
    jittered: bool = False


@dataclass(frozen=True)
class Scale:
    """How much is trained.

    Attributes:
        choosers: the seeds of the students that choose.
        seeds: those of the results.
        teachers, teacher_epochs: the teachers' seeds and their length.
        widen: whether an axis grows where its end is the best.
        methods: by name, in the order in which they are trained.
    """

    choosers: Sequence[int]
    seeds: Sequence[int]
    teachers: Sequence[int]
    teacher_epochs: int
    widen: bool
    methods: Mapping[str, Method] = field(repr=False)


def _methods() -> dict[str, Method]:
    """The section's students. One of 800 units that sees all digits takes five seconds an epoch on one core: hence the
    lengths."""
    long = {"epochs": (10, 20, 40), "longest": 40}
    without_3 = tuple(digit for digit in DIGITS if digit != 3)
    methods = {
        "7 and 8": Method(
            {**SOFT, "temperature": (20.0, 40.0, 80.0)},
            **long,
            batch_size=64,
            images=IMAGES,
            classes=(7, 8),
            moved=(7, 8),
            sign=-1,
        ),
        "at 20": Method(AT_20, **long),
        "without 3": Method(SOFT, **long, images=IMAGES, classes=without_3, moved=(3,)),
        "alone": Method(RATES, **long),
        "any temperature": Method(SOFT, **long),
    }
    for units, epochs in {5: 20, 10: 20, 30: 20, 100: 10, 300: 6}.items():
        soft = {"temperature": (1.0, 2.5, 4.0, 8.0, 20.0, 40.0), "alpha": (1.0,), **RATES}
        methods[alone_with(units)] = Method(RATES, (epochs,), longest=epochs, units=units)
        methods[distilled_with(units)] = Method(soft, (epochs,), longest=epochs, units=units)
    ensemble = {"temperature": (4.0, 20.0), "alpha": (1.0,), **RATES}
    methods["best"] = Method(ensemble, (10, 60), longest=180, images=("train",), jittered=True)
    return methods


def alone_with(units: int) -> str:
    """The name of the method by which students with two layers of so many units learn from labels alone."""
    return f"{units} units, alone"


def distilled_with(units: int) -> str:
    """The name of the method by which students with two layers of so many units are distilled."""
    return f"{units} units, distilled"


def _quick(method: Method) -> Method:
    """The same with two values of each axis, one or two epochs."""
    grid = {name: tuple(values[:2]) for name, values in method.grid.items()}
    return replace(method, grid=grid, epochs=(1, 2), longest=2)


FULL = Scale(
    choosers=(100, 101, 102),
    seeds=range(5),
    teachers=range(3),
    teacher_epochs=300,
    widen=True,
    methods=_methods(),
)
QUICK = Scale(
    choosers=(100,),
    seeds=range(2),
    teachers=range(2),
    teacher_epochs=4,
    widen=False,
    methods={name: _quick(method) for name, method in _methods().items() if method.units in (30, 800)},
)
