"""Starts a method under its limits: `python -I -S launcher.py SETTINGS COMMAND…`, and becomes the command.

SETTINGS is JSON: ``parent`` (the host's process id), ``memory`` (bytes of address space, or null), ``hide``
(folders out of reach), ``write`` (folders that may be written then) and ``read`` (folders within hidden ones
that may be read). It runs without simclick and without site-packages. Hiding uses Landlock (Linux 5.13 and
later): every path beside the hidden ones may be read and run; ``write``, and what programs cannot do without
(`_DEVICES`, entries of ``/proc``), may be written; nothing else is allowed, for this process and all it ever
starts, root included. A process so confined cannot trace, signal (Linux 6.12) or read the memory of one that
is not. Root's capabilities to look into other processes are given up in any case: the host marks itself
(`guard`), and that mark then holds for root too.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import resource
import signal
import stat
import struct
import sys

__all__ = ["confine", "devices", "main", "reachable"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of Landlock's system calls, the same on every architecture."""
_PATH_BENEATH = 1
_SET_PDEATHSIG, _DROP_CAPABILITY, _SET_NO_NEW_PRIVS = 1, 24, 38
_LOOK = (19, 38)
"""Capabilities CAP_SYS_PTRACE and CAP_PERFMON, by which root looks into any process."""
_ADMIN = 21
"""CAP_SYS_ADMIN holds the second of them since Linux 6.14; container programs run by root need it."""
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Execute, write, read, truncate, ioctl: what a rule on a file may grant."""
_READ_RIGHTS = 1 << 0 | 1 << 2 | 1 << 3
"""Execute, read, list."""
_WRITE_FILE = 1 << 1 | 1 << 14
"""Write and truncate files that are there; make, remove and rename nothing."""
_DEVICES = (
    *("null", "zero", "full", "random", "urandom", "tty", "ptmx"),
    *("nvidia*", "nvidia-caps/*", "dri/*", "kfd"),
)
"""Character devices under /dev that programs write to: the harmless ones, and accelerators."""
_UNSTARTED, _UNCONFINED = 127, 126


def main(arguments: list[str]) -> None:
    """Set the limits and become the command; exits with 126 or 127 and a line when that fails."""
    settings = json.loads(arguments[0])
    command = arguments[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != settings["parent"]:  # the host died before it was watched
            os._exit(_UNSTARTED)
        for capability in (*_LOOK, _ADMIN) if settings["hide"] else _LOOK:
            libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)  # fails, and need not succeed, without root
    os.closerange(3, 65536)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if settings["hide"]:
        try:
            confine(libc, settings["hide"], settings["write"], settings["read"])
        except OSError as error:
            sys.stderr.write(f"agent.hide needs Linux with Landlock: {error.strerror}\n")
            sys.stderr.flush()
            os._exit(_UNCONFINED)
    if settings["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (settings["memory"], settings["memory"]))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(_UNSTARTED)


def reachable(hidden: list[str]) -> list[str]:
    """Return the paths that together hold everything but the hidden folders.

    Symbolic links are left out: what they point to is reachable by its own path, or hidden.

    Args:
        hidden: Absolute real paths.
    """
    found = []

    def walk(folder: str) -> None:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        for entry in entries:
            if entry.is_symlink() or entry.path in hidden:
                continue
            if any(path.startswith(entry.path + "/") for path in hidden):
                walk(entry.path)
            else:
                found.append(entry.path)

    if "/" not in hidden:
        walk("/")
    return found


def devices(hidden: list[str]) -> list[str]:
    """Return the devices that stay writable: none within a hidden folder, no link, nothing but devices."""
    found = []
    for pattern in _DEVICES:
        for path in glob.glob("/dev/" + pattern):  # noqa: PTH207  (pathlib is slow to import)
            within = any(path.startswith(folder.rstrip("/") + "/") for folder in hidden)
            try:
                if not within and stat.S_ISCHR(os.lstat(path).st_mode):
                    found.append(path)
            except OSError:
                continue
    return found


def confine(libc: ctypes.CDLL, hidden: list[str], write: list[str], read: list[str]) -> None:
    """Put this process, and all it starts, where hidden folders do not exist and little can be written.

    Raises:
        OSError: Where the kernel has no Landlock, or it is off.
    """
    version = _call(libc, _CREATE_RULESET, None, 0, 1)
    rights = (1 << (13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16)) - 1
    # File rights; then no network rights; then scopes: abstract sockets and signals.
    attributes = struct.pack("=QQQ", rights, 0, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = _call(libc, _CREATE_RULESET, attributes, len(attributes), 0)

    def allow(paths: list[str], wanted: int) -> None:
        for path in paths:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            granted = rights & wanted
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                granted &= _FILE_RIGHTS
            _call(libc, _ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", granted, place), 0)
            os.close(place)

    allow([*reachable(hidden), *read], _READ_RIGHTS)
    allow(devices(hidden), _FILE_RIGHTS)
    if not any("/proc".startswith(folder.rstrip("/")) for folder in hidden):
        # CUDA names its threads there. Root could set the kernel's own switches: its first process alone.
        allow(["/proc" if os.geteuid() else "/proc/self"], _READ_RIGHTS | _WRITE_FILE)
    allow(write, rights)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _call(libc, _RESTRICT_SELF, rules, 0)
    os.close(rules)


def _call(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
