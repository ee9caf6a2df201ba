"""The suite's subjects: correct ones give the reference's answers, and a bad program ends in its own outcome."""

import fcntl
import random
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mbtref import planes, tables
from mbtref.making.modelfile import to_arrays
from mbtref.rans import Table
from mbtref.suite.operations import OPERATIONS, Value, Values, fault
from mbtref.suite.subjects.command import Command
from mbtref.suite.subjects.compressai import CompressAI
from mbtref.suite.subjects.data import gaussian_file
from mbtref.suite.subjects.loading import in_process, isolated
from mbtref.suite.subjects.protocol import (
    Crashed,
    Errored,
    ProtocolFault,
    Rejected,
    Subject,
    TimedOut,
    Unsupported,
)
from mbtref.suite.subjects.reference import Reference
from mbtref.suite.subjects.tensors import I32
from tests import oracle
from tests.support import picture

MODEL = "lite-q4"
NUMPY_ALONE = """
import sys
from importlib.metadata import packages_distributions

others = packages_distributions().keys() - {"numpy", "mbtref"}
assert others >= {"torch", "pytest", "hypothesis", "PIL", "tqdm"}, "they are installed, and hidden here"
sys.modules.update(dict.fromkeys(others))
from mbtref.suite.subjects.serve import main
main("numpy")
"""
"""The program of `--subject numpy`, where no other package than NumPy is installed."""
FLOAT_TOLERANCE = 1e-5
"""Of the largest value: ten times what float64 was seen to move."""
TIES = 1e-3
"""Share of pixels that may differ by a level. An error of 1e-6 in x_hat moves 1 in 2000, a wrong GDN 1 in 20."""


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.fixture(scope="module")
def questions(reference: Reference) -> Mapping[str, Values]:
    """Inputs for each operation whose answer doesn't depend on the codec's own choices: stages of one picture."""

    def ask(operation: str, **inputs: Value) -> Values:
        return reference.call(operation, MODEL if OPERATIONS[operation].needs_model else None, inputs)

    pixels = picture(64, 64)
    x = planes.to_tensor(pixels)[0].numpy()
    y = ask("g_a", x=x)["y"]
    latents = {name: value for name, value in ask("forward", x=x).items() if name in ("y_hat", "z_hat")}
    k_z = np.round(np.asarray(ask("h_a", y=y)["z"])).astype(np.int32)
    coded = ask("exact_symbols", k_z=k_z, y=y)
    given = {name: np.asarray(coded[part]).ravel() for name, part in (("symbols", "k"), ("indexes", "index"))}
    stream = ask("rans_encode", **given, **gaussian())["stream"]
    return {
        "g_a": {"x": x},
        "h_a": {"y": y},
        "g_s": {"y_hat": latents["y_hat"]},
        "parameters": latents,
        "forward": {"x": x},
        "exact_parameters": {"k_z": k_z, "y_hat": coded["y_hat"]},
        "exact_symbols": {"k_z": k_z, "y": y},
        "rans_encode": {**given, **gaussian()},
        "rans_decode": {"stream": stream, "indexes": given["indexes"], **gaussian()},
        "pack_raw": latents,
        "pack_zlib": latents,
        "unpack_raw": ask("pack_raw", **latents),
        "unpack_zlib": {"buffer": ask("pack_zlib", **latents)["buffer"]},
        "decode": ask("encode", image=pixels),
    }


def gaussian() -> dict[str, I32]:
    """The shipped tables, as an operation takes them."""
    return arrays(tables.load_gaussian().tables)


def arrays(found: tuple[Table, ...]) -> dict[str, I32]:
    """Tables as an operation takes them."""
    made = to_arrays(found)
    return {name: made[f"_{part}"] for name, part in
            (("cdf", "quantized_cdf"), ("length", "cdf_length"), ("offset", "offset"))}  # fmt: skip


