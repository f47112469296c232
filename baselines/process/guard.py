"""The harness's own memory, out of reach of the programs that it starts (Linux)."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["guard_memory", "guarded"]

_GET_DUMPABLE, _SET_DUMPABLE = 3, 4
_NO = 0


def guard_memory() -> bool:
    """Mark this process as one that no other process of the same user may look into.

    Linux then lets only who has CAP_SYS_PTRACE trace it or read ``/proc/PID/mem``, ``environ``, ``maps`` and
    ``fd`` of it, whatever ``kernel.yama.ptrace_scope`` says; a method started by `launcher` does not have
    it, root's neither. (``environ`` and ``maps`` also yield to CAP_SYS_ADMIN since Linux 6.14, which a method
    run by root keeps unless folders are hidden from it.) It is not taken back: a child that a method left
    behind may live longer than the method, the truth may lie in memory longer than the agent. It ends with
    this process; programs started from it are not marked. The price: no core file, and debuggers and
    profilers that attach (``gdb -p``, ``py-spy``) need root.

    Returns:
        Whether it is marked now; False where the system is not Linux.
    """
    if sys.platform != "linux":
        return False
    return int(ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, _NO, 0, 0, 0)) == 0


def guarded() -> bool:
    """Return whether this process is marked."""
    if sys.platform != "linux":
        return False
    return int(ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0)) == _NO
