"""What an error that a learner's code raises means: Python and PyTorch name the line, not the reason."""

import re

from kdtutor.course.exercises.words import shortened

# The first pattern that is found in "TypeError: message" decides.
MEANINGS: tuple[tuple[str, str], ...] = (
    (
        "leaf Variable that requires grad",
        "a weight is changed in place while gradients are recorded: put the update under `with torch.no_grad():`",
    ),
    (
        "does not require grad and does not have a grad_fn",
        "`backward` finds no way back to the weights. Only the teacher belongs under `torch.no_grad()`: the student "
        "must be called outside of it, and nothing of its loss detached, or taken out by .item() or argmax",
    ),
    (
        "backward through the graph a second time",
        "`backward` is called twice on one loss: once is enough, and it frees what a second call would need",
    ),
    (
        "grad can be implicitly created only for scalar",
        "`backward` needs a loss that is one number: the mean over the batch is missing",
    ),
    (
        "unsupported operand .*NoneType|'NoneType' object has no attribute",
        "something here is None, as gradients are before `backward` and again after `zero_grad`, and as the value of a "
        "function without `return` is",
    ),
    (
        "numpy.* requires grad",
        "numpy can't take a tensor that has a gradient, and nothing behind numpy would train: stay with torch",
    ),
    (
        "Boolean value of Tensor with more than one value|truth value of an array",
        "an `if`, `and` or `max` of Python asks a whole tensor for one truth value: `torch.where`, `&` or "
        "`torch.maximum` decide number by number",
    ),
    (
        "only one element tensors can be converted|elements cannot be converted to Scalar|only integer tensors of a",
        "`.item()`, `float` and Python's `math` take one number: for a tensor there are torch.log, torch.exp and so on",
    ),
    (
        "must match the (size|existing size)|shapes cannot be multiplied",
        "two shapes don't fit. A sum or mean takes its axis away unless it has `keepdim=True`, and labels (N,) stand "
        "beside (N, C) only as (N, 1)",
    ),
    (
        "could not infer output dtype|Input dtype must be either a floating point",
        "True and False, and whole numbers, have no mean in torch: `.float()` or `.double()` first",
    ),
    ("Dimension out of range", "there is no such axis in this call: the classes are always the last one, -1"),
    (
        "Index tensor must have the same number of dimensions",
        "`scatter_` and `gather` want an index with as many axes as the tensor, one per row: labels[:, None]",
    ),
    (
        "Expected dtype int\\S* for index|tensors used as indices must be",
        "an index must be a whole number: keep labels and argmax as they are, in int64",
    ),
    (
        "unsupported operand type.*'list'|list indices must be|'list' object has no attribute",
        "this argument comes as a list: torch.tensor(...) makes a tensor of it, with which arithmetic works",
    ),
    (
        "unexpected keyword argument|positional arguments? but|missing .* required positional",
        "the function is called with the arguments of the stub, by position: keep them and their order",
    ),
    ("math domain error|expected a positive input", "this takes the logarithm or the root of a number that has none"),
    ("ZeroDivisionError", "something is divided by 0 here"),
    ("NameError", "is that name defined above, and was the cell that defines it run in this session?"),
    (
        "result type .* can't be cast",
        "an operation in place can't turn whole numbers into fractions: make a floating-point tensor first",
    ),
)


def describe_error(error: Exception) -> str:
    """The error in a sentence, and what it means where that is known."""
    raised = f"{type(error).__name__}: {shortened(str(error))}"
    for pattern, meaning in MEANINGS:
        if re.search(pattern, f"{type(error).__name__}: {error}", re.DOTALL):
            return f"it raises {raised.rstrip('.')}. That means: {meaning}"
    return f"it raises {raised}"
