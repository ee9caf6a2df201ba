"""The suite's subjects: correct ones pass it, and a bad program ends in its own outcome."""

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from mbtref.making.modelfile import to_arrays
from mbtref.rans import Table
from mbtref.suite.subjects.command import Command, result
from mbtref.suite.subjects.compressai import CompressAI
from mbtref.suite.subjects.data import gaussian_file
from mbtref.suite.subjects.loading import in_process, isolated
from mbtref.suite.subjects.protocol import Crashed, Errored, ProtocolFault, Rejected, TimedOut, Unsupported
from mbtref.suite.subjects.reference import Reference
from tests import oracle
from tests.support import ROOT, child, picture
from tests.test_suite import run as run_suite

MODEL = "lite-q4"
ONE_MODEL = "not (lite-q3 or lite-q5 or lite-q6 or wide)"
"""Selects MODEL's cases, and those of no model."""
HIDDEN = """
import sys
from importlib.metadata import packages_distributions
others = packages_distributions().keys() - {"numpy", "mbtref"}
assert others >= {"torch", "pytest", "hypothesis", "PIL", "tqdm"}, "they are installed, and hidden here"
sys.modules.update(dict.fromkeys(others))
from mbtref.suite.subjects.serve import main
main("numpy")
"""
NUMPY_ALONE = f"cmd:{shlex.join([sys.executable, '-c', HIDDEN])}"
"""The one-file decoder, where no other package than NumPy is installed."""
FLOATS = "TRANSFORM-1 TRANSFORM-2 TRANSFORM-3 FLOAT-1 FLOAT-2 FLOAT-3"
EXACT = "EXACT-1 EXACT-2"
RANS = "RANS-1 RANS-2 RANS-3"
BUFFERS = "BUFFER-1 BUFFER-2 BUFFER-3 BUFFER-4 BUFFER-5"
DECODE = "DECODE-1 DECODE-2 DECODE-3 DECODE-4 REPRODUCIBLE-2 REPRODUCIBLE-4"


@pytest.mark.parametrize(
    ("given", "requirements"),
    [
        ("float64", f"{FLOATS} {EXACT} BUFFER-1 BUFFER-2 BUFFER-3 BUFFER-4"),
        pytest.param(
            "compressai",
            f"{FLOATS} RANS-1 RANS-2 BUFFER-1 BUFFER-2 BUFFER-3 BUFFER-4",
            marks=oracle.needs_compressai,
        ),
        (NUMPY_ALONE, f"{EXACT} {RANS} {BUFFERS} {DECODE}"),
    ],
    ids=["float64", "compressai", "numpy"],
)
def test_subjects_pass_the_suite(given: str, requirements: str, tmp_path: Path) -> None:
    """Every other subject than the reference passes the vectors of what it can do, and the fresh questions."""
    status, cases = run_suite(tmp_path, given, "--tier", "full", "-k", ONE_MODEL)
    assert status == pytest.ExitCode.OK, f"the run ended with {status}"
    passed = {str(case["requirement"]) for case in cases if case["outcome"] == "passed"}
    assert passed == {*requirements.split(), "FRESH-1"}, f"it passes {sorted(passed)}"


def test_an_encoder_without_its_loop_is_unsupported() -> None:
    """A fork whose encoder shows no latents says so, where it is asked for them."""
    subject = CompressAI()
    with mock.patch.object(subject, "network", return_value=SimpleNamespace()), pytest.raises(Unsupported):
        subject.call("reconstruct", MODEL, {"image": picture(8, 8)})


