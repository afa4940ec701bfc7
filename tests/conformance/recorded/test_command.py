"""``chardev judge`` on recorded traffic: of real sessions, and made by hand."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from chardev_conformance.command_line import main
from chardev_conformance.recorded.sessions import OUT_OF_SIGHT
from chardev_conformance.spice_server.libspice import load_library
from chardev_conformance.target import TargetError
from chardev_spec.rules import RULES
from tests.conformance.recorded.made import session
from tests.conformance.recorded.sessions import ADDRESS
from tests.conformance.recorded.test_sessions import FROM_CLIENT, START, announced, init

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests/data/recorded"

LIBRARY = """\
{name}: broken
  judged: 4 agent channels, 24 agent messages of clients, 2 announcements of tokens, 2 agent messages of servers, \
2 port channels, 1 port events, 1 port messages of servers, 2 port messages of clients
  TOK-2 broken by the client, HOST:PORT to HOST:PORT, message 18
    allowed: no data without a token
    seen: data without a token
{unseen}
  again: chardev judge {name}
"""


def library_text(name: object) -> str:
    """What is said of three sessions with libspice-server: in one the client breaks the protocol, on purpose."""
    unseen = "\n".join(f"  not judged: {text}" for text in OUT_OF_SIGHT)
    return LIBRARY.format(name=name, unseen=unseen)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed; the ports of a session are any."""
    return re.sub(r"127[\d.]+:\d+", "HOST:PORT", capsys.readouterr().out)


def test_a_capture_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    """The command would not know a capture, compressed, or say something else of a real one."""
    path = DATA / "libspice-server.pcap.xz"
    assert main(["judge", str(path)]) == 1
    assert said(capsys) == library_text(path)


def test_a_session_with_qemu(capsys: pytest.CaptureFixture[str]) -> None:
    """Capture and log of one real session with QEMU would not be read, or a port that takes a byte at a time blamed."""
    paths = [str(DATA / "qemu.pcap.xz"), str(DATA / "qemu.log.xz")]
    assert main(["judge", "--json", "-", *paths]) == 0
    capture, log = json.loads(capsys.readouterr().out).values()
    assert (capture["findings"], log["findings"]) == ([], [])
    assert capture["judged"] == {
        "agent channels": 1,
        "port channels": 1,
        "port messages of clients": 3,
        "port messages of servers": 1,
    }
    assert log["judged"] == {
        "ports attached": 1,
        "writes of the guest discarded while no client was there": 1482,
        "reads": 122,
        "writes": 237,
        "ports detached": 1,
    }


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be done would be left out without a word."""
    capture, trace = tmp_path / "c.pcap", ROOT / "docs/example-trace.jsonl"
    capture.write_bytes(session(1, init()))
    wrong = {
        (str(trace), str(capture)): "judge traces and recorded traffic in runs of their own",
        ("--profile", "spice-0.12.4", str(capture)): (
            "recorded traffic is held against the contract alone: leave out --profile"
        ),
        (str(tmp_path / "none"),): f"{tmp_path}/none: cannot be read: No such file or directory",
    }
    for arguments, message in wrong.items():
        assert main(["judge", *arguments]) == 2
        assert capsys.readouterr() == ("", f"chardev: {message}\n")


def test_a_report_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding could not be read by other programs."""
    path = tmp_path / "c.pcap"
    path.write_bytes(session(1, init(), START, *[FROM_CLIENT] * 5, announced(5), announced(1)))
    assert main(["judge", "--json", str(tmp_path / "r.json"), str(path)]) == 1
    assert capsys.readouterr().out.startswith(f"{path}: broken\n")
    findings = json.loads((tmp_path / "r.json").read_text())[str(path)]["findings"]
    where = "10.0.0.1:1000 to 10.0.0.2:5900, message 9"
    assert [(each["rule"], each["where"]) for each in findings] == [
        ("TOK-3", where),
        ("TOK-1", where),
    ]


