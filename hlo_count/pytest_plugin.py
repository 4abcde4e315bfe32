"""Flop budgets in pytest: the fixtures `flop_budget` and `flop_snapshot`, the mark `flops`, and options of pytest.

Imports nothing of jax, numpy or networkx until a test asks for a count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hlo_count.budgets.hold import BudgetOutcome, Record, SnapshotPlace
    from hlo_count.budgets.run import TestRun, Update
    from hlo_count.report.report import Report

_NAME = "hlo_count run"
_OF_SNAPSHOTS = ("rel", "ops")
_PENDING = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("flop budgets")
    group.addoption(
        "--flop-update",
        action="store_true",
        help="store the counts of this run as snapshots, and drop those that no test asks for",
    )
    group.addoption(
        "--flop-measure", action="store_true", help="run what budgets with measured=True are of, and hold its time"
    )
    group.addoption("--flop-target", metavar="TARGET", help="compile what names no target itself for this one")
    group.addoption("--flop-report", metavar="FILE", help="write the counts of this run into FILE as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "flops(**keywords): counts compiled programs; the keywords are those of flop_budget and flop_snapshot in it, "
        "unless a call has its own. Tests with these fixtures have the mark anyway: -m flops, -m 'not flops'",
    )
    config.pluginmanager.register(_Run(config), _NAME)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"flop_budget", "flop_snapshot"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("flops")


@pytest.fixture
def flop_budget(request: pytest.FixtureRequest) -> FlopBudget:
    """Hold a program to limits: `flop_budget(fn, *args, flops="2.1 GFLOP", max_ops={"all-gather": 0})`."""
    return FlopBudget(request)


@pytest.fixture
def flop_snapshot(request: pytest.FixtureRequest) -> FlopSnapshot:
    """Hold a program to its stored counts: `flop_snapshot(fn, *args, rel=0.01)`."""
    return FlopSnapshot(request)


class FlopBudget:
    """The fixture `flop_budget`."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._asking = _Asking(request)
        self._calls = 0

    def __call__(
        self, fn: Any, /, *args: Any, measured: bool = False, times_bound: float | None = None, **keywords: Any
    ) -> Report:
        """Count `fn(*args)` and raise BudgetExceeded where a limit is passed; returns the Report.

        Limits are the keywords of `hlo_count.report.limits.limits_of`; all others go to `hlo_count.count`, those of
        `fn` among them. One of `fn` that has the name of a limit, or of a keyword of `count`, goes in
        `kwargs={"flops": …}`.

        `measured`: under `pytest --flop-measure` it is run too, and may take `times_bound` times its bound, on the
        device at hand or `device`; elsewhere nothing is run.
        """
        __tracebackhide__ = True
        from hlo_count.budgets.hold import hold_budget

        self._calls += 1
        name = "budget" if self._calls == 1 else f"budget {self._calls}"
        marked = self._asking.marked
        keywords = {**{name: value for name, value in marked.items() if name not in _OF_SNAPSHOTS}, **keywords}
        if not measured and times_bound is None:
            return self._asking.hold(name, hold_budget, fn, args, keywords)
        from hlo_count.budgets.measured_times import checked_limit, hold_measured

        limit = checked_limit(times_bound if measured else None, keywords)
        counted = dict(keywords)
        if not {"bound", "min_bound"} & {*keywords}:
            counted.pop("device", None)  # it is for the time alone
        report = self._asking.hold(name, hold_budget, fn, args, counted)
        failure = hold_measured(fn, args, keywords, limit) if self._asking.measures else None
        if failure is not None:
            raise failure
        return report