def test_the_program_in_cpp(tmp_path: Path) -> None:
    """The example in C++ compiles without a warning, reads every stream, and says what it doesn't support."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("not run: no C++ compiler")
    program = tmp_path / "a program"  # its name has a space
    source = ROOT / "mbtref" / "suite" / "subjects" / "serve.cpp"
    subprocess.run([compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    status, cases = run_suite(tmp_path, f"cmd:{shlex.quote(str(program))}", "--capabilities", "rans")
    assert status == pytest.ExitCode.OK, f"the run ended with {status}"
    found = {(case["requirement"], case["outcome"]) for case in cases if case["requirement"] != "FRESH-1"}
    assert found == {("RANS-1", "unsupported"), ("RANS-2", "passed")}, f"{found}"


@oracle.needs_compressai
def test_compressai_reads_its_own_strings() -> None:
    """CompressAI decodes what its encoder holds, costs what the reference costs, and is as good."""
    pixels = picture(50, 70)
    blobs, errors = [], []
    for subject in (CompressAI(), Reference()):
        blob = subject.call("compress", MODEL, {"image": pixels})["blob"]
        again = np.asarray(subject.call("decompress", MODEL, {"blob": blob})["image"])
        held = np.asarray(subject.call("reconstruct", MODEL, {"image": pixels})["image"])
        assert again.shape == pixels.shape, f"{subject.name}: {pixels.shape} came back as {again.shape}"
        assert np.array_equal(again, held), f"{subject.name}: its encoder holds another picture"
        blobs.append(len(blob))
        errors.append(np.mean((again.astype(np.float64) - pixels) ** 2))
    assert abs(blobs[0] - blobs[1]) < 0.05 * blobs[1], f"{blobs[0]} bytes, the reference needs {blobs[1]}"
    assert abs(10 * np.log10(errors[0] / errors[1])) < 0.2, f"the MSE, and the reference's: {errors}"


ESCAPE_ONLY = Table((0, 1 << 16), 0)
NARROW = Table((0, 1, 1 << 16), 0)
FARTHEST = 1 << 27


@oracle.needs_compressai
@pytest.mark.parametrize(
    ("table", "symbols", "reason"),
    [
        (ESCAPE_ONLY, [1, 2, 3], "one of 65536"),
        (NARROW, [0, 0, 1 + FARTHEST], "more than 7 digits"),
        (NARROW, [-1 - FARTHEST, 0, 0], "more than 7 digits"),
        (NARROW, [0, 0], "fewer than 3"),
        (NARROW, [1], "fewer than 3"),
        (NARROW, [], "fewer than 3"),
        (NARROW, [0, 0, 0], None),
        (NARROW, [2], None),
        (NARROW, [FARTHEST], None),
        (NARROW, [-FARTHEST], None),
    ],
)
def test_compressai_refuses_just_what_breaks_it(table: Table, symbols: list[int], reason: str | None) -> None:
    """Its coder isn't given what it crashes on, hangs on or corrupts memory with; the rest has the same bytes."""
    tables = dict(zip(("cdf", "length", "offset"), to_arrays([table]).values(), strict=True))
    message = np.array(symbols, np.int32)
    inputs = {"symbols": message, "indexes": np.zeros_like(message), **tables}
    if reason is not None:
        with pytest.raises(Unsupported, match=reason):
            CompressAI().call("rans_encode", None, inputs)
        return
    expected = Reference().call("rans_encode", None, inputs)
    assert CompressAI().call("rans_encode", None, inputs) == expected, "the same symbols gave other bytes"


MINIATURE = """
import fcntl, json, os, subprocess, sys, time
from pathlib import Path

def say(answer):
    print(json.dumps(answer), flush=True)

def tell(**answer):
    say({"id": number, **answer})

def give(name):
    tell(result={"buffer": name})

def sparse(name):
    os.truncate(os.open(folder / name, os.O_CREAT | os.O_WRONLY), 1 << 40)

def array(dtype, shape):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\\n".encode()
    (folder / "a.npy").write_bytes(b"\\x93NUMPY\\1\\0" + len(header).to_bytes(2, "little") + header)

greeting = {"protocol": 1, "name": "miniature", "version": "7", "capabilities": ["buffers"]}
START
for line in sys.stdin:
    request = json.loads(line)
    if "hello" in request:
        say(greeting)
        continue
    number, folder = request["id"], Path(request["folder"])
    if request["operation"] == "pack_raw":
BAD
        continue
    Path(folder, "buffer.bin").write_bytes(b"good")
    give("buffer.bin")
"""
"""A program that packs buffers. START is done first, BAD when it is asked to pack a raw one."""
PATIENCE = 20.0
LATENTS = {"y_hat": np.zeros((1, 4, 4), np.float32), "z_hat": np.zeros((1, 1, 1), np.float32)}


def miniature(bad: str = "pass", start: str = "", timeout: float = PATIENCE) -> Command:
    """A running miniature. bad, start: Python statements."""
    source = MINIATURE.replace("BAD", textwrap.indent(bad, 8 * " ")).replace("START", start)
    return Command([sys.executable, "-S", "-E", "-c", source], timeout)


def works(program: Command) -> None:
    """Asserts that a program gives an answer."""
    answer = program.call("pack_zlib", None, LATENTS)
    assert answer == {"buffer": b"good"}, f"a request after a bad one is answered {answer}"


