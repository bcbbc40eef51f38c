"""What a cell finds in the worker instead of IPython, where its prints go, and how its errors are described."""

import io
import types

from kdtutor._text import one_line

CELL = "<your code>"  # the file name of a cell, in tracebacks
MAX_PRINTED_CHARACTERS = 20_000  # by a cell
MAX_MESSAGE_CHARACTERS = 500  # of an exception's message
WATCHING_MAGICS = ("time", "capture")  # their cells do the same without them


def compiled(source: str) -> types.CodeType:
    """The code of a cell. IPython's syntax (magics, !commands) is translated only where Python's own doesn't do."""
    try:
        return compile(source, CELL, "exec", dont_inherit=True)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager  # slow to import

        return compile(TransformerManager().transform_cell(source), CELL, "exec", dont_inherit=True)


class Shell:
    """Stands in for IPython: magics aren't run, but for the code below %%time and %%capture."""

    def __init__(self, namespace: dict) -> None:
        self._namespace = namespace

    def run_line_magic(self, name: str, line: str, *_, **__) -> None:
        """Say that it isn't run."""
        print(f"%{name} is left out in grading.")

    def run_cell_magic(self, name: str, line: str, body: str) -> None:
        """Run the body of a magic that only watches."""
        if name not in WATCHING_MAGICS:
            raise RuntimeError(f"%%{name} can't be graded: leave it out")
        exec(compile(body, CELL, "exec"), self._namespace)

    def system(self, command: str) -> None:
        """Say that it isn't run."""
        print(f"!{command} is left out in grading.")

    getoutput = system


class CappedOutput(io.TextIOBase):
    """A stream that keeps the first characters, and drops the rest."""

    def __init__(self) -> None:
        self.text = ""
        self.dropped = 0

    def write(self, text: str) -> int:
        kept = text[: MAX_PRINTED_CHARACTERS - len(self.text)]
        self.text += kept
        self.dropped += len(text) - len(kept)
        return len(text)

    def __str__(self) -> str:
        if self.dropped:
            return f"{self.text}\n[{self.dropped:,} more characters were printed]\n"
        return self.text


def describe(error: BaseException) -> str:
    """What went wrong, in one sentence that names the line of the cell."""
    if isinstance(error, SystemExit):
        return "your code calls exit()"
    name = type(error).__name__
    message = message_of(error)
    if name == "EOFError" and message == "EOF when reading a line":
        return "your code waits for input(), which nobody answers in grading"

    sentence = f"your code raises {name}"
    if message:
        sentence += f": {message}"
    line = _line_of_cell(error)
    if line and not isinstance(error, SyntaxError):  # a syntax error's message has the line in it
        sentence += f" (line {line} of its cell)"
    return sentence


def message_of(error: BaseException) -> str:
    """An exception's message in one line, cut; whatever the exception is, it doesn't raise."""
    try:
        return one_line(error)[:MAX_MESSAGE_CHARACTERS]
    except BaseException:
        return "an exception without words"


def _line_of_cell(error: BaseException) -> int | None:
    """The line of the innermost frame that is a cell's."""
    line = None
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == CELL:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
