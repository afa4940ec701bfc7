"""Targets of every kind: what holds, what is found, and what cannot be checked."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

import chardev
from chardev_conformance.adapters.device import DeviceTarget
from chardev_conformance.adapters.opened import Opened
from chardev_conformance.adapters.protocol import encode
from chardev_conformance.adapters.python_object import Implementation, PythonTarget
from chardev_conformance.adapters.templates import LANGUAGES, TemplateError, write_template
from chardev_conformance.campaign import replay, run_campaign
from chardev_conformance.coverage import Statistics
from chardev_conformance.drivers import CALLS_PER_SCENARIO
from chardev_conformance.forbidden import forbidden
from chardev_conformance.lockstep import Finding, Lockstep, TargetFactory
from chardev_conformance.scenario import Answer, Scenario, Step, walk
from chardev_conformance.scripts import RandomScript, random_scenario
from chardev_conformance.target import Capabilities, Host, TargetError
from chardev_conformance.targets import open_target, untested
from tests.c_device import build
from tests.c_device.defects import DEFECTS, Defect
from tests.c_device.run import found, look_for

ROOT: Final = Path(__file__).parents[2]
LONG: Final = bool(os.environ.get("CHARDEV_LONG"))
SERVE: Final = f"{sys.executable} -m chardev_conformance.adapters.serve"
NODE: Final = ROOT / "tests/node_device/device.mjs"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="no node; on Debian: apt-get install nodejs"
)
needs_cc = pytest.mark.skipif(
    shutil.which("cc") is None, reason="no C compiler; on Debian: apt-get install gcc libc6-dev"
)
needs_cargo = pytest.mark.skipif(
    shutil.which("cargo") is None, reason="no cargo; on Debian: apt-get install cargo"
)


def why_not(target: str, **options: Any) -> str:
    """Why a target cannot be checked."""
    with pytest.raises(TargetError) as caught, open_target(target, **options) as opened:
        run_campaign(opened.factory, seed=1, calls=100)
    return str(caught.value)


def holds(opened: Opened, calls: int, seed: int = 1) -> None:
    """Check that nothing is found."""
    report = run_campaign(opened.factory, seed=seed, calls=calls)
    assert report.finding is None


# Python


def test_python_target_holds() -> None:
    """The device would not be reached by its name."""
    with open_target("python:chardev:Device") as opened:
        assert (opened.name, opened.capabilities, untested(opened)) == (
            "python:chardev:Device",
            Capabilities(),
            [],
        )
        holds(opened, 1500)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which modules are imported."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_an_object_lacks_is_not_tested(modules: Path) -> None:
    """A device without migration would fail instead of being checked for the rest."""
    (modules / "small_device.py").write_text(
        textwrap.dedent("""
        import chardev
        from functools import partial

        class Small:
            def __init__(self, *arguments):
                self._device = chardev.Device(*arguments)

        for name in dir(chardev.Device):
            if not name.startswith("_") and name not in {"migrate_data_marshall", "restore", "reset"}:
                setattr(Small, name, property(lambda self, name=name: getattr(self._device, name)))
        """)
    )
    with open_target("python:small_device:Small") as opened:
        assert untested(opened) == [
            "reset",
            "write_buffer_release_without_device",
            "migrate_data_marshall",
            "migrate_data_release",
            "restore",
        ]
        report = run_campaign(opened.factory, seed=1, calls=1500)
    assert report.finding is None
    assert report.statistics.functions["reset"] == 0
    assert report.statistics.functions["start"] > 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "python:nothing",
            "python:nothing: name a module and what makes a device in it, as python:module:factory",
        ),
        (
            "python:no_such_module:Device",
            (
                "python:no_such_module:Device: No module named 'no_such_module'; "
                "the module must be importable (is its folder in PYTHONPATH?)"
            ),
        ),
        (
            "python:chardev:Divice",
            (
                "python:chardev:Divice: module 'chardev' has no attribute 'Divice'; "
                "the module must be importable (is its folder in PYTHONPATH?)"
            ),
        ),
        (
            "python:json:dumps",
            (
                "python:json:dumps: making a device fails: "
                "TypeError: dumps() takes 1 positional argument but 5 were given"
            ),
        ),
        (
            "device",
            (
                "device: not a target; a target is one of "
                "python:MODULE:FACTORY, stdio:COMMAND, c:./LIBRARY.so, spec:PROFILE, spice-server"
            ),
        ),
        ("c:/nowhere/lib.so", "c:/nowhere/lib.so: cannot be read: No such file or directory"),
        (
            f"c:{__file__}",
            f"c:{__file__}: not a shared library (build it with cc -shared -fPIC)",
        ),
        ("stdio:", "stdio: name a command, as stdio:./my-target"),
        ("stdio:'", "stdio:': not a command: No closing quotation"),
        (
            "stdio:/nowhere/x y",
            "stdio:/nowhere/x y: /nowhere/x cannot be started: No such file or directory",
        ),
        (
            "stdio:false",
            (
                "stdio:false: no hello: it ended: exit status 1; "
                "run it by itself: the first line that it writes must be its hello"
            ),
        ),
        (
            "stdio:head -c 5000000 /dev/zero",
            (
                "stdio:head -c 5000000 /dev/zero: a line of more than 4,194,304 bytes; "
                "every message is one line of JSON that ends with a newline"
            ),
        ),
        (
            "spec:nothing",
            (
                "spec:nothing: no profile or quirk 'nothing'; "
                "profiles are contract, spice-0.12.4, spice-2015-11, spice-0.15; "
                "the page Quirks of the documentation has the names of the quirks"
            ),
        ),
        ("stdio:echo hi", "stdio:echo hi: a line is not JSON: hi"),
        ("stdio:echo []", "stdio:echo []: a line is JSON, but no object: []"),
        (
            "stdio:echo {}",
            'stdio:echo {}: the first line must be {"hello": {...}}; it said {}',
        ),
    ],
)
def test_what_cannot_be_checked(target: str, message: str) -> None:
    """A target that does not load would be called broken, or end in a traceback."""
    assert why_not(target) == message


# Lines: a program that says what a test wants it to say


@pytest.fixture
def program(tmp_path: Path) -> Any:
    """A program that writes the lines of a test after its hello, one for each line that it reads."""

    def make(*lines: dict[str, Any] | str, hello: dict[str, Any] | None = None) -> str:
        first = {"hello": {"protocol": 1, "name": "the program", **(hello or {})}}
        texts = [
            each if isinstance(each, str) else encode(each).decode() for each in (first, *lines)
        ]
        file = tmp_path / "program.py"
        file.write_text(
            "import sys, time, os, signal\n"
            f"for text in {texts!r}:\n"
            "    if text.startswith('!'):\n"
            "        exec(text[1:])\n"
            "    else:\n"
            "        print(text.strip(), flush=True)\n"
            "    if not sys.stdin.readline():\n"
            "        break\n"
        )
        return f"stdio:{sys.executable} {file}"

    return make


def test_version_of_the_protocol(program: Any) -> None:
    """A program of a later protocol would be misunderstood."""
    target = program(hello={"protocol": 2})
    assert why_not(target) == (
        f"{target}: it speaks version 2 of the protocol; this program speaks version 1"
    )


def test_wrong_hello(program: Any) -> None:
    """A mistake in the hello would leave something untested without a word."""
    assert "lacks must be a list of" in why_not(program(hello={"lacks": ["tea"]}))
    assert "moves_per_call must be null or a number above 0" in why_not(
        program(hello={"moves_per_call": 0})
    )


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (["gibberish"], "a line is not JSON: gibberish"),
        ([{"hm": 1}], '"begin" is answered by {"ready": {}}; it said {"hm":1}'),
        ([{"ready": {}}, {"hm": 1}], "create is answered by return, refused or raised"),
        ([{"ready": {}}, {"missing": "create"}], "the program: missing: create"),
        ([{"ready": {}}, {"raised": 3}], "no callback of this scenario raised that"),
        ([{"ready": {}}, {"callback": "tea"}], "there is no callback 'tea'"),
        (
            [{"ready": {}}, {"callback": "write", "arguments": {"port": "p1"}}],
            "the callback write has the arguments port, data",
        ),
        ([{"ready": {}}, {"timer": "egg"}], 'timer is "retry", or "wait" with a client'),
        ([{"ready": {}}, {"timer": "retry", "delay": -1}], "delay must be null or a number"),
        (["!sys.exit(3)"], "it cannot begin a scenario: it ended: exit status 3"),
    ],
)
def test_nonsense(program: Any, lines: list[Any], part: str) -> None:
    """A mistake of the adapter would be blamed on the device."""
    assert part in why_not(program(*lines))


def finding_of(target: str, seconds: float = 5.0) -> tuple[str, tuple[str, ...], str]:
    """Symptom, rules and what was seen of the first call."""
    scenario = Scenario(
        steps=[Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})]
    )
    with open_target(target, seconds=seconds) as opened:
        finding, _ = replay(opened.factory, scenario)
    assert finding is not None
    return finding.symptom, finding.rules, finding.seen


def test_death_in_a_call_is_a_finding(program: Any) -> None:
    """A crash would end the check instead of being found."""
    death = "!print('oh no', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
    assert finding_of(program({"ready": {}}, death)) == (
        "crash, SIGSEGV",
        ("LC-1", "CB-1"),
        "it ended: signal SIGSEGV; it said: oh no",
    )


def test_silence_in_a_call_is_a_finding(program: Any) -> None:
    """An endless loop would block the check."""
    assert finding_of(program({"ready": {}}, "!time.sleep(60)"), seconds=0.3) == (
        "hang",
        ("WR-5", "LC-1", "CB-1"),
        "no answer within 0.3 s",
    )


def test_python_device_over_lines() -> None:
    """Re-entrancy, exceptions, timers or migration would not survive the protocol."""
    with open_target(f"stdio:{SERVE} python:chardev:Device") as opened:
        report = run_campaign(opened.factory, seed=3, calls=2500)
        assert report.finding is None
        assert report.statistics.nested_calls > 50
        assert report.statistics.functions["restore"] > 0


def test_lacking_by_command_line() -> None:
    """Nobody could check a device whose adapter does not know what it lacks."""
    with open_target(f"stdio:{SERVE} python:chardev:Device", frozenset({"reset"})) as opened:
        assert untested(opened) == ["reset"]
    assert why_not("python:chardev:Device", lacks=frozenset({"create"})).startswith(
        "python:chardev:Device: create cannot be lacking; "
    )


@needs_node
def test_another_language_holds() -> None:
    """The protocol could be spoken by Python alone."""
    with open_target(f"stdio:node {NODE}") as opened:
        assert (opened.name, untested(opened)) == ("a device in JavaScript", [])
        holds(opened, 3000)


@needs_node
def test_defect_in_another_language_is_found() -> None:
    """A device in another language could be wrong without being found out."""
    with open_target(f"stdio:node {NODE} answer-counts-after-reset") as opened:
        report = run_campaign(opened.factory, seed=1, calls=100_000, seconds=60, shrinks=False)
    assert report.finding is not None
    assert {"WR-7", "WR-1", "SELF-3", "TOK-3"} & set(report.finding.rules)


# C


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device in C, as it is."""
    return build.build(tmp_path_factory.mktemp("c"))


