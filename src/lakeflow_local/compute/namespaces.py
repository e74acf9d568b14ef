"""Mounts `/Workspace`, `/Volumes` and `/dbfs` at the root of the file system, for tasks.

The server moves into its own mount namespace, whose root is the machine's with these three folders
added. Its tasks inherit the namespace, which costs them no time. Linux only, and only where the
system allows it (user_namespaces(7)). Folders that are created at the machine's root later are not
visible inside.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from pathlib import Path

TREES = ("Workspace", "Volumes", "dbfs")

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
"""The number of the system call, which the C library does not wrap."""


def enter(mount: Path, root: Path) -> bool:
    """Move this process, which must have one thread, where `mount`'s trees are at the root.

    `root` is a folder for the new root. Return False, without any change, if the system does not
    allow it: a child process tries first.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in PIVOT_ROOT:
        return False
    for tree in TREES:
        (mount / tree).mkdir(parents=True, exist_ok=True)
    root.mkdir(exist_ok=True)
    ways = [CLONE_NEWUSER | CLONE_NEWNS]
    if os.geteuid() == 0:
        ways.insert(0, CLONE_NEWNS)  # keeps the owners of files
    for flags in ways:
        if _is_possible(flags, mount, root):
            _enter(flags, mount, root)
            return True
    return False


def _is_possible(flags: int, mount: Path, root: Path) -> bool:
    child = os.fork()
    if child == 0:
        try:
            _enter(flags, mount, root)
            os._exit(0 if all(os.path.isdir(f"/{tree}") for tree in TREES) else 1)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _enter(flags: int, mount: Path, root: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    def bind(source: Path, target: Path) -> None:
        call("mount", bytes(source), bytes(target), None, ctypes.c_ulong(MS_BIND | MS_REC), None)

    user, group, folder = os.geteuid(), os.getegid(), os.getcwd()
    call("unshare", flags)
    if flags & CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None)
    call("mount", b"tmpfs", bytes(root), b"tmpfs", ctypes.c_ulong(0), b"mode=755")
    for source in _entries_of_root(root):
        target = root / source.name
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
            continue
        if source.is_dir():
            target.mkdir()
        else:
            target.touch()
        bind(source, target)
    for tree in TREES:
        (root / tree).mkdir()
        bind(mount / tree, root / tree)
    # pivot_root(2): with both names the same, the old root lies on top of the new one.
    os.chdir(root)
    call("syscall", ctypes.c_long(PIVOT_ROOT[platform.machine()]), b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir(folder)


def _entries_of_root(root: Path) -> list[Path]:
    """Return what is at the root; first the folder above `root`, while nothing is mounted in it."""
    names = [name for name in os.listdir("/") if name not in TREES]
    names.sort(key=lambda name: (name != root.parts[1], name))
    return [Path("/", name) for name in names if _exists(Path("/", name))]


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):
            return False
        raise
    return True
