"""The log shipper: a process that forwards a task's output and ships it to the run's folder.

It is a process and not a thread because native code may print while it holds the interpreter's
lock: a thread could not empty the pipe, and the task would hang. It also survives a task that
crashes or calls `os._exit`, so that its last output arrives.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from lakeflow_task.storage import write_atomically

_READ_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20  # the most that a pipe holds (pipe(7), /proc/sys/fs/pipe-max-size)
_FILE_BYTES = 1 << 20
_BUFFER_BYTES = 16 << 20
_STALL_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
_PAUSE_SHARE = 0.01


class LogWriter:
    """Writes output to files `log.000001`, `log.000002`, ... in a thread.

    A file is written one second after its first byte, or at 1 MiB; the first file earlier, since
    users wait for a sign of life. The pause grows to 1 % of the run's age, since a workspace folder
    holds 10,000 files. If the folder cannot be written, it warns once and retries.

    When 16 MiB wait to be written, `add` waits too, so that no output is lost while writing makes
    progress. After 10 seconds without progress it drops and counts what does not fit, so that the
    user's program continues, until a file is written again.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._started = time.monotonic()
        self._changed = threading.Condition()
        self._buffer = bytearray()
        self._since = self._started  # when the first byte of the buffer came
        self._lost = 0  # bytes that no line of the log mentions yet
        self.dropped = 0  # bytes of output in no file
        self._progress = self._started  # when a file was written, or the buffer was not full
        self._stalled = False
        self._closed = False
        self.files = 0
        self._warned = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def add(self, data: bytes) -> None:
        """Buffer output; wait while the buffer is full, unless writing makes no progress."""
        with self._changed:
            if self._closed:
                return
            if not self._has_room(data):
                self._wait_for_room(data)
            if not self._has_room(data):
                self._lost += len(data)
                self.dropped += len(data)
                return
            self._mention_lost()
            if not self._buffer:
                self._since = time.monotonic()
            self._buffer += data
            self._changed.notify_all()

    def _has_room(self, data: bytes) -> bool:
        return len(self._buffer) + len(data) <= _BUFFER_BYTES

    def _wait_for_room(self, data: bytes) -> None:
        """Wait until data fits. Returns without space after 10 seconds without progress."""
        self._progress = max(self._progress, self._since)
        while not self._stalled and not self._has_room(data):
            left = self._progress + _STALL_SECONDS - time.monotonic()
            self._stalled = left <= 0
            self._changed.wait(max(0.0, left))

    def _mention_lost(self) -> None:
        if self._lost:
            self._buffer += f"\n[lakeflow: {self._lost} bytes are missing here]\n".encode()
            self._lost = 0

    def close(self) -> None:
        """Write the rest of the buffer and stop."""
        with self._changed:
            self._mention_lost()
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self.dropped += len(self._buffer)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._buffer or self._closed)
                due = self._since + self._pause()
                self._changed.wait_for(self._is_full_or_closed, due - time.monotonic())
                chunk, closed = bytes(self._buffer[:_FILE_BYTES]), self._closed
            if not chunk:
                return
            if self._write(chunk):
                with self._changed:
                    del self._buffer[: len(chunk)]
                    self._since = self._progress = time.monotonic()
                    self._stalled = False
                    self._changed.notify_all()
            elif closed:
                return
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, self._pause())

    def _is_full_or_closed(self) -> bool:
        return self._closed or len(self._buffer) >= _FILE_BYTES

    def _pause(self) -> float:
        if not self.files:
            return _FIRST_PAUSE_SECONDS
        return max(_PAUSE_SECONDS, _PAUSE_SHARE * (time.monotonic() - self._started))

    def _write(self, chunk: bytes) -> bool:
        try:
            write_atomically(self._folder, f"log.{self.files + 1:06}", chunk)
        except OSError as error:
            if not self._warned:
                _warn(f"the output of this run cannot be kept in {self._folder}: {error.strerror}")
            self._warned = True
            return False
        self.files += 1
        return True


def forward(pipes: dict[int, int], control: int, done: int, writer: LogWriter) -> None:
    """Forward and ship what arrives at `pipes` until all of them are closed.

    `pipes` maps file descriptors to read from to those to write to, or -1 for none. A byte at
    `control` says that the task has finished, its end that the task's process died. What was in the
    pipes at that time is shipped. Then `done` gets the number of bytes that were dropped, if any,
    and is closed. What processes that the task left running write later is only forwarded.
    """
    ready = select.poll()
    for fd in (*pipes, control):
        ready.register(fd, select.POLLIN)

    def take(fd: int) -> int:
        data = os.read(fd, _READ_BYTES)
        if data:
            writer.add(data)
            if not _write_all(pipes[fd], data):
                pipes[fd] = -1
        else:
            ready.unregister(fd)
            del pipes[fd]
        return len(data)

    finished = False
    while pipes or not finished:
        for fd, _ in ready.poll():
            if fd != control:
                take(fd)
                continue
            finished = True
            ready.unregister(control)
            died = not os.read(control, 1)
            # No more than pipes hold: a process left running may write for ever.
            left = _PIPE_BYTES * len(pipes)
            while left > 0 and (events := ready.poll(0)):
                left -= sum(take(fd) for fd, _ in events)
            if died:
                writer.add(b"[lakeflow: the process of this run exited before its code returned]\n")
            writer.close()
            if writer.dropped and writer.files:  # else a warning has said that nothing is kept
                _write_all(done, b"%d" % writer.dropped)
            os.close(done)
            break


def main() -> None:
    """Forward and ship; arguments are package folder, run folder, control, done, `from:to`..."""
    folder, control, done, *pairs = sys.argv[2:]
    os.setsid()  # signals to the task's process group are not meant for the log shipper
    os.chdir("/")
    pipes = {int(source): int(target) for source, _, target in (p.partition(":") for p in pairs)}
    forward(pipes, int(control), int(done), LogWriter(folder))


def _write_all(target: int, data: bytes) -> bool:
    """Write data to a file descriptor. Returns whether more can be written to it."""
    view = memoryview(data)
    while target >= 0 and view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:
            return False
    return True


def _warn(text: str) -> None:
    _write_all(2, f"lakeflow: {text}\n".encode())