@needs_cc
def test_c_device_holds(library: Path) -> None:
    """A C library could not be checked, or the small one here breaks a rule."""
    with open_target(f"c:{library}") as opened:
        assert untested(opened) == [
            "port_failed",
            "calls that the contract forbids",
            "exceptions in callbacks",
            "memory leaks (needs a build with AddressSanitizer)",
        ]
        holds(opened, 4000)


@needs_cc
def test_scouting_does_the_same(library: Path) -> None:
    """Scenarios that run in the library's process would be others than those that are judged call by call."""
    scouted, alone = Statistics(), Statistics()
    with open_target(f"c:{library}") as opened:
        scout: Any = opened.factory
        assert scout.scout(9, range(5), 10**6, scouted) is None
        for number in range(5):
            random = Random(f"9:{number}")
            scenario = random_scenario(random)
            script = RandomScript(random, calls=CALLS_PER_SCENARIO)
            assert Lockstep(opened.factory, script, scenario, statistics=alone).run() is None
    alone.functions = {name: count for name, count in alone.functions.items() if count}
    assert scouted == alone


def test_what_comes_up_only_together_is_told() -> None:
    """A crash that needs several scenarios in one process would be passed over, because none alone repeats it."""

    class Together:
        def __call__(self, host: Host, ports: dict[str, bool], limit: int | None) -> DeviceTarget:
            return DeviceTarget(host, ports, limit)

        def scout(self, *_: Any) -> str:
            return "it ended: signal SIGSEGV"

    report = run_campaign(Together(), seed=1, calls=5000)
    assert report.scenarios == 10
    assert report.finding == Finding(
        ("CB-1",),
        "after 10 scenarios in one process; each alone holds",
        "to go on",
        "it ended: signal SIGSEGV",
        "only together",
    )


