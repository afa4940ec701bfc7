"""A pytest plugin: the rules of the contract as tests of an implementation.

``pytest --chardev-target c:./libdevice.so`` adds a test for each rule, named ``chardev::RULE``, to those that it
collects; everything that pytest offers follows: selection with ``-k``, JUnit files, parallel jobs.
The scenarios are run once, when the first of the tests is; a rule fails when it is the first that a finding names, is
skipped when nothing reached it, and passes otherwise.

Without the option the plugin does nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from chardev_conformance.results import Found, Report

CALLS: Final = 20_000
"""Calls of the API by default: a few seconds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add = parser.getgroup("chardev", "the SPICE character-device API").addoption
    add(
        "--chardev-target",
        metavar="TARGET",
        help="test this implementation: each rule of the contract is a test",
    )
    add("--chardev-calls", type=int, default=CALLS, metavar="N", help=f"calls (default {CALLS:,})")
    add("--chardev-seed", type=int, default=1, metavar="N", help="of the random scenarios")
    add("--chardev-profile", default="contract", metavar="NAME", help="what to hold it against")
    add("--chardev-lacks", default="", metavar="NAME,...", help="what it lacks: is not tested")


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for each rule that is in force."""
    if config.getoption("chardev_target") is None:
        return
    from chardev_spec.rules import RULES

    checked = _Checked(config)
    rules = [rule.id for rule in RULES.values() if not rule.planned]
    items += [
        RuleItem.from_parent(session, name=f"chardev::{each}", rule=each, checked=checked)
        for each in rules
    ]


class _Checked:
    """The check of one session, made when it is first asked for."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._report: Report | None = None

    def option(self, name: str) -> Any:
        """The value of an option."""
        return self._config.getoption(f"chardev_{name}")

    def report(self) -> "Report":
        """What the check has found."""
        if self._report is None:
            from chardev_conformance.campaign import run_campaign
            from chardev_conformance.targets import open_target
            from chardev_spec.profiles import profile_named

            lacks = frozenset(filter(None, self.option("lacks").split(",")))
            with open_target(self.option("target"), lacks) as opened:
                self._report = run_campaign(
                    opened.factory,
                    seed=self.option("seed"),
                    calls=self.option("calls"),
                    machine=profile_named(self.option("profile")).machine,
                    keeps_going=True,
                )
        return self._report


class RuleItem(pytest.Item):
    """One rule of the contract as a test."""

    def __init__(self, *, rule: str, checked: _Checked, **options: Any) -> None:
        super().__init__(**options)
        self._rule = rule
        self._checked = checked

    def runtest(self) -> None:
        """Fail with the finding, skip what was not reached."""
        from chardev_conformance.results import exercised

        report = self._checked.report()
        for found in report.found:
            if found.finding.rule == self._rule:
                self._fail(found)
        if not exercised(report.statistics)[self._rule]:
            pytest.skip("nothing reached this rule")

    def _fail(self, found: "Found") -> NoReturn:
        raise BrokenRuleError("\n".join(self._lines(found)))

    def _lines(self, found: "Found") -> Iterator[str]:
        from chardev_conformance.trace import LEGEND, dumps, readable
        from chardev_spec.rules import RULES

        finding = found.finding
        yield readable(found.scenario)
        yield f"\n{LEGEND}\n"
        yield f"rule         {finding.rule} ({RULES[finding.rule].title})"
        yield f"where        {finding.where or 'after the last step'}"
        yield f"allowed      {finding.allowed}"
        yield f"seen         {finding.seen}"
        yield "\nthe trace, for `chardev check TARGET --replay FILE`:"
        yield dumps(found.scenario)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> str:
        """The finding; no stack of the checker."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it stands in pytest's lists."""
        return Path("chardev"), None, self.name


class BrokenRuleError(AssertionError):
    """The implementation breaks the rule; the text says how, and replays it."""
