"""The rules as data: their ids, their text, and what they refer to."""

import re
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from itertools import groupby
from typing import Final

import pytest

from chardev_spec import errors
from chardev_spec.rules import RULES, WORDS, Rule

SECTIONS: Final = (
    ("Callbacks", "CB", 5),
    ("Tokens, client to port", "TOK", 6),
    ("Self tokens, server to port", "SELF", 4),
    ("Buffers", "BUF", 6),
    ("Writing to the port", "WR", 8),
    ("Reading from the port, fan-out", "RD", 9),
    ("Life cycle", "LC", 9),
    ("Migration", "MIG", 6),
    ("Devices on top", "DEV", 2),
    ("Beyond the header", "EXT", 2),
)
"""Each section's title, the prefix of its ids, and how many rules it has."""

IDS: Final = tuple(
    f"{prefix}-{number}" for _, prefix, count in SECTIONS for number in range(1, count + 1)
)

RULE_ID: Final = re.compile(r"\b[A-Z]+-[0-9]+\b")
LITERAL: Final = re.compile(r"``[^`]+``")

PROSE: Final = {rule.id: rule.text for rule in RULES.values()} | dict(WORDS)
"""Every text of the module by the id or word that it belongs to."""


def offenders(texts: Mapping[str, str], pattern: str) -> list[str]:
    """The keys of the texts in which `pattern` is found, double-backtick literals left out."""
    return [key for key, text in texts.items() if re.search(pattern, LITERAL.sub("x", text))]


def test_every_rule_is_there_in_order() -> None:
    """A rule is lost, added, renumbered or moved, though reports and vectors cite its id."""
    assert tuple(RULES) == IDS


def test_rules_are_filed_under_their_own_id() -> None:
    """Looking up one rule gives another, because two rules share an id or a key is not its id."""
    assert [rule.id for rule in RULES.values()] == list(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_ids_are_well_formed(rule: Rule) -> None:
    """An id is not what tools search for in docstrings, reports and messages."""
    assert RULE_ID.fullmatch(rule.id)


def test_sections_are_in_order_and_whole() -> None:
    """A page by sections prints a section twice, under another title, or with another's rules."""
    found = [
        (section, {rule.id.split("-")[0] for rule in rules}, len(rules))
        for section, group in groupby(RULES.values(), lambda rule: rule.section)
        for rules in [list(group)]
    ]
    assert found == [(section, {prefix}, count) for section, prefix, count in SECTIONS]


def test_titles_are_unique() -> None:
    """Two headings of the rules page are the same, so links by title lead to the wrong rule."""
    titles = [rule.title for rule in RULES.values()]
    assert sorted(titles) == sorted(set(titles))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_titles_are_headings(rule: Rule) -> None:
    """A heading is empty, a sentence, or too long for a table of contents."""
    assert re.fullmatch(r"[A-Za-z].{2,58}[^.\s]", rule.title)


def test_only_the_stated_rules_are_planned() -> None:
    """A rule that nothing carries counts as carried, or one that is carried as planned."""
    planned = [rule.id for rule in RULES.values() if rule.planned]
    assert planned == ["DEV-1", "DEV-2", "EXT-1", "EXT-2"]


def test_every_rule_names_its_source() -> None:
    """A reader cannot find the part of the header that a rule speaks of."""
    assert [rule.id for rule in RULES.values() if not rule.source.strip()] == []


@pytest.mark.parametrize(("key", "text"), PROSE.items(), ids=PROSE)
def test_ids_in_a_text_exist(key: str, text: str) -> None:
    """A text refers to a rule that does not exist, or a rule refers to itself."""
    cited = set(RULE_ID.findall(text))
    assert cited <= set(IDS) - {key}


def test_errors_cite_rules() -> None:
    """A contract error names a rule that nobody can look up."""
    cited = {error.rule for error in errors.ContractError.__subclasses__()}
    assert cited <= set(IDS)


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_one_sentence_a_line(text: str) -> None:
    """A sentence is cut off, runs over a line end, or shares its line with the next one."""
    lines = text.split("\n")
    assert [line for line in lines if not re.fullmatch(r"\S.*[^.]\.", line)] == []
    assert [line for line in lines if re.search(r"[.] +\S", LITERAL.sub("x", line))] == []
    assert [line for line in lines if "  " in line] == []


def test_texts_print_as_they_stand() -> None:
    """A part of a text is markup to reStructuredText: the page has warnings or loses words."""
    assert offenders(PROSE, r"[*|`]") == []
    assert offenders(PROSE, r"_(?:\W|$)") == []
    assert offenders(PROSE, r"(?m)^(?:[-+#.]|[A-Za-z0-9]+[.)] |:)") == []


def test_literals_stand_alone() -> None:
    """A code name touches a letter, so reStructuredText prints its backticks."""
    stand_ins = {key: LITERAL.sub("\0", text) for key, text in PROSE.items()}
    assert offenders(stand_ins, r"\w\0|\0\w") == []


def test_texts_are_ascii() -> None:
    """A text holds a character that a terminal or another language's source may not print."""
    assert [key for key, text in PROSE.items() if not text.isascii()] == []


def test_words_that_the_rules_rest_on_are_explained() -> None:
    """A reader meets a word in a meaning of its own and finds it nowhere."""
    needed = {
        *("device", "port", "client", "peer", "owner", "callback", "frame", "outside"),
        *("held", "queued", "current", "written", "free", "in flight", "pending"),
        *("client tokens", "freed tokens", "send tokens", "self tokens", "window", "interval"),
        *("leaving", "awaiting", "sealed", "running", "active", "attached"),
        *("writes and reads", "push", "fan-out", "contract error"),
    }
    assert needed - set(WORDS) == set()


def test_the_rules_cannot_be_changed() -> None:
    """One user of the rules changes them for all others."""
    for mapping in (RULES, WORDS):
        assert not hasattr(mapping, "__setitem__")
    with pytest.raises(FrozenInstanceError):
        RULES["CB-1"].title = "another"  # type: ignore[misc] # the mistake