@needs_cc
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_limit_need_not_be_known(limit: int, tmp_path: Path) -> None:
    """A device that stops after any number of moves, and says nothing about it, would be called wrong."""
    path = build.build(tmp_path, None, f"-DMOVES_PER_CALL={limit}")
    with open_target(f"c:{path}") as opened:
        holds(opened, 3000, seed=limit)


@needs_cc
def test_c_device_holds_with_sanitizer(tmp_path: Path) -> None:
    """A library with AddressSanitizer would not load, or the small one uses memory that is not its own, or leaks."""
    path = build.build(tmp_path, None, *build.SANITIZER)
    with open_target(f"c:{path}", seconds=20.0) as opened:
        assert "memory leaks (needs a build with AddressSanitizer)" not in untested(opened)
        holds(opened, 600)


QUICK: Final = (
    "use after free in the fan-out",
    "client leaks when it is removed",
    "second writer",
    "last buffer first",
    "restore reads behind the message",
    "abort in a legal call",
    "endless loop over a partly written buffer",
    "null pointer",
)
"""Defects of every kind, found in a moment; the others take `CHARDEV_LONG=1`."""


@needs_cc
@pytest.mark.parametrize(
    "defect",
    [each for each in DEFECTS if LONG or each.name in QUICK],
    ids=lambda defect: defect.name,
)
def test_defect_in_c_is_found(defect: Defect) -> None:
    """The checker would not notice this defect, or blame a rule that has nothing to do with it."""
    report = look_for(defect)
    assert found(defect, report), report.finding


