"""Data of any depth without recursion: Python's stack has an end, calls in calls and operands of operands have none."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Hashable, Iterable
from typing import Any, TypeVar

Node = TypeVar("Node", bound=Hashable)
Found = TypeVar("Found")

Task = Generator["Task[Any]", Any, Found]
"""Work that yields other work and is sent what comes of it: a recursive function with `yield` before each call of its
own kind."""


def post_order(start: Node, below: Callable[[Node], Iterable[Node]], known: Container[Node] = ()) -> list[Node]:
    """`start` after all that stands below it, each node once. What is `known` is left out, with what it alone leads to.

    What is worked out and kept in this order asks for nothing that is not there, so that it asks no deeper than once.
    """
    entered = {start}
    done: list[Node] = []
    path = [(start, iter(below(start)))]
    while path:
        node, left = path[-1]
        for following in left:
            if following not in entered and following not in known:
                entered.add(following)
                path.append((following, iter(below(following))))
                break
        else:
            done.append(node)
            path.pop()
    return done


def finished(task: Task[Found]) -> Found:
    """What comes of a task, those that it waits for on a stack of their own."""
    waiting: list[Task[Any]] = [task]
    answer: Any = None
    while waiting:
        try:
            asked = waiting[-1].send(answer)
        except StopIteration as stop:
            waiting.pop()
            answer = stop.value
        else:
            waiting.append(asked)
            answer = None
    found: Found = answer
    return found
