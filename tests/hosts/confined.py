"""The system calls of a process as a unit of systemd confines them, as far as they change what a process may use (`@resources`)."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Mapping
from pathlib import Path

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "setrlimit": 160, "sched_setaffinity": 203,
        "mbind": 237, "set_mempolicy": 238, "ioprio_set": 251, "migrate_pages": 256, "move_pages": 279, "sched_setattr": 314,
        "set_mempolicy_home_node": 450,
    },
    "aarch64": {
        "setpriority": 140, "sched_setparam": 118, "sched_setscheduler": 119, "setrlimit": 164, "sched_setaffinity": 122,
        "mbind": 235, "set_mempolicy": 237, "ioprio_set": 30, "migrate_pages": 238, "move_pages": 239, "sched_setattr": 274,
        "set_mempolicy_home_node": 450,
    },
}  # fmt: skip
"""The calls of `@resources`, by the kind of machine."""
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
KILL, REFUSE, _ALLOW = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000


def forbidden(unit: Path) -> tuple[set[str], int]:
    """The calls of `@resources` that a unit takes from a process, and what becomes of who makes one."""
    known = set(NUMBERS[platform.machine()])
    taken, action = set[str](), KILL
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "SystemCallFilter":
            named = value.removeprefix("~").split()
            of = known if {"@resources", "@system-service"} & set(named) else known & set(named)
            taken = taken | of if value.startswith("~") else taken - of
        elif name == "SystemCallErrorNumber":
            assert value == "EPERM"
            action = REFUSE
    return taken, action


def confine(calls: set[str], action: int) -> bool:
    """Take these calls from this process and all that it starts, for ever; False if nobody here can."""
    numbers = [NUMBERS[platform.machine()][name] for name in sorted(calls)]
    program = [(_LOAD, 0, 0, 0)]
    program += [(_IF_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, action)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    handed = Program(len(program), ctypes.cast(code, ctypes.c_void_p))
    return not libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) and not libc.prctl(_SECCOMP, _FILTER, ctypes.byref(handed))
