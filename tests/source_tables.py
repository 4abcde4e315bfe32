"""The tables of a module's source lines, as XLA prints them above its computations."""

from __future__ import annotations


def source_tables(*stack: tuple[str, str, int]) -> str:
    """Of calls as (file, function, line), the outermost first, each with an id of its own: the last call's is their
    number, as `stack_frame_id` is."""
    calls = list(enumerate(stack, 1))
    place = "{{file_name_id={0} function_name_id={0} line={1} end_line={1} column=1 end_column=9}}"
    tables = {
        "FileNames": [f'{n} "{file}"' for n, (file, _, _) in calls],
        "FunctionNames": [f'{n} "{function}"' for n, (_, function, _) in calls],
        "FileLocations": [f"{n} {place.format(n, line)}" for n, (_, _, line) in calls],
        # Each parent is printed one higher than it is: the first has none.
        "StackFrames": [f"{n} {{file_location_id={n} parent_frame_id={n}}}" for n, _ in calls],
    }
    return "".join("\n".join([name, *rows, "", ""]) for name, rows in tables.items())