def test_continuous_integration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding would not fail a build, or a build would pass rules that nobody can judge from outside."""
    path = tmp_path / "c.pcap"
    path.write_bytes(session(1, init(), START, *[FROM_CLIENT] * 5, announced(1), announced(1)))
    assert main(["judge", "--junit", "-", str(path)]) == 1
    suite = fromstring(capsys.readouterr().out)[0]
    properties = {each.attrib["name"]: each.attrib["value"] for each in suite[0]}
    assert properties == {
        "verdict": "broken",
        "target": f"what {path} records",
        "profile": "contract",
        "driver": "recorded traffic",
    }
    where = "10.0.0.1:1000 to 10.0.0.2:5900, message"
    texts = [
        f"rules    TOK-3\nwhere    {where} {number}\nallowed  5 tokens or more at once\n"
        f"seen     1 announced\nagain    chardev judge {path}"
        for number in (8, 9)
    ]
    failures = [(each.attrib, each.text) for each in suite.iter("failure")]
    assert failures == [({"type": "TOK-3", "message": "by the server"}, "\n\n".join(texts))]
    why = "no finding, and traffic does not show that it holds"
    skipped = [each.attrib for each in suite.iter("skipped")]
    assert skipped == [{"message": why}] * (len(RULES) - 1)


def test_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding could not be read in a browser, or the page would speak of calls that nobody made."""
    bad, good = tmp_path / "bad.pcap", tmp_path / "good.pcap"
    bad.write_bytes(session(1, init(), START, *[FROM_CLIENT] * 5, announced(1)))
    good.write_bytes(session(1, init(), START))
    assert main(["judge", "--html", "-", str(bad), str(good)]) == 1
    page = capsys.readouterr().out
    judged = "1 agent channels, 5 agent messages of clients"
    lists = [
        each.replace("</dt>", "").replace("</dd>", "").split("<dt>")[1:]
        for each in re.findall("<dt>.*</dd>", page)
    ]
    assert lists == [
        [
            "profile<dd>contract",
            "driver<dd>recorded traffic",
            f"rules<dd>1 broken (a must), {len(RULES) - 1} not tested",
        ],
        [
            f"file<dd>{bad}",
            "broken<dd>by the server",
            "where<dd>10.0.0.1:1000 to 10.0.0.2:5900, message 8",
            "allowed<dd>5 tokens or more at once",
            "seen<dd>1 announced",
            f"replay<dd><code>chardev judge {bad} {good}</code>",
        ],
        [
            f"judged<dd>{bad}: {judged}, 1 announcements of tokens<dd>{good}: 1 agent channels",
            "not judged"
            + "".join(f"<dd>{path}: {text}" for path in (bad, good) for text in OUT_OF_SIGHT),
        ],
    ]
    assert re.findall("<h[123]>(?:<span[^<]*</span>)? ?(.*?)</h", page) == [
        f"what {bad}, {good} records",
        "Failures",
        "TOK-3: Tokens come back and are announced",
        "Rules",
        "Coverage",
    ]
    assert main(["judge", "--html", str(tmp_path / "page.html"), str(good)]) == 0
    capsys.readouterr()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f'<h1><span class="holds">holds</span> what {good} records</h1>' in page
    assert "<h2>Failures</h2>" not in page
    assert "<dt>judged</dt><dd>1 agent channels</dd>" in page


@contextmanager
def captured(path: Path, condition: str) -> Iterator[None]:
    """Capture what passes on the loopback meanwhile."""
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed: apt-get install tcpdump")
    command = ["tcpdump", "-i", "lo", "-U", "--snapshot-length=0", "-w", str(path), condition]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        if "listening on" not in first:
            pytest.skip(f"tcpdump cannot capture here: {first.strip()}")
        yield
        time.sleep(1)  # it is told of packets in bunches
        process.terminate()


def run_sessions(*arguments: str) -> None:
    """Have real sessions."""
    command = [sys.executable, "-m", "tests.conformance.recorded.sessions", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True)


def test_the_library_captured_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The capture in the repository would be of a library that does something else by now."""
    try:
        load_library()
    except TargetError as error:
        pytest.skip(str(error))
    path = tmp_path / "c.pcap"
    with captured(path, f"tcp and host {ADDRESS}"):
        run_sessions("library")
    assert main(["judge", str(path)]) == 1
    assert said(capsys) == library_text(path)


def test_qemu_recorded_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What QEMU logs, or how its server talks, would have changed unseen."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed: apt-get install qemu-system-x86")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    capture, log = tmp_path / "c.pcap", tmp_path / "q.log"
    command = [
        *("qemu-system-x86_64", "-display", "none", "-machine", "pc,accel=tcg,graphics=off"),
        *("-m", "32", "-chardev", "spiceport,id=s0,name=org.example.line"),
        *("-device", "isa-serial,chardev=s0", "-trace", "spice_*", "-D", str(log)),
        *("-spice", f"port={port},addr=127.0.0.1,disable-ticketing=on"),
    ]
    with (
        captured(capture, f"tcp port {port}"),
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as machine,
    ):
        try:
            _wait_for(port, machine)
            run_sessions("qemu", str(port))
        finally:
            machine.terminate()
            machine.communicate()
    assert main(["judge", str(capture), str(log)]) == 0
    text = said(capsys)
    assert "1 port channels" in text
    assert "3 port messages of clients" in text
    assert re.search(r"\d+ reads, \d+ writes", text)


def _wait_for(port: int, machine: "subprocess.Popen[bytes]") -> None:
    """Until something listens there."""
    for _ in range(300):
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        if machine.poll() is not None:
            assert machine.stderr is not None
            pytest.skip(f"QEMU has no SPICE here: {machine.stderr.read().decode()}")
        time.sleep(0.1)
    raise AssertionError("QEMU does not listen")