@pytest.fixture(scope="module")
def one_file() -> Iterator[Command]:
    """The one-file decoder, which needs NumPy alone."""
    with closing(Command([sys.executable, "-c", NUMPY_ALONE], 60)) as program:
        yield program


@pytest.fixture(params=["float64", "compressai", "one-file decoder"])
def other(request: pytest.FixtureRequest, one_file: Command) -> Subject:
    """Each subject but the reference."""
    return one_file if request.param == one_file.name else in_process(request.param)


def tolerance(expected: Value) -> float:
    """How far a value may be off: not at all, but for floats, and for the few pixels between two levels."""
    if isinstance(expected, bytes) or expected.dtype == np.int32:
        return 0.0
    return TIES if expected.dtype == np.uint8 else FLOAT_TOLERANCE * max(1.0, float(np.abs(expected).max()))


def off(value: Value, expected: Value) -> float:
    """The largest absolute difference; of pictures, the mean one; between unequal bytes it is infinite."""
    if isinstance(value, bytes) or isinstance(expected, bytes):
        return 0.0 if value == expected else np.inf
    difference = np.abs(value.astype(np.float64) - expected.astype(np.float64))
    return float(difference.mean() if expected.dtype == np.uint8 else difference.max())


def test_subjects_give_the_references_answers(
    reference: Reference, other: Subject, questions: Mapping[str, Values]
) -> None:
    """Every operation that a subject shares with the reference has the same answer: integers and bytes exactly."""
    shared = [name for name in questions if OPERATIONS[name].capability in other.capabilities]
    assert len(shared) >= 8, f"{other.name} shares only {shared} with the reference"
    for operation in shared:
        model, inputs = MODEL if OPERATIONS[operation].needs_model else None, questions[operation]
        answer, expected = other.call(operation, model, inputs), reference.call(operation, model, inputs)
        assert fault(operation, inputs, answer) is None, f"{other.name}'s answer to {operation} is malformed"
        for name, value in expected.items():
            error, allowed = off(answer[name], value), tolerance(value)
            assert error <= allowed, (
                f"{other.name}, {operation}: {name} is off by {error:.3g}, allowed {allowed:.3g}"
            )


def test_compressai_reads_its_own_strings(reference: Reference) -> None:
    """CompressAI's round trip keeps a picture's size, costs what the reference's costs, and is as good."""
    pixels = picture(50, 70)
    blobs, errors = [], []
    for subject in (CompressAI(), reference):
        blob = subject.call("compress", MODEL, {"image": pixels})["blob"]
        again = np.asarray(subject.call("decompress", MODEL, {"blob": blob})["image"])
        assert again.shape == pixels.shape, (
            f"{subject.name}: a picture of {pixels.shape} came back as {again.shape}"
        )
        blobs.append(len(blob))
        errors.append(np.mean((again.astype(np.float64) - pixels) ** 2))
    assert abs(blobs[0] - blobs[1]) < 0.05 * blobs[1], f"{blobs[0]} bytes, the reference needs {blobs[1]}"
    assert abs(10 * np.log10(errors[0] / errors[1])) < 0.2, (
        f"MSE {errors[0]:.1f}, the reference has {errors[1]:.1f}"
    )


ESCAPE_ONLY = Table((0, 1 << 16), 0)
NARROW = Table((0, 1, 1 << 16), 0)
FARTHEST = 1 << 27


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
def test_compressai_refuses_just_what_breaks_it(
    reference: Reference, table: Table, symbols: list[int], reason: str | None
) -> None:
    """Its coder isn't given what it crashes on, hangs on or corrupts memory with; the rest has the same bytes."""
    inputs = {
        "symbols": np.array(symbols, np.int32),
        "indexes": np.zeros(len(symbols), np.int32),
        **arrays((table,)),
    }
    if reason is not None:
        with pytest.raises(Unsupported, match=reason):
            CompressAI().call("rans_encode", None, inputs)
        return
    expected = reference.call("rans_encode", None, inputs)
    assert CompressAI().call("rans_encode", None, inputs) == expected, "the same symbols gave other bytes"


