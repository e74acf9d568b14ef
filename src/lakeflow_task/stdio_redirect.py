"""Redirect standard output and error to the log shipper while user code runs."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

# The first process exits at once: user code that waits for its children must not find another.
_LOG_SHIPPER = (
    "import os, sys\n"
    "if os.fork(): os._exit(0)\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "from lakeflow_task.log_shipper import main\n"
    "main()"
)
_DRAIN_SECONDS = 30.0
"""How long the task waits for the log shipper in the end."""


class StdioRedirect:
    """A redirection to one log shipper: `start` before user code runs, `stop` after it.

    File descriptors 1 and 2 become pipes to the log shipper, so what child processes and native
    code write is shipped as well. If both are the same file, they share one pipe, so that the order
    is kept. Python streams that do not write to these descriptors (notebook-like shells) are copied
    to a third pipe.

    If the log shipper cannot be started, a warning says so and the run continues without it.
    """

    def __init__(self, folder: str) -> None:
        """Start the log shipper for a run's folder; it starts up while the task prepares."""
        self._pipes: dict[int, int] = {}
        self._saved: dict[int, int] = {}
        self._tees: dict[str, TextIO] = {}
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
            self._shipper: int | None = _spawn(folder, control, done, readers)
        except (OSError, TypeError) as error:  # TypeError: sys.executable is None
            self._shipper = None
            _warn(f"the output of this run is not kept: {error}")
        for fd in (control, done, *readers):
            os.close(fd)

    def start(self) -> None:
        """Redirect the streams."""
        if self._is_ready():
            _flush()
            for fd in _open(1, 2):
                self._saved[fd] = os.dup(fd)
                os.dup2(self._pipes.get(fd) or next(iter(self._pipes.values())), fd)
            for name, fd in (("stdout", 1), ("stderr", 2)):
                self._redirect(name, fd)
        self._close_pipes()

    def stop(self) -> int:
        """Restore the streams, and wait until the log shipper has shipped what was written.

        Returns how many bytes of output it has dropped.
        """
        dropped = b""
        self._close_pipes()
        if self._is_ready():
            _flush()
            _flush_native()
            for fd, saved in self._saved.items():
                os.dup2(saved, fd)
                os.close(saved)
            self._restore()
            with suppress(OSError):  # the log shipper was killed
                os.write(self._control, b".")
            if select.select([self._done], [], [], _DRAIN_SECONDS)[0]:
                dropped = os.read(self._done, 32)
            else:
                _warn(
                    f"not all output of this run is shipped after {_DRAIN_SECONDS:.0f} s; shipping "
                    "continues in the background"
                )
        for fd in (self._control, self._done, *({self._log} - {-1})):
            os.close(fd)
        if dropped:
            _warn(
                f"{dropped.decode()} bytes of the output are missing in the stored log: the run's"
                " folder could not be written in time"
            )
        return int(dropped or b"0")

    def _is_ready(self) -> bool:
        """Return whether the log shipper runs; waits for its first process once."""
        if self._shipper:
            pid, self._shipper = self._shipper, 0
            with suppress(ChildProcessError):  # where SIGCHLD is ignored
                if os.waitpid(pid, 0)[1]:
                    self._shipper = None
                    _warn("the output of this run is not kept: the log shipper did not start")
        return self._shipper is not None

    def _redirect(self, name: str, fd: int) -> None:
        stream = getattr(sys, name)
        if _writes_to(stream, fd):
            # A stream to a file or pipe is buffered in blocks: output would show late.
            self._line_buffered.append((stream, stream.line_buffering))
            stream.reconfigure(line_buffering=True)
        elif stream is not None:
            self._tees[name] = cast("TextIO", _Tee(stream, self._log))
            setattr(sys, name, self._tees[name])

    def _restore(self) -> None:
        for stream, before in self._line_buffered:
            with suppress(ValueError, OSError):  # closed by user code
                stream.reconfigure(line_buffering=before)
        for name, tee in self._tees.items():
            if getattr(sys, name) is tee:  # else user code replaced it
                setattr(sys, name, tee.stream)

    def _close_pipes(self) -> None:
        for pipe in self._pipes.values():
            os.close(pipe)
        self._pipes.clear()


class _Tee:
    """A text stream that copies what is written to it to a file descriptor."""

    def __init__(self, stream: TextIO, fd: int) -> None:
        self.stream = stream
        self._fd = fd

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        with suppress(OSError):  # the log shipper was killed
            while data:
                data = data[os.write(self._fd, data) :]
        return written

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _spawn(folder: str, control: int, done: int, readers: dict[int, int]) -> int:
    """Start the log shipper through a first process, which exits at once. Returns its PID."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    pairs = [f"{source}:{target}" for source, target in readers.items()]
    return os.posix_spawn(
        sys.executable,
        [
            *(sys.executable, "-I", "-S", "-c", _LOG_SHIPPER),
            *(package, folder, str(control), str(done), *pairs),
        ],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            # Duplicated onto itself, a descriptor stays open in the new process (POSIX.1-2024).
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
    """Return the open descriptors, one for each file."""
    files: dict[tuple[int, int], int] = {}
    for fd in _open(*fds):
        status = os.fstat(fd)
        files.setdefault((status.st_dev, status.st_ino), fd)
    return list(files.values())


def _writes_to(stream: object, fd: int) -> bool:
    """Return whether this is the interpreter's stream of a descriptor, not a shell's substitute."""
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == fd
    except (ValueError, OSError):
        return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # None, closed, or a broken pipe
            stream.flush()


def _flush_native() -> None:
    """Flush the buffers of C's stdio, which native code prints to."""
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).fflush(None)


def _warn(text: str) -> None:
    print(f"lakeflow: {text}", file=sys.stderr, flush=True)
