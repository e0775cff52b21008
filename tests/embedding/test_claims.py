"""Claims: one process has each, nobody waits for the dead, and the slow are not robbed of more than time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from prima_features.embedding.resume.claims import Claims, Pace
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.errors import OutputError

TAKES_AND_STAYS = """
import sys, time
from pathlib import Path
from prima_features.embedding.resume.claims import Claims, Pace
with Claims(Path(sys.argv[1]), Pace(beat=0.1)) as claims:
    print(*[name for name in sys.argv[2:] if claims.take(name)], flush=True)
    time.sleep(60)
"""
TAKES_MANY = """
import sys, time
from pathlib import Path
from prima_features.embedding.resume.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print("ready", flush=True)
    sys.stdin.readline()
    print(*[number for number in range(500) if claims.take(str(number))], flush=True)
    sys.stdin.readline()
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def pretend_elsewhere(folder: Path) -> None:
    """Make the workers in a folder those of another machine, whose processes cannot be asked for."""
    for file in folder.glob("*.worker"):
        before = file.stat()
        file.write_text(json.dumps(json.loads(file.read_text()) | {"machine": "elsewhere"}))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_claim_is_had_once_until_it_is_given_back(tmp_path: Path) -> None:
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take("sub-01")
        assert not first.take("sub-01")
        assert not second.take("sub-01")
        first.release("sub-01")
        assert second.take("sub-01")
    assert not list(tmp_path.iterdir())


