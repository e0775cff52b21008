"""Claims: how several processes share the work on one output, on one machine or on several with the same disk.

The design follows from one rule: **claims only save work; correctness never depends on them.** Two processes that embed
the same study write the same part under random temporary names, and the later rename wins. Two processes that assemble
OUTPUT.h5 use the same parts. A claim may therefore be lost, duplicated or taken over by mistake at the cost of time
only. The protocol makes that rare, and never waits for a dead process.

A process announces itself with a file `HOST.PID.RANDOM.worker` in the parts folder and touches it every few seconds
(the heartbeat), from a thread, so a long computation does not stop it. A claim is a file `NAME.0.claim`, created with
O_EXCL, which succeeds for one process only on all file systems, including NFS from version 3. It contains the name of
its worker, and is deleted when the part of the study exists.

*When is an owner dead?* If its worker file is gone; if it ran on this machine and the process no longer exists;
otherwise if its last heartbeat is a minute older than this process's own, by the times of the two files, or has not
changed for a minute while this process watched. The first comparison immediately detects a process that died yesterday;
the second works if the clocks of two machines differ. "This machine" is a boot and a process namespace, not a host
name: containers with the same host name do not see each other's processes. If a new process happens to have the same
process id, the dead one looks alive, but its heartbeat does not.

*Two processes see the same dead claim.* If they deleted it and created a new one, the slower process could delete the
claim of the faster one. So no process deletes or renames the claims of others: to take over claim 0, it creates claim
1, again with O_EXCL, so only one process succeeds, and so on upward. Dead claims are deleted with the folder.

*The owner of a claim is slow but not dead* (a stopped process, a disk that hung for minutes). Its claim may be taken
over. When it continues, it saves its part, which is complete and the same. If the folder was removed in the meantime,
because the others took it for dead and finished, it finds OUTPUT.h5 complete.

*Between checking for a part and claiming its study*, another process may finish the study and release the claim. A
process therefore checks again after it has got a claim.

*A claim without a name in it*: its owner died between creating and filling it, or a network disk did so by repeating
the request. It counts as dead after a minute.

*Who assembles OUTPUT.h5?* Every process stays until the output is complete, so the death of one process cannot leave
the run unfinished. The process that gets the claim `output` writes the file; the others wait, and take that claim over
if necessary. A process that joins later finds the file complete.

*Who deletes the folder?* The last one. Processes end one at a time, under the claim `end`: each looks for others, and
deletes the folder if there are none, otherwise only its worker file. A process that joins creates the folder if
necessary, announces itself, and then takes the claim `end` for a moment: if its worker file still exists under the
claim, every process that ends later sees it; if not, the folder was being deleted, and it starts over. For this reason
the files of the folder are deleted in an order: the worker file of the ending process and its claim `end` come last.

*Processes with other settings or studies* would redo each other's parts forever. Each process has a plan (see `plan`),
and under the claim `start` it checks whether live workers follow another plan; if so, it refuses to run.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from prima_features.errors import OutputError
from prima_features.files.disk import output_errors, write_json
from prima_features.files.plain import from_plain
from prima_features.files.safe import load_json, open_regular, read_bytes
from prima_features.files.text import file_stem

_POLL = 0.2
"""Seconds between two tries for a claim that is only ever held for moments."""
_END = "end"
"""Name of the claim under which a process ends or has joined."""
_TRIES = 20
"""How often a process tries to join while the folder is deleted each time."""
_MOST_BYTES = 1 << 16
"""Bytes of a worker file or a claim that are read. They have a few hundred."""


@dataclass(frozen=True)
class Pace:
    """How often signs of life are given, and how long they are waited for."""

    beat: float = 10
    """Seconds between heartbeats."""
    patience: float = 60
    """Seconds without one after which a process counts as dead. A network disk may show it late."""


@dataclass(frozen=True)
class Worker:
    """A process at work on an output."""

    host: str
    pid: int
    machine: str
    """What the process number is valid in: host, boot and namespace."""
    plan: str = ""
    """Identity of the plan it follows; empty before it has one."""
    shard: str = ""

    @classmethod
    def from_json(cls, content: bytes) -> Worker:
        """The worker that a file describes.

        Raises:
            ValueError: the content is too long, is not JSON, or describes something else.
        """
        if len(content) > _MOST_BYTES:
            raise ValueError("is too long for a worker record")
        return from_plain(cls, load_json(content))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Claims:
    """The claims of this process in a folder, and what it knows of those of others.

    A context manager: on entering, the folder is created if necessary and the process is announced in it; its claims
    are given back on leaving.

    Raises:
        OutputError: from every method: the folder cannot be written to.
    """

    def __init__(self, folder: Path, pace: Pace = Pace()):
        self._folder, self._pace = folder, pace
        self._me = Worker(socket.gethostname(), os.getpid(), _machine())
        host = "".join(letter if letter.isalnum() else "-" for letter in self._me.host)[:64]
        self._file = folder / f"{host}.{self._me.pid}.{secrets.token_hex(4)}.worker"
        self._held: dict[str, Path] = {}
        self._seen = _StandingStill()
        self._last_beat = 0
        self._leaving = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)

    def __enter__(self) -> Claims:
        with ExitStack() as undo:
            undo.callback(self._file.unlink, missing_ok=True)
            self._join()
            undo.pop_all()
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._held):
            self.release(name)
        self.withdraw()

    def announce(self, plan: str, shard: str) -> None:
        """Tell the others which plan this process follows, and which share of it is its own."""
        self._me = Worker(self._me.host, self._me.pid, self._me.machine, plan, shard)
        write_json(self._file, asdict(self._me), indent=None)
        with output_errors(self._file):
            self._last_beat = self._file.stat().st_mtime_ns

    def _join(self) -> None:
        """Announce this process in a folder that no other process is deleting."""
        for tries_left in reversed(range(_TRIES)):
            with output_errors(self._folder):
                self._folder.mkdir(exist_ok=True)
            try:
                self.announce("", "")
                with self.waiting_for(_END):
                    if self._file.exists():
                        return
            except OutputError as error:
                if not tries_left or not isinstance(error.__cause__, FileNotFoundError):
                    raise
        raise OutputError(
            f"{self._folder} is deleted by other processes as soon as it is created; end them and run the same "
            "command again"
        )

    def end(self, remove: Callable[[Sequence[Path]], None]) -> None:
        """Withdraw; if this is the last process, remove the folder before that.

        Args:
            remove: deletes the folder, given the files to delete after all others, in order.
        """
        try:
            with self.waiting_for(_END):
                if not self.others():
                    remove([self._file, *self._folder.glob(f"{_END}.*.claim")])
                self.withdraw()
        except OutputError as error:
            # Others took this process for dead, finished, and removed the folder.
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self.withdraw()

    def withdraw(self) -> None:
        """Be one of the live processes no longer."""
        self._leaving.set()
        self._heart.join()
        with suppress(OSError):  # what is left behind belongs to a dead process
            self._file.unlink(missing_ok=True)

    def others(self) -> list[Worker]:
        """The other live processes."""
        with output_errors(self._folder):
            files = [path for path in self._folder.glob("*.worker") if path != self._file]
            return [worker for path in files if (worker := self._live_worker(path)) is not None]

    def take(self, name: str) -> bool:
        """Claim a name; False if a live process has it."""
        generation = 0
        while True:
            path = self._folder / f"{file_stem(name)}.{generation}.claim"
            with output_errors(path):
                if self._make(path):
                    self._held[name] = path
                    return True
                if self._is_alive(path):
                    return False
            generation += 1

    def release(self, name: str) -> None:
        """Give a claim back."""
        with suppress(OSError):  # it is dead as soon as this process is
            self._held.pop(name).unlink(missing_ok=True)

    @contextmanager
    def waiting_for(self, name: str) -> Iterator[None]:
        """Hold a claim for the block; wait until it can be had."""
        while not self.take(name):
            time.sleep(_POLL)
        try:
            yield
        finally:
            self.release(name)

    def _make(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, self._file.name.encode())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return True

    def _is_alive(self, claim: Path) -> bool:
        """Whether a claim's owner lives. True for a claim that is just being given back."""
        try:
            made = claim.stat().st_mtime_ns
            owner = read_bytes(claim, _MOST_BYTES).decode()
        except FileNotFoundError:
            return True
        except ValueError:  # no name of a worker
            owner = ""
        if not owner or Path(owner).name != owner or "\0" in owner:
            return self._is_fresh(claim.name, made)
        return self._live_worker(self._folder / owner) is not None

    def _live_worker(self, file: Path) -> Worker | None:
        """The process of a worker file, or None if it is dead."""
        try:
            with open_regular(file) as opened:  # opening makes a network disk ask for the file's state again
                worker = Worker.from_json(opened.read(_MOST_BYTES + 1))
                beat = os.fstat(opened.fileno()).st_mtime_ns
        except (FileNotFoundError, ValueError):  # gone, or of another release
            return None
        if worker.machine == self._me.machine and not _runs(worker.pid):
            return None
        return worker if self._is_fresh(file.name, beat) else None

    def _is_fresh(self, name: str, beat: int) -> bool:
        """Whether a file's time is near that of this process's last heartbeat, and not seen to stand still."""
        age = max((self._last_beat - beat) / 1e9, self._seen.seconds(name, beat))
        return age < self._pace.patience

    def _keep_beating(self) -> None:
        while not self._leaving.wait(self._pace.beat):
            # A disk that is away for a moment may be back for the next beat; the work itself finds out if not.
            with suppress(OSError):
                os.utime(self._file)
                self._last_beat = self._file.stat().st_mtime_ns


class _StandingStill:
    """How long things have looked the same, by this process's own clock."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float]] = {}

    def seconds(self, name: str, value: int) -> float:
        """Seconds since `name` was first seen with this value."""
        now = time.monotonic()
        if name not in self._since or self._since[name][0] != value:
            self._since[name] = (value, now)
        return now - self._since[name][1]


def _machine() -> str:
    """Host, boot and process namespace, the latter two on Linux only."""
    facts = [socket.gethostname()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(facts)


def _runs(pid: int) -> bool:
    """Whether a process of this number runs here. A zombie does not; one that may not be asked does."""
    import psutil  # takes 25 ms, and only claims of others need it

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.AccessDenied:
        return True