class FlopSnapshot:
    """The fixture `flop_snapshot`."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._asking = _Asking(request)

    def __call__(
        self, fn: Any, /, *args: Any, rel: float | None = None, ops: bool | None = None, name: str = "", **keywords: Any
    ) -> Report:
        """Count `fn(*args)` and raise BudgetExceeded where it differs from what is stored; returns the Report.

        `rel`: how much each number may differ, either way, as a share of what was, 0 unless given. `ops=False` leaves
        the numbers of instructions out. `name` tells several snapshots of one test apart. All other keywords go to
        `hlo_count.count`.
        Raises HloCountError where nothing is stored, or what is stored cannot be read.
        """
        __tracebackhide__ = True
        from hlo_count.budgets.hold import hold_snapshot
        from hlo_count.report.limits import KEYWORDS

        given = {name: value for name, value in (("rel", rel), ("ops", ops)) if value is not None}
        marked = {name: value for name, value in self._asking.marked.items() if name not in KEYWORDS}
        wanted = {"rel": 0.0, "ops": True, **marked, **keywords, **given}
        more = {name: wanted.pop(name) for name in _OF_SNAPSHOTS}
        return self._asking.hold(name, hold_snapshot, fn, args, wanted, **more)


class _Asking:
    """A test that asks for counts."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._item: pytest.Item = request.node
        self._pending: list[Record] = self._item.stash.setdefault(_PENDING, [])
        self._names: set[str] = set()
        run = request.config.pluginmanager.get_plugin(_NAME)
        assert isinstance(run, _Run)
        self.update = run.update
        self.measures = bool(request.config.getoption("--flop-measure"))
        self._is_duplicate = run.is_duplicate(self._item)
        self._target: str | None = request.config.getoption("--flop-target")
        self.marked: dict[str, Any] = {}
        """What the marks of the test, of its class and of its module say, the nearest first."""
        for mark in self._item.iter_markers("flops"):
            self.marked = {**mark.kwargs, **self.marked}

    def _place(self, name: str, target: str | None) -> SnapshotPlace:
        """Where the snapshot of this name stands. Raises HloCountError where another one does too."""
        from hlo_count.budgets.hold import SnapshotPlace
        from hlo_count.budgets.run import key_of
        from hlo_count.budgets.snapshot import file_for
        from hlo_count.errors import HloCountError

        key = key_of(_test_id(self._item), target, name)
        place = SnapshotPlace(file_for(self._item.path), key, self._item.config.rootpath)
        if name in self._names:
            raise HloCountError(f"{place}: asked for twice in one test; tell them apart with name=…")
        if self._is_duplicate:
            raise HloCountError(f"{place}: two tests have the id {self._item.nodeid}; give them different ones")
        self._names.add(name)
        return place

    def hold(
        self,
        name: str,
        how: Callable[..., BudgetOutcome],
        fn: Any,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        **more: Any,
    ) -> Report:
        """The report of what holds; raises what does not, without our own frames in the traceback."""
        __tracebackhide__ = True
        from hlo_count.errors import HloCountError

        target = self._target if "target" not in keywords and _is_compiled_anew(fn) else None
        given = keywords if target is None else {**keywords, "target": target}
        try:
            held = how(fn, args, given, self._place(name, target), update=self.update, **more)
        except HloCountError as problem:
            raise problem.with_traceback(None) from None
        self._pending.append(held.record)
        if held.failure is not None:
            raise held.failure
        return held.report