@needs_cc
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_defect_stands_in_the_source(defect: Defect) -> None:
    """A defect would be looked for in a device that has it no more."""
    assert build.patched(defect) != build.SOURCE.read_text(encoding="utf-8")


@needs_cc
def test_missing_symbols(tmp_path: Path) -> None:
    """A library with half the functions would crash at the first call of another."""
    source = tmp_path / "half.c"
    source.write_text("int spice_char_device_client_exists(void *d, void *c) { return d == c; }\n")
    path = tmp_path / "libhalf.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source], check=True)
    message = why_not(f"c:{path}")
    assert message.startswith(
        f"c:{path}: no hello: it ended: exit status 3; it said: it does not export "
    )
    assert message.endswith(
        "; define them under the header's names, or say with --lacks what the library lacks; "
        "run it by itself: the first line that it writes must be its hello"
    )
    assert message.count("spice_char_device_wakeup") == 1
    assert "spice_char_device_client_exists" not in message


@needs_cc
def test_unknown_surroundings(tmp_path: Path) -> None:
    """A library that needs more than is provided would fail without saying what."""
    source = tmp_path / "needy.c"
    source.write_text("void *red_channel_tea(void); void *f(void) { return red_channel_tea(); }\n")
    path = tmp_path / "libneedy.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source], check=True)
    assert "undefined symbol: red_channel_tea" in why_not(f"c:{path}")


# Templates


def test_templates_overwrite_nothing(tmp_path: Path) -> None:
    """Work could be lost."""
    for language in LANGUAGES:
        write_template(language, tmp_path / language)
        with pytest.raises(TemplateError, match="exists already; nothing is overwritten"):
            write_template(language, tmp_path / language)


def test_python_template(modules: Path) -> None:
    """The template would not run, not say what is missing, or be longer than anybody likes to read."""
    write_template("python", modules)
    text = (modules / "my_device.py").read_text("utf-8")
    assert len(text.splitlines()) <= 50
    assert why_not("python:my_device:Device") == "python:my_device:Device: missing: create"


@needs_cc
def test_c_template(tmp_path: Path) -> None:
    """The template would not compile, or not say what is missing."""
    write_template("c", tmp_path)
    subprocess.run(["make", "-s", "-C", tmp_path, "CFLAGS=-Werror"], check=True)
    target = f"c:{tmp_path}/libdevice.so"
    assert why_not(target) == f"{target}: missing: create"


