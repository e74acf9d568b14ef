"""The relay: a process that passes a task's output on and ships it to the run's folder meanwhile.

It is a process and not a thread because native code may print while it holds the interpreter's
lock: a thread could not empty the pipe then, and the task would hang for ever. It also outlives a
task that crashes or calls `os._exit`, so the last words arrive.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from lakeflow_task.storage import write_whole

_READ = 1 << 16
_PIPE_BYTES = 1 << 20  # the most that a pipe holds (pipe(7), /proc/sys/fs/pipe-max-size)
_FILE_BYTES = 1 << 20
_HELD_BYTES = 16 << 20
_FIRST_PAUSE_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
_PAUSE_SHARE = 0.01


class Shipper:
    """Writes what it is given as files `log.000001` and on, in a thread of its own.

    A file is written a second after its first byte came, or at 1 MiB; the first one sooner, since
    somebody may be waiting for a sign of life. The pause grows to 1 % of the run's age, since a
    workspace folder holds 10,000 files. Where the folder can't be written it says so once, keeps
    16 MiB and tries again.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._begun = time.monotonic()
        self._changed = threading.Condition()
        self._held = bytearray()
        self._since = self._begun
        self._lost = 0
        self._ended = False
        self._files = 0
        self._warned = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def add(self, data: bytes) -> None:
        """Take output; never waits for the store."""
        with self._changed:
            if self._ended:
                return
            if len(self._held) + len(data) > _HELD_BYTES:
                self._lost += len(data)
                return
            if self._lost:
                self._held += f"\n[lakeflow: {self._lost} bytes are missing here]\n".encode()
                self._lost = 0
            if not self._held:
                self._since = time.monotonic()
            self._held += data
            self._changed.notify()

    def finish(self) -> None:
        """Ship what is left and stop."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._ended)
                due = self._since + self._pause()
                self._changed.wait_for(self._is_full_or_ended, due - time.monotonic())
                chunk, ended = bytes(self._held[:_FILE_BYTES]), self._ended
            if not chunk:
                return
            if self._ship(chunk):
                with self._changed:
                    del self._held[: len(chunk)]
                    self._since = time.monotonic()
            elif ended:
                return
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._ended, self._pause())

    def _is_full_or_ended(self) -> bool:
        return self._ended or len(self._held) >= _FILE_BYTES

    def _pause(self) -> float:
        if not self._files:
            return _FIRST_PAUSE_SECONDS
        return max(_PAUSE_SECONDS, _PAUSE_SHARE * (time.monotonic() - self._begun))

    def _ship(self, chunk: bytes) -> bool:
        try:
            write_whole(self._folder, f"log.{self._files + 1:06}", chunk)
        except OSError as error:
            if not self._warned:
                _warn(f"the output of this run cannot be kept in {self._folder}: {error.strerror}")
            self._warned = True
            return False
        self._files += 1
        return True


def relay(pipes: dict[int, int], control: int, done: int, shipper: Shipper) -> None:
    """Pass on what comes from `pipes` (from: to, or -1 for nowhere) until all are closed.

    `control` says that the task is over, by a byte or, where its process died, by its end. What was
    in the pipes by then is shipped and `done` is closed. What processes that the task left behind
    write later is still passed on.
    """
    ready = select.poll()
    for fd in (*pipes, control):
        ready.register(fd, select.POLLIN)

    def take(fd: int) -> int:
        data = os.read(fd, _READ)
        if data:
            shipper.add(data)
            if not _pass_on(pipes[fd], data):
                pipes[fd] = -1
        else:
            ready.unregister(fd)
            del pipes[fd]
        return len(data)

    over = False
    while pipes or not over:
        for fd, _ in ready.poll():
            if fd != control:
                take(fd)
                continue
            over = True
            ready.unregister(control)
            died = not os.read(control, 1)
            left = _PIPE_BYTES * len(pipes)
            while left > 0 and (events := ready.poll(0)):
                left -= sum(take(fd) for fd, _ in events)
            if died:
                shipper.add(b"[lakeflow: the process of this run ended before its code did]\n")
            shipper.finish()
            os.close(done)
            break


def main() -> None:
    """Arguments: the package's folder, the run's folder, control, done, then `from:to` pairs."""
    folder, control, done, *pairs = sys.argv[2:]
    os.setsid()  # what is sent to the task's process group is not for the relay
    os.chdir("/")
    pipes = {int(source): int(target) for source, _, target in (p.partition(":") for p in pairs)}
    relay(pipes, int(control), int(done), Shipper(folder))


def _pass_on(target: int, data: bytes) -> bool:
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
    _pass_on(2, f"lakeflow: {text}\n".encode())