class _Run:
    """One run of pytest. Records travel on the reports of tests, so that the workers of xdist need no files."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.update: bool = config.getoption("--flop-update")
        self.is_worker = hasattr(config, "workerinput")
        self._ids: Counter[str] | None = None
        self._outcomes: dict[str, list[tuple[str, str, list[Record]]]] = {}
        self._collected: list[tuple[str, str, str]] = []
        self._seen: dict[str, bool] = {}
        self._whole: set[str] = set()
        self._counted = False
        self._lines: list[str] = []

    def is_duplicate(self, item: pytest.Item) -> bool:
        """Whether another test of the run has the same id."""
        if self._ids is None:
            self._ids = Counter(each.nodeid for each in item.session.items)
        return self._ids[item.nodeid] > 1

    # What is collected, for knowing which snapshots no test asks for

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        if self.update:
            self._collected.append((str(item.path), _test_id(item), item.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if self.update:
            file = report.nodeid.partition("::")[0]
            self._seen[file] = report.passed and self._seen.get(file, True)

    def _files_seen_whole(self) -> list[str]:
        """The test files of which every test was collected, deselected ones included."""
        root, here = self.config.rootpath, self.config.invocation_params.dir
        narrowed = {(here / arg.partition("::")[0]).resolve() for arg in self.config.args if "::" in arg}
        if self.config.getoption("lf", False) or (narrowed and self.config.getoption("pyargs", False)):
            return []
        files = [root / node for node, passed in self._seen.items() if passed]
        return [str(file) for file in files if file.is_file() and file.resolve() not in narrowed]

    # What is counted

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        pending = item.stash.get(_PENDING, None)
        if pending:
            report.hlo_count = pending[:]  # type: ignore[attr-defined]
            pending.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        records: list[Record] = getattr(report, "hlo_count", [])
        if self.is_worker or not (records or self.update or report.nodeid in self._outcomes):
            return
        self._counted |= bool(records)
        if report.when == "setup":
            # A test that is run again starts anew.
            self._outcomes[report.nodeid] = []
        self._outcomes.setdefault(report.nodeid, []).append((report.when or "", report.outcome, records))

    # The end

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.is_worker:
            if self.update:
                output = self.config.workeroutput  # type: ignore[attr-defined]
                output["hlo_count"] = [self._collected, self._files_seen_whole()]
            return
        target = self.config.getoption("--flop-report")
        if not (self._counted or self.update or target):
            return
        from hlo_count.budgets.run import report_data, summary_lines
        from hlo_count.budgets.snapshot import write_whole

        tests = self._tests()
        update = None
        problems: list[str] = []
        if self.update and not self.config.getoption("collectonly", False):
            update = self._update(tests, exitstatus)
            problems += update.problems
        self._lines = summary_lines(tests, update)
        if target:
            file = Path(self.config.invocation_params.dir, target)
            try:
                write_whole(file, report_data(tests))
            except OSError as problem:
                problems.append(f"--flop-report: {file} cannot be written ({problem.strerror})")
                self._lines.append(f"ERROR {problems[-1]}")
        if problems and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        collected, whole = getattr(node, "workeroutput", {}).get("hlo_count", ([], []))
        self._collected += [(path, test, nodeid) for path, test, nodeid in collected]
        self._whole.update(whole)

    def _tests(self) -> dict[str, TestRun]:
        from hlo_count.budgets.run import TestRun

        tests: dict[str, TestRun] = {}
        for node, phases in self._outcomes.items():
            test = tests[node] = TestRun()
            for when, outcome, records in phases:
                test.records += records
                test.failed |= outcome != "passed"
                test.complete |= when == "call"
        return tests

    def _update(self, tests: dict[str, TestRun], exitstatus: int) -> Update:
        from hlo_count.budgets.run import Collected, update_snapshots

        collected = Collected(whole={*self._files_seen_whole(), *self._whole})
        for path, test, node in self._collected:
            collected.tests.setdefault(path, {})[test] = node
        target = self.config.getoption("--flop-target")
        finished = exitstatus in (
            *(pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED),
            pytest.ExitCode.NO_TESTS_COLLECTED,
        )
        return update_snapshots(tests, collected, target=target, may_drop=finished)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._lines:
            from hlo_count.harmless import printable

            terminalreporter.section("flop budgets")
            for line in self._lines:
                terminalreporter.write_line(printable(line))


def _is_compiled_anew(fn: Any) -> bool:
    """Whether there is a target to choose: of a function, not of what JAX has compiled or lowered, nor of a text."""
    return callable(fn) and not hasattr(fn, "as_text")


def _test_id(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[2] or item.name