def test_processes_that_race_for_500_claims_have_each_once(tmp_path: Path) -> None:
    racers = [start(TAKES_MANY, tmp_path) for _ in range(3)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    taken = [racer.stdout.readline().split() for racer in racers]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(int(number) for numbers in taken for number in numbers) == list(range(500))


def test_a_killed_process_is_dead_at_once_and_one_of_two_takes_its_claim_over(tmp_path: Path) -> None:
    process = start(TAKES_AND_STAYS, tmp_path, "sub-01")
    assert process.stdout.readline() == "sub-01\n"
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert not first.take("sub-01")
        assert process.pid in {other.pid for other in first.others()}
        end(process)
        assert first.take("sub-01")
        assert not second.take("sub-01")
        assert process.pid not in {other.pid for other in first.others()}


def test_a_dead_process_of_another_machine_is_known_by_its_heartbeat(tmp_path: Path) -> None:
    process = start(TAKES_AND_STAYS, tmp_path, "sub-01")
    assert process.stdout.readline() == "sub-01\n"
    end(process)
    pretend_elsewhere(tmp_path)
    with Claims(tmp_path, Pace(beat=0.1, patience=60)) as claims:
        assert not claims.take("sub-01")  # its last sign of life is seconds old
    (worker,) = tmp_path.glob("*.worker")
    os.utime(worker, (time.time() - 100,) * 2)
    with Claims(tmp_path) as claims:
        assert claims.take("sub-01")  # at the first look


def test_a_heartbeat_that_stands_still_counts_whatever_the_clocks_say(tmp_path: Path) -> None:
    process = start(TAKES_AND_STAYS, tmp_path, "sub-01")
    assert process.stdout.readline() == "sub-01\n"
    end(process)
    pretend_elsewhere(tmp_path)
    (worker,) = tmp_path.glob("*.worker")
    os.utime(worker, (time.time() + 3600,) * 2)  # its clock ran ahead
    with Claims(tmp_path, Pace(beat=0.1, patience=0.5)) as claims:
        assert not claims.take("sub-01")
        time.sleep(0.6)
        assert claims.take("sub-01")


def test_a_process_that_joins_while_the_folder_is_removed_joins_a_new_one(tmp_path: Path) -> None:
    """The one that removes it has seen no others before the other announced itself."""
    folder = tmp_path / "parts"
    parts = PartsFolder(folder)
    found: list[list[str]] = []

    def join() -> None:
        with Claims(folder) as claims:
            found.append([path.name for path in folder.iterdir()])
            claims.end(parts.remove)

    joiner = threading.Thread(target=join)

    def remove(last: Sequence[Path]) -> None:
        joiner.start()
        while len(list(folder.glob("*.worker"))) < 2:
            time.sleep(0.01)
        assert not found, "it has joined a folder that is being removed"
        parts.remove(last)

    with Claims(folder) as claims:
        (folder / "sub-01.safetensors").touch()
        claims.end(remove)
    joiner.join(60)
    (names,) = found
    assert [name.rpartition(".")[2] for name in names] == ["worker"]
    assert not folder.exists()


def test_a_process_is_announced_when_it_has_joined_and_the_last_one_removes_the_folder(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "parts"
    with Claims(folder) as first, Claims(folder) as second:
        first.end(PartsFolder(folder).remove)
        assert folder.is_dir() and first.others() and not second.others()
        second.end(PartsFolder(folder).remove)
        assert not folder.exists()


def test_a_process_whose_folder_others_have_removed_ends_in_peace(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    with Claims(folder) as claims:
        PartsFolder(folder).remove()
        claims.end(PartsFolder(folder).remove)
    assert not folder.exists()


def test_joining_gives_up_if_the_folder_is_removed_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def announce(claims: Claims, plan: str, shard: str) -> None:
        original(claims, plan, shard)
        PartsFolder(tmp_path / "parts").remove()

    original = Claims.announce
    monkeypatch.setattr(Claims, "announce", announce)
    with pytest.raises(OutputError, match="run the same command again"):
        Claims(tmp_path / "parts").__enter__()


def test_a_slow_process_keeps_its_claim_and_a_stopped_one_loses_only_that(tmp_path: Path) -> None:
    process = start(TAKES_AND_STAYS, tmp_path, "sub-01")
    assert process.stdout.readline() == "sub-01\n"
    with Claims(tmp_path, Pace(beat=0.1, patience=1)) as claims:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert not claims.take("sub-01")
            time.sleep(0.1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        assert claims.take("sub-01")
        process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        assert process.pid in {other.pid for other in claims.others()}
        end(process)


def test_a_claim_that_nobody_signed_is_dead_after_a_while(tmp_path: Path) -> None:
    (tmp_path / "sub-01.0.claim").touch()
    with Claims(tmp_path, Pace(beat=0.1, patience=0.5)) as claims:
        assert not claims.take("sub-01")
        time.sleep(0.7)
        assert claims.take("sub-01")


def test_what_is_waited_for_is_had_when_its_owner_dies(tmp_path: Path) -> None:
    process = start(TAKES_AND_STAYS, tmp_path, "start")
    assert process.stdout.readline() == "start\n"
    with Claims(tmp_path) as claims:
        killer = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
        with claims.waiting_for("start"):
            assert process.wait() == -signal.SIGKILL
        killer.wait()
    process.communicate()


WORKER = {"host": "x", "pid": 1, "machine": "m", "plan": "", "shard": ""}
SENSELESS = [
    "",
    "{",
    '{"host": "x"}',
    "[" * 20_000,
    json.dumps(WORKER | {"pid": "1"}),
    json.dumps(WORKER | {"pid": 1.0}),
    json.dumps(WORKER | {"plan": ["p"]}),
    json.dumps(WORKER | {"more": ""}),
    json.dumps(WORKER) + " " * (1 << 20) + "x",
    f'{{"pid": {"9" * 10_000}}}',
]


@pytest.mark.parametrize("content", SENSELESS, ids=range(len(SENSELESS)))
def test_a_worker_file_that_makes_no_sense_is_of_no_live_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.1.ab.worker").write_text(content)
    with Claims(tmp_path) as claims:
        assert claims.others() == []


def test_a_process_number_that_no_system_has_is_of_no_live_process(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        (own,) = tmp_path.glob("*.worker")
        other = json.loads(own.read_text()) | {"pid": 10**30}
        (tmp_path / "x.1.ab.worker").write_text(json.dumps(other))
        assert claims.others() == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_worker_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.1.ab.worker")
    with Claims(tmp_path) as claims:
        assert claims.others() == []


@pytest.mark.parametrize("owner", [b"\xff", b"a\0b", b"../x.worker", b"/dev/zero", b"x" * (1 << 20)])
def test_a_claim_signed_with_no_name_is_dead_after_a_while(owner: bytes, tmp_path: Path) -> None:
    (tmp_path / "sub-01.0.claim").write_bytes(owner)
    with Claims(tmp_path, Pace(beat=0.1, patience=0.5)) as claims:
        assert not claims.take("sub-01")
        time.sleep(0.7)
        assert claims.take("sub-01")
