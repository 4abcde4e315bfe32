"""The command line: `hlo-count count`, and the other commands of `command_options`.

Exit codes: 0 done, 1 a budget or comparison failed, 2 the command or its input was wrong or the result could not be
written, 3 `--strict` and something is not known. What is decided stays so whatever becomes of the output.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from hlo_count.command_options import Asked, command_parser
from hlo_count.commands import DONE, UNKNOWN, WRONG, Outcome
from hlo_count.console import (
    Ended,
    ended_by_signals,
    flush_all,
    hold_closed_streams,
    is_terminal,
    leave,
    say,
    witnessed,
    write,
)
from hlo_count.errors import HloCountError, UnknownCostError
from hlo_count.harmless import harmless_lines
from hlo_count.layout import columns
from hlo_count.project_defaults import project_defaults
from hlo_count.terminal import told_while_it_lasts

INTERRUPTED = 130
_LINES = 12
"""Of a message of the user's own code, or of JAX."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Whatever goes wrong is one line on standard error and an exit code, never a traceback."""
    hold_closed_streams()
    try:
        with witnessed() if argv is None else nullcontext(), ended_by_signals():
            return _finished(_outcome(argv))
    except Ended as end:
        leave(str(end), end.code)
    except KeyboardInterrupt:
        if argv is None:  # the process is ours
            leave("interrupted", INTERRUPTED)
        say("hlo-count: interrupted")
        return INTERRUPTED
    finally:
        flush_all()


def _finished(outcome: Outcome) -> int:
    """The exit code, once all is written."""
    problem = write(outcome.text, sys.stdout) if outcome.text else None
    for line in outcome.said:
        say(line)
    if problem is None or isinstance(problem, BrokenPipeError):  # the reader (a pager, head) has seen enough
        return outcome.code
    reason = getattr(problem, "strerror", None) or problem
    say(f"hlo-count: the result cannot be written to standard output: {reason}")
    return outcome.code or WRONG


def _outcome(argv: Sequence[str] | None) -> Outcome:
    try:
        options = command_parser().parse_args(argv)
    except Asked as text:
        return Outcome(str(text))
    except SystemExit as stop:  # the options are wrong, which has been said
        return Outcome(code=int(stop.code or DONE))
    try:
        defaults = project_defaults(Path.cwd())
        defaults.fill_in(options)
        told = told_while_it_lasts() if options.tells and is_terminal(sys.stderr) else nullcontext()
        with warnings.catch_warnings(), columns(options.width or defaults.width), told:
            warnings.showwarning = _show_warning
            outcome: Outcome = options.run(options)
            return outcome
    except HloCountError as problem:
        return Outcome(
            code=UNKNOWN if isinstance(problem, UnknownCostError) else WRONG,
            said=(f"hlo-count: {problem}{_notes(problem)}",),
        )
    except SystemExit as stop:
        said = f"the program calls sys.exit({_shown(stop.code, repr)}) while it is loaded or traced"
    except (KeyboardInterrupt, Ended):
        raise
    except MemoryError:
        said = "out of memory: what is counted takes more than this process may have"
    except BaseException as problem:  # the user's own function, or JAX tracing and compiling it
        said = f"{type(problem).__name__}: {_shown(problem)}{_notes(problem)}"
    return Outcome(code=WRONG, said=(f"hlo-count: {said}",))


def _shown(value: object, how: Callable[[object], str] = str) -> str:
    """What is to be said of something of the user's; his own code makes the text, which may fail."""
    try:
        return harmless_lines(how(value).strip(), _LINES)
    except Exception:
        return f"(a {type(value).__name__} that cannot be shown)"


def _notes(problem: BaseException) -> str:
    """What was added to an error on its way, where it is a word or two: JAX's own notes are paragraphs."""
    notes = [note for note in getattr(problem, "__notes__", ()) if "\n" not in note]
    return f" ({_shown('; '.join(notes))})" if notes else ""


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """What there is to say, without the line of code that says it."""
    say(f"hlo-count: warning: {message}")