@needs_cargo
def test_rust_template(tmp_path: Path) -> None:
    """The template would not compile, or not say what is missing."""
    write_template("rust", tmp_path)
    manifest = str(tmp_path / "Cargo.toml")
    command = ["cargo", "build", "--quiet", "--offline", "--manifest-path", manifest]
    subprocess.run(command, check=True)
    assert why_not(f"stdio:{tmp_path}/target/debug/my-device") == "my device: missing: create"


# What a target cannot do


class _NoErrors(DeviceTarget):
    """The bundled device, but a forbidden call is the end of it."""

    capabilities = Capabilities(contract_errors=False, exceptions=False)

    def __init__(self, host: Host, ports: dict[str, bool], limit: int | None = None) -> None:
        super().__init__(host, ports, limit)
        self.capabilities = Capabilities(contract_errors=False, exceptions=False)

    def perform(self, device: str, call: str, arguments: dict[str, Any]) -> Any:
        try:
            return super().perform(device, call, arguments)
        except Exception as error:
            if getattr(error, "rule", "MIG-5") != "MIG-5":
                raise AssertionError(f"a forbidden call: {error}") from error
            raise


def test_forbidden_calls_are_not_made() -> None:
    """A library that may abort on such a call would be made to, and blamed."""
    report = run_campaign(_NoErrors, seed=5, calls=15_000)
    assert report.finding is None


def test_nothing_but_forbidden_calls_is_left_out() -> None:
    """Legal calls would not be made, and their defects not found."""
    refused = 0

    foreseen: list[bool] = []

    class Watched(Lockstep):
        def _compare_end(self, frame: Any, result: Any, error: Exception | None) -> None:
            nonlocal refused
            super()._compare_end(frame, result, error)
            contract_error = frame.refused is not None and hasattr(frame.refused, "rule")
            refused += contract_error
            assert foreseen.pop() == contract_error, frame.step

        def _perform_on_target(self, step: Step, arguments: dict[str, Any]) -> tuple[Any, Any]:
            if step.call != "migrate_data_release":
                frame = self.frames[-1]
                state = frame.pair.runner.state
                machine = self._plain_machine(state)
                foreseen.append(forbidden(machine, step.call, frame.arguments))
            return super()._perform_on_target(step, arguments)

    for number in range(120):
        random = Random(number)
        scenario = random_scenario(random)
        script = RandomScript(random, calls=60, errors=0.2)
        assert Watched(DeviceTarget, script, scenario).run() is None
    assert refused > 300


def test_exceptions_are_left_out() -> None:
    """A target without exceptions would be asked for them, and the scenario would not replay."""
    answer = Answer("read_one_msg_from_device", raises=True)
    create = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
    finding, performed = replay(_NoErrors, Scenario(steps=[create, Step("start", {}, [answer])]))
    assert finding is None
    assert [each.raises for step in walk(performed.steps) for each in step.answers] == [False]


def test_a_port_that_fails_silently() -> None:
    """The header has no `port_failed`: a device that never calls it would be blamed."""

    class WithoutPortFailed:
        def __init__(self, callbacks: Any) -> None:
            self._callbacks = callbacks

        def __getattr__(self, name: str) -> Any:
            if name == "port_failed":
                raise AttributeError(name)
            return getattr(self._callbacks, name)

    def make(port: Any, interval: int, tokens: int, callbacks: Any, timers: Any) -> Any:
        return chardev.Device(port, interval, tokens, WithoutPortFailed(callbacks), timers)

    def target(lacks: frozenset[str]) -> TargetFactory:
        implementation = Implementation(
            "silent", make, takes_limit=False, takes_opaque=False, capabilities=Capabilities(lacks)
        )
        return lambda host, ports, limit: PythonTarget(host, ports, limit, implementation)

    create = Step("create", {"port": "p1", "client_tokens_interval": 1, "self_tokens": 1})
    get = Step("write_buffer_get", {"client": None, "size": 1}, result_name="b1")
    add = Step("write_buffer_add", {"buffer": "b1", "data": "00"})
    start = Step("start", {}, [Answer("write", "fail")])
    scenario = Scenario(steps=[create, get, add, start])
    finding, _ = replay(target(frozenset()), scenario)
    assert finding is not None
    assert finding.rule == "WR-8"
    assert replay(target(frozenset({"port_failed"})), scenario)[0] is None
