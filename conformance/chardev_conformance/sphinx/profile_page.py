"""Pages of releases: what a profile is made of, what changed to the next, and each quirk beside the contract."""

import inspect
from collections.abc import Iterator
from itertools import pairwise

from chardev_conformance.sphinx.blocks import beside, bullets, code, heading, prose, table
from chardev_conformance.sphinx.links import linked, reference, references
from chardev_conformance.sphinx.text import source_without_docstring, step
from chardev_spec.contract import Contract
from chardev_spec.profiles import PROFILES
from chardev_spec.profiles.quirk import Profile, Quirk, overrides, summary
from chardev_spec.profiles.table import OBSERVABLE_ONLY


def releases() -> list[Profile]:
    """The profiles that are releases, oldest first."""
    return [each for each in PROFILES.values() if each.machine is not Contract]


def profile_page(name: str) -> Iterator[str]:
    """The whole page of one profile but its title."""
    profile = PROFILES[name]
    yield from ("", f"{profile.title}.", "")
    if not profile.quirks:
        yield "The rules of these pages, without any deviation."
        yield from changes_between()
        return
    yield f"The contract with {len(profile.quirks)} quirks; :chardev:profile:`contract` is without any."
    yield from quirk_table(profile.quirks)
    for older, newer in pairwise(releases()):
        if name in {older.name, newer.name}:
            yield from change(older, newer)


def changes_between() -> Iterator[str]:
    """What changed from each release to the next."""
    for older, newer in pairwise(releases()):
        yield from change(older, newer)


def change(older: Profile, newer: Profile) -> Iterator[str]:
    """What changed from one release to the next: deviations that went, that came, that stayed."""
    yield from heading(f"From {older.name} to {newer.name}", "-")
    gone = [each for each in older.quirks if each not in newer.quirks]
    came = [each for each in newer.quirks if each not in older.quirks]
    for words, quirks in (("Mended", gone), ("New", came)):
        yield f"{words}: {len(quirks)}."
        yield from bullets(
            f"{reference('quirk', each.__name__)}: {linked(summary(each))}" for each in quirks
        )
    both = [each for each in newer.quirks if each in older.quirks]
    yield f"In both: {references('quirk', (each.__name__ for each in both))}."
    yield ""


def quirk_table(quirks: tuple[type[Quirk], ...]) -> Iterator[str]:
    """What deviates, which rules that breaks, and what notices it."""
    yield from table(
        ("Quirk", "What the releases do", "Breaks", "Refutes"),
        (
            (
                reference("quirk", each.__name__),
                linked(summary(each)),
                references("rule", each.rules),
                _refuted(each),
            )
            for each in quirks
        ),
        "20 45 15 20",
    )


def _refuted(quirk: type[Quirk]) -> str:
    return reference("invariant", quirk.refuted_by) if quirk.refuted_by else OBSERVABLE_ONLY


def quirk_lines(quirk: type[Quirk]) -> Iterator[str]:
    """One quirk: what it says, and each hook beside the contract's."""
    yield from prose(inspect.getdoc(quirk) or "")
    yield f":In: {references('profile', quirk.releases)}"
    yield f":Refutes: {_refuted(quirk)}"
    yield ""
    for hook in overrides(quirk):
        if hook in vars(Contract) or hasattr(Contract, hook):
            yield from beside(
                ("The contract:", *code(step(hook).source)),
                ("The releases:", *code(source_without_docstring(getattr(quirk, hook)))),
            )