@pytest.mark.parametrize(
    ("bad", "expected", "message"),
    [
        ("sys.exit(3)", Crashed, "exit status is 3"),
        ("raise RuntimeError('no such layer')", Crashed, "no such layer"),
        ("os.kill(os.getpid(), 9)", Crashed, "exit status is -9"),
        ("os.write(1, b'{\"id\": '); sys.exit()", Crashed, "its output ended"),
        ("print('loading weights', flush=True)", ProtocolFault, "isn't JSON: b'loading weights'"),
        ("os.write(1, bytes([200, 10]))", ProtocolFault, "isn't JSON"),
        ("print('[' * 100_000, flush=True)", ProtocolFault, "isn't JSON"),
        ("while True: os.write(1, b'x' * 65536)", ProtocolFault, "a line of more than 1048576 bytes"),
        ("say(['id', number])", ProtocolFault, "answered \\['id', 1\\] to request 1"),
        ("say({'unsupported': True})", ProtocolFault, "to request 1"),
        ("say({'id': number + 1, 'unsupported': True})", ProtocolFault, "'id': 2.*to request 1"),
        ("tell(unsupported=True, error='no')", ProtocolFault, "to request 1"),
        ("tell(unsupported=False)", ProtocolFault, "neither result"),
        ("tell(answer=42)", ProtocolFault, "neither result"),
        ("tell(result=['buffer.bin'])", ProtocolFault, "neither result"),
        ("give('buffer.bin')", ProtocolFault, "'buffer.bin', which can't be read: No such file"),
        ("give(None)", ProtocolFault, "isn't in the folder"),
        ("give('')", ProtocolFault, "isn't in the folder|can't be read"),
        ("give('..')", ProtocolFault, "can't be read"),
        ("give('b' * 10_000)", ProtocolFault, "can't be read: File name too long"),
        ("give('../inputs/y_hat.npy')", ProtocolFault, "isn't in the folder"),
        ("os.symlink('/dev/zero', folder / 'a'); give('a')", ProtocolFault, "can't be read: .*symbolic"),
        ("os.mkfifo(folder / 'a'); give('a')", ProtocolFault, "can't be read: it isn't a file"),
        ("os.mkdir(folder / 'a.npy'); give('a.npy')", ProtocolFault, "can't be read: Is a directory"),
        ("(folder / 'a.npy').touch(); give('a.npy')", ProtocolFault, "can't be read: not a .npy file"),
        ("sparse('a.bin'); give('a.bin')", ProtocolFault, "it has 1099511627776 bytes, at most 67108864 are due"),
        ("array('<f4', (1 << 40, 1 << 40)); give('a.npy')", ProtocolFault, "not a .npy file"),
        ("array('|O', (1,)); give('a.npy')", ProtocolFault, "not a .npy file: Object arrays"),
        ("array('<f4', '((' * 4000); give('a.npy')", ProtocolFault, "not a .npy file: ."),
        ("give('a\\0b')", ProtocolFault, "can't be read"),
        ("tell(error='no such layer')", Errored, "no such layer"),
        ("tell(rejected='truncated')", Rejected, "truncated"),
        ("tell(unsupported=True)", Unsupported, "the program says so"),
    ],
)
def test_a_bad_answer_has_its_own_outcome(bad: str, expected: type[Exception], message: str) -> None:
    """A program that doesn't answer as it should ends in the outcome of its kind, and the next request works."""
    with closing(miniature(bad)) as program:
        with pytest.raises(expected, match=message):
            program.call("pack_raw", None, LATENTS)
        works(program)


def free(lock: Path) -> bool:
    """Whether nobody holds a lock any more, or lets it go within some seconds."""
    deadline = time.monotonic() + 10
    with lock.open("w") as file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(0.01)
    return False


CHILDREN = {
    "child": 'subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()])',
    "session": 'subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()], start_new_session=True)',
    "daemon": "if os.fork() == 0: os.setsid(); os.fork() and os._exit(0); time.sleep(60)",
}
"""How a program leaves something behind: in its session, in another one, without a parent."""
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="a session of its own is found on Linux alone")