def outcome(subject: Subject, stream: bytes) -> object:
    """The kind for which a stream is refused, else its latents."""
    try:
        return np.asarray(subject.call("decode", MODEL, {"stream": stream})["y_hat"]).tobytes()
    except Rejected as rejection:
        return rejection.kind


def sealed(stream: bytes) -> bytes:
    """A damaged stream with a checksum that fits."""
    return stream[:16] + struct.pack("<I", zlib.crc32(stream[:16] + stream[20:])) + stream[20:]


def test_the_example_refuses_what_the_reference_refuses(
    reference: Reference, one_file: Command, questions: Mapping[str, Values]
) -> None:
    """The one-file decoder and the reference give the same kind for a damaged stream, or the same latents."""
    stream, chance = questions["decode"]["stream"], random.Random(1)
    assert isinstance(stream, bytes), "a stream is bytes"
    damaged = [stream[:n] for n in (0, 2, 3, 4, 19, len(stream) - 4)]
    damaged += [b"PNG" + stream[3:], stream[:3] + b"\x02" + stream[4:]]
    damaged += [stream[:12] + sides + stream[16:] for sides in (b"\x00\x00\x40\x00", b"\xff\xff\xff\xff")]
    damaged += [sealed(data) for data in (stream[:-4], stream + bytes(4), stream[:-1], stream[:24])]
    for _ in range(30):
        place = chance.randrange(4, len(stream))
        damaged.append(sealed(stream[:place] + bytes([chance.randrange(256)]) + stream[place + 1 :]))
    found = [(outcome(one_file, data), outcome(reference, data)) for data in damaged]
    wrong = [(i, ours, theirs) for i, (ours, theirs) in enumerate(found) if ours != theirs]
    assert not wrong, f"(stream, one-file decoder, reference): {wrong}"
    kinds = {kind for kind, _ in found if isinstance(kind, str)}
    assert len(kinds) >= 9, f"the damaged streams meet only {kinds}"


def test_an_escape_of_eight_digits_is_refused(reference: Reference, one_file: Command) -> None:
    """The one-file decoder and the reference read escapes of up to seven digits."""
    digits = [oracle.digit_label(1)] * 8
    stream = oracle.ans_encode([oracle.bin_labels(NARROW)[-1], oracle.digit_label(8), *digits])
    inputs: Values = {"stream": stream, "indexes": np.zeros(1, np.int32), **arrays((NARROW,))}
    for subject in (one_file, reference):
        with pytest.raises(Rejected, match="symbol-out-of-range"):
            subject.call("rans_decode", None, inputs)


MINIATURE = """
import fcntl, json, os, subprocess, sys, time
from pathlib import Path

def say(answer):
    print(json.dumps(answer), flush=True)

def tell(**answer):
    say({"id": number, **answer})

def give(name):
    tell(result={"buffer": name})

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
        ("give('buffer.bin')", ProtocolFault, "didn't write it"),
        ("give(None)", ProtocolFault, "didn't write it"),
        ("give('../inputs/y_hat.npy')", ProtocolFault, "isn't in the folder"),
        ("give(request['inputs']['y_hat'])", ProtocolFault, "isn't in the folder"),
        ("os.symlink(request['inputs']['y_hat'], folder / 'a'); give('a')", ProtocolFault, "isn't in the folder"),
        ("os.mkfifo(folder / 'a'); give('a')", ProtocolFault, "didn't write it"),
        ("(folder / 'a.npy').touch(); give('a.npy')", ProtocolFault, "'a.npy' can't be read: not a .npy file"),
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


def test_a_hanging_program_is_ended_with_its_children(tmp_path: Path) -> None:
    """A program that doesn't answer in time is ended, with what it started, and the next request works."""
    lock = tmp_path / "lock"
    bad = f"""
file = open({str(lock)!r}, "w")
fcntl.flock(file, fcntl.LOCK_EX)
subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()])
print("waiting for a device", file=sys.stderr, flush=True)
time.sleep(60)"""
    with closing(miniature(bad, timeout=2)) as program:
        with pytest.raises(TimedOut, match="no answer within 2 s; it wrote:\nwaiting for a device"):
            program.call("pack_raw", None, LATENTS)
        assert free(lock), "a child of the program outlived it"
        works(program)


