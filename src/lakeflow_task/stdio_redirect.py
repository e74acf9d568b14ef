"""The task's side of the relay: standard output and error go through it while user code runs."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

# The first process ends at once: the task must not find a child that it did not start.
_RELAY = (
    "import os, sys\n"
    "if os.fork(): os._exit(0)\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "from lakeflow_task.log_shipper import main\n"
    "main()"
)
_PATIENCE_SECONDS = 30.0


class Capture:
    """One relay: `begin` when user code starts, `end` when it is over.

    File descriptors 1 and 2 become pipes to it, so what child processes and native code write is
    shipped as well. Where both are the same file they share one pipe and keep their order. Python
    streams that do not write to these descriptors (notebook-like shells) are copied to a third one.

    A relay that can't be started costs a warning and the shipped output, never the run.
    """

    def __init__(self, folder: str) -> None:
        """Start the relay for the run's folder; it gets ready while the task prepares itself."""
        self._pipes: dict[int, int] = {}
        self._saved: dict[int, int] = {}
        self._copies: dict[str, TextIO] = {}
        self._line_buffered: list[tuple[io.TextIOWrapper, bool]] = []
        self._log = -1
        readers: dict[int, int] = {}
        for fd in _distinct(1, 2):
            reader, self._pipes[fd] = os.pipe()
            readers[reader] = fd
        if not (_writes_to(sys.stdout, 1) and _writes_to(sys.stderr, 2)):
            reader, self._log = os.pipe()
            readers[reader] = -1
        control, self._control = os.pipe()
        self._done, done = os.pipe()
        try:
            self._relay: int | None = _spawn(folder, control, done, readers)
        except (OSError, TypeError) as error:  # TypeError: sys.executable is None
            self._relay = None
            _warn(f"the output of this run is not kept: {error}")
        for fd in (control, done, *readers):
            os.close(fd)

    def begin(self) -> None:
        """Turn the streams over to the relay."""
        if self._is_ready():
            _flush()
            for fd in _open(1, 2):
                self._saved[fd] = os.dup(fd)
                os.dup2(self._pipes.get(fd) or next(iter(self._pipes.values())), fd)
            for name, fd in (("stdout", 1), ("stderr", 2)):
                self._turn_over(name, fd)
        self._close_pipes()

    def end(self) -> None:
        """Give the streams back, and wait until the relay has shipped all that was written."""
        self._close_pipes()
        if self._is_ready():
            _flush()
            _flush_native()
            for fd, saved in self._saved.items():
                os.dup2(saved, fd)
                os.close(saved)
            self._take_back()
            with suppress(OSError):  # the relay was killed
                os.write(self._control, b".")
            if not select.select([self._done], [], [], _PATIENCE_SECONDS)[0]:
                _warn(
                    f"the output of this run is not all kept after {_PATIENCE_SECONDS:.0f} s; the "
                    "relay goes on in the background"
                )
        for fd in (self._control, self._done, *({self._log} - {-1})):
            os.close(fd)

    def _is_ready(self) -> bool:
        """Whether the relay runs; waits for its first process the first time."""
        if self._relay:
            pid, self._relay = self._relay, 0
            with suppress(ChildProcessError):  # where SIGCHLD is ignored
                if os.waitpid(pid, 0)[1]:
                    self._relay = None
                    _warn("the output of this run is not kept: the relay did not start")
        return self._relay is not None

    def _turn_over(self, name: str, fd: int) -> None:
        stream = getattr(sys, name)
        if _writes_to(stream, fd):
            # The stream of a file or a pipe is buffered in blocks: nothing would show for long.
            self._line_buffered.append((stream, stream.line_buffering))
            stream.reconfigure(line_buffering=True)
        elif stream is not None:
            self._copies[name] = cast("TextIO", _Copy(stream, self._log))
            setattr(sys, name, self._copies[name])

    def _take_back(self) -> None:
        for stream, before in self._line_buffered:
            with suppress(ValueError, OSError):  # closed by user code
                stream.reconfigure(line_buffering=before)
        for name, copy in self._copies.items():
            if getattr(sys, name) is copy:
                setattr(sys, name, copy.stream)

    def _close_pipes(self) -> None:
        for pipe in self._pipes.values():
            os.close(pipe)
        self._pipes.clear()


class _Copy:
    """A text stream, and a copy of what is written to it."""

    def __init__(self, stream: TextIO, fd: int) -> None:
        self.stream = stream
        self._fd = fd

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        with suppress(OSError):  # the relay was killed
            while data:
                data = data[os.write(self._fd, data) :]
        return written

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _spawn(folder: str, control: int, done: int, readers: dict[int, int]) -> int:
    """Start the relay's first process, which ends as soon as the relay is on its own."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    pairs = [f"{source}:{target}" for source, target in readers.items()]
    return os.posix_spawn(
        sys.executable,
        [
            *(sys.executable, "-I", "-S", "-c", _RELAY),
            *(package, folder, str(control), str(done), *pairs),
        ],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            # Onto itself: the descriptor stays open in the new process (POSIX.1-2024).
            *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in (control, done, *readers)),
        ],
    )


def _open(*fds: int) -> list[int]:
    opened = []
    for fd in fds:
        with suppress(OSError):
            os.fstat(fd)
            opened.append(fd)
    return opened


def _distinct(*fds: int) -> list[int]:
    """Those of the descriptors that are open, one for each file."""
    files: dict[tuple[int, int], int] = {}
    for fd in _open(*fds):
        status = os.fstat(fd)
        files.setdefault((status.st_dev, status.st_ino), fd)
    return list(files.values())


def _writes_to(stream: object, fd: int) -> bool:
    """Whether this is an interpreter's own stream of the descriptor, and no shell's stand-in."""
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == fd
    except (ValueError, OSError):
        return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # none, closed, or gone
            stream.flush()


def _flush_native() -> None:
    """Empty the buffers of C's stdio, which native code prints to."""
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).fflush(None)


def _warn(text: str) -> None:
    print(f"lakeflow: {text}", file=sys.stderr, flush=True)