@pytest.mark.parametrize("left", ["child", *(pytest.param(n, marks=LINUX_ONLY) for n in [*CHILDREN][1:])])
def test_a_hanging_program_is_ended_with_its_children(left: str, tmp_path: Path) -> None:
    """A program that doesn't answer in time is ended, with what it started, and the next request works."""
    lock = tmp_path / "lock"
    bad = f"""
file = open({str(lock)!r}, "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("waiting for a device", file=sys.stderr, flush=True)
{CHILDREN[left]}
time.sleep(60)"""
    with closing(miniature(bad, timeout=2)) as program:
        with pytest.raises(TimedOut, match="no answer within 2 s; it wrote:\nwaiting for a device"):
            program.call("pack_raw", None, LATENTS)
        assert free(lock), "a child of the program outlived it"
        works(program)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("os.write(2, bytes(1 << 22))", None),
        ("os.close(2)", None),
        ("say(greeting)\nfor number in range(1, 1000): tell(unsupported=True)\ntime.sleep(60)", TimedOut),
        ("say(greeting)\nwhile True: os.write(2, bytes(1 << 16))", TimedOut),
    ],
    ids=["errors before answers", "no errors", "reads nothing", "errors without an end"],
)
def test_a_program_may_be_deaf_or_loud(start: str, expected: type[Exception] | None) -> None:
    """What a program leaves unread, or writes to standard error, takes no more time than an answer may."""
    with closing(miniature(start=start, timeout=1)) as program:
        if expected is None:
            works(program)
            return
        with pytest.raises(expected, match="no answer within 1 s"):
            ask_often(program)


def ask_often(program: Command) -> None:
    """Asks more than the program's input holds."""
    for _ in range(1000):
        with suppress(Unsupported):
            program.call("pack_raw", None, LATENTS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork of a process with threads
def test_a_fork_has_a_program_of_its_own() -> None:
    """What a forked copy of the suite does to its program, as with --forked, leaves the original's alone."""
    with closing(miniature("sys.exit(3)")) as program:
        child = os.fork()
        if not child:
            try:
                program.call("pack_raw", None, LATENTS)
            except Crashed:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7, "the copy can't ask"
        works(program)


def test_a_deep_answer_is_no_answer() -> None:
    """However deep an answer is nested, it is a protocol fault that can be shown."""
    deep: object = "error"
    for _ in range(100_000):
        deep = [deep]
    for answer in (deep, {"id": 1, "error": deep}, {"id": deep, "error": "no"}):
        with pytest.raises(ProtocolFault, match="answered"):
            result(answer, 1)


def test_a_closed_program_is_gone(tmp_path: Path) -> None:
    """A subject is described by its program's greeting; closing it ends the program."""
    lock = tmp_path / "lock"
    # a greeting needs no number of the protocol
    start = f"file = open({str(lock)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX); del greeting['protocol']"
    program = miniature(start=start)
    assert (program.name, program.version, program.capabilities) == ("miniature", "7", ["buffers"]), "greeting"
    works(program)
    program.close()
    assert free(lock), "the program still runs"


def test_a_program_that_exits_at_start_is_started_again(tmp_path: Path) -> None:
    """A start that fails is the outcome of the request that needed it; the request after that tries again."""
    starts = tmp_path / "starts"
    start = f"""
with open({str(starts)!r}, "a") as file:
    file.write("x")
if os.path.getsize({str(starts)!r}) == 2:
    sys.exit(5)"""
    with closing(miniature("sys.exit(3)", start)) as program:
        for status in (3, 5):
            with pytest.raises(Crashed, match=f"exit status is {status}"):
                program.call("pack_raw" if status == 3 else "pack_zlib", None, LATENTS)
        works(program)


@pytest.mark.parametrize(
    ("start", "expected", "message"),
    [
        ("sys.exit(1)", Crashed, "exit status is 1"),
        ("greeting['protocol'] = 2", ProtocolFault, "to the greeting of protocol 1"),
        ("del greeting['version']", ProtocolFault, "to the greeting of protocol 1"),
        ("greeting['capabilities'] = ['rans', 'flying']", ProtocolFault, "declares \\['flying'\\]"),
        ("print('miniature 7', flush=True)", ProtocolFault, "isn't JSON"),
        ("greeting['protocol'] = None", ProtocolFault, "to the greeting of protocol 1"),
        ("greeting = {'protocol': 1, 'error': 'no device'}", Crashed, "no device"),
        ("greeting = {'error': 'no device'}", Crashed, "no device"),
    ],
)
def test_a_program_must_greet(start: str, expected: type[Exception], message: str) -> None:
    """A program that doesn't greet as protocol 1 has it is no subject, and the message says why."""
    with pytest.raises(expected, match=message):
        miniature(start=start)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cmd:", "needs a program"),
        ("cmd:./no-such-program --fast", "no-such-program can't be started"),
        ("no_such_module:Subject", "No module named 'no_such_module'"),
        ("json:Missing", "has no attribute 'Missing'"),
        ("json:decoder", "has no name, version, capabilities, call"),
    ],
)
def test_there_must_be_a_subject(given: str, message: str) -> None:
    """No command, one that can't be started, and a module or attribute that isn't there are told as such."""
    with pytest.raises(ValueError, match=message):
        isolated(given, PATIENCE)