def test_a_closed_program_is_gone(tmp_path: Path) -> None:
    """Closing a subject ends its program."""
    lock = tmp_path / "lock"
    program = miniature(start=f"file = open({str(lock)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX)")
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
    ],
)
def test_a_program_must_greet(start: str, expected: type[Exception], message: str) -> None:
    """A program that doesn't greet as protocol 1 has it is no subject, and the message says why."""
    with pytest.raises(expected, match=message):
        miniature(start=start)


def test_there_must_be_a_subject() -> None:
    """No command, one that can't be started, and a module or attribute that isn't there are told as such."""
    for given, message in (
        ("cmd:", "needs a program"),
        ("cmd:./no-such-program --fast", "no-such-program can't be started"),
        ("no_such_module:Subject", "No module named 'no_such_module'"),
        ("json:Missing", "has no attribute 'Missing'"),
        ("json:decoder", "has no name, version, capabilities, call"),
    ):
        with pytest.raises(ValueError, match=message):
            isolated(given, PATIENCE)


ELSEWHERE = """
import sys
from mbtref.suite.subjects import program
program.POSIX = False
import pytest
sys.exit(pytest.main([*sys.argv[1:], "-p", "no:cacheprovider"]))
"""


def without_posix(*options: str) -> tuple[int, str]:
    """Runs the suite as on a system without POSIX. Returns the status and the output."""
    command = [sys.executable, "-c", ELSEWHERE, "conformance", *options]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_without_posix() -> None:
    """A Python subject runs in the suite's process, with a word; a program is refused; portability isn't run."""
    status, out = without_posix("--subject", "reference", "-k", "RANS-1/rare or test_made and lite-q3/checker")
    assert status == 0, out
    assert "isolation needs a POSIX system" in out, f"the user isn't told:\n{out}"
    assert "1 passed" in out, f"rANS should be asked about:\n{out}"
    assert "1 not run" in out, f"a second process can't be started:\n{out}"
    status, out = without_posix("--subject", "cmd:./my-decoder")
    assert status == pytest.ExitCode.USAGE_ERROR, out
    assert "a process of its own needs a POSIX system" in out, f"the user isn't told:\n{out}"


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


def test_a_greeting_describes_the_subject() -> None:
    """Name, version and capabilities are those that the program gives."""
    with closing(miniature()) as program:
        found = (program.name, program.version, program.capabilities)
    assert found == ("miniature", "7", ["buffers"]), f"the greeting was read as {found}"


def test_requests_leave_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files go when their request ends, whatever its end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with closing(miniature("Path(folder, 'half').write_bytes(b'x'); sys.exit(1)")) as program:
        works(program)
        with pytest.raises(Crashed):
            program.call("pack_raw", None, LATENTS)
        assert list(tmp_path.iterdir()) == [], "a request left files behind"


def test_a_request_names_all_that_a_program_needs(tmp_path: Path) -> None:
    """A request has the protocol's seven entries, and its paths lead to files."""
    bad = f"Path({str(tmp_path / 'request')!r}).write_text(line); say({{'id': number, 'unsupported': True}})"
    with closing(miniature(bad)) as program, pytest.raises(Unsupported):
        program.call("pack_raw", None, LATENTS)
    request = (tmp_path / "request").read_text()
    for entry in (
        '"id": 1',
        '"operation": "pack_raw"',
        '"model": null',
        '"model_file": null',
        str(gaussian_file()),
    ):
        assert entry in request, f"{entry} isn't in {request}"