@pytest.mark.parametrize("given", ["js", f"cmd:{sys.executable}"])
def test_a_program_has_a_process_of_its_own(given: str) -> None:
    """Inside pytest there is no program, and the message says which option is wrong."""
    with pytest.raises(ValueError, match="leave out --in-process"):
        in_process(given)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (None, "there is no node on the PATH"),
        ("v18.20.4", "is v18.20.4"),
        ("v9.11.2", "is v9.11.2"),
        ("", "is not Node"),
        ("node: 20", "is node: 20"),
        ("v20.0.0", None),
        ("v100.1.0", None),
    ],
)
def test_the_javascript_needs_node(
    says: str | None, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Node, or with one that is too old, `--subject js` says what it needs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if says is not None:
        (tmp_path / "node").write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / "node").chmod(0o755)
    # a fake Node is found, but doesn't greet
    with pytest.raises(ValueError, match=f"needs Node 20 or later; .*{message}" if message else "isn't JSON"):
        isolated("js", PATIENCE)


ELSEWHERE = """
import sys
from mbtref.suite.subjects import program
program.POSIX = False
import pytest
sys.exit(pytest.main([*sys.argv[1:], "-p", "no:cacheprovider"]))
"""


@pytest.mark.parametrize(
    ("subject", "status", "words"),
    [
        # a Python subject runs in the suite's process, a second process can't be started
        ("reference", pytest.ExitCode.OK, ("isolation needs a POSIX system", "1 passed", "1 not run")),
        ("cmd:./my-decoder", pytest.ExitCode.USAGE_ERROR, ("a process of its own needs a POSIX system",)),
    ],
)
def test_without_posix(subject: str, status: int, words: Sequence[str]) -> None:
    """Elsewhere a Python subject is asked, with a word about it, and a program is refused."""
    only = ("--subject", subject, "--tier", "kodak", "-k", "RANS-1/rare or test_made and lite-q3/checker")
    done = child("-c", ELSEWHERE, "conformance", *only, folder=ROOT)
    out = done.stdout + done.stderr
    assert done.returncode == status, out
    assert all(word in out for word in words), f"not {words} in:\n{out}"


def test_a_python_subject_takes_nothing_down_with_it() -> None:
    """In a process of its own a subject may print and die, and its exceptions come with their traceback."""
    subject = isolated("tests.miniatures:Erratic", 60)
    assert isinstance(subject, Command)
    with closing(subject):
        with pytest.raises(Crashed, match="exit status is -11"):
            subject.call("h_a", MODEL, {"y": np.zeros((64, 4, 4), np.float32)})
        with pytest.raises(Errored, match=r"(?s)^RuntimeError.*reference.py"):
            subject.call("g_s", MODEL, {"y_hat": np.zeros((63, 4, 4), np.float32)})
        x_hat = subject.call("g_s", MODEL, {"y_hat": np.zeros((64, 4, 4), np.float32)})["x_hat"]
        assert np.shape(x_hat) == (3, 64, 64), "what it prints spoils its answers"


def test_requests_leave_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files go when their request ends, whatever its end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with closing(miniature("Path(folder, 'half').write_bytes(b'x'); sys.exit(1)")) as program:
        works(program)
        with pytest.raises(Crashed):
            program.call("pack_raw", None, LATENTS)
        assert list(tmp_path.iterdir()) == [], "a request left files behind"


def test_a_request_names_all_that_a_program_needs(tmp_path: Path) -> None:
    """A request has the protocol's seven entries, those of docs/subjects.md, and names its files."""
    bad = f"Path({str(tmp_path / 'request')!r}).write_text(line); say({{'id': number, 'unsupported': True}})"
    with closing(miniature(bad)) as program, pytest.raises(Unsupported):
        program.call("pack_raw", None, LATENTS)
    request = (tmp_path / "request").read_text()
    alone = ('"id": 1', '"operation": "pack_raw"', '"model": null', '"model_file": null', str(gaussian_file()))
    missing = [entry for entry in alone if entry not in request]
    assert not missing, f"{missing} aren't in {request}"
    page = (ROOT / "docs" / "subjects.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^{\"id\": 1, \"operation\".*?^(?={\"id\")", page, re.DOTALL | re.MULTILINE)
    assert json.loads(shown).keys() == json.loads(request).keys(), (
        f"the page shows {shown}, a program gets {request}"
    )
