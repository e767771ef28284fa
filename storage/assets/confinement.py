"""Confinement of the process that decodes an upload: what it cannot do, whoever has written the upload.

Set by the process itself, after its imports and before it reads the first byte:

- limits (setrlimit): memory, seconds of CPU time, bytes of a file, no further descriptor, no core dump;
- system calls (seccomp): only those that memory, threads, the open descriptors and its own end take. All others
  answer EPERM, so it opens no file or socket, starts no process and signals none. Linux on x86-64 and ARM64
  only;
- the lowest priority, so that visitors come first.
"""

import ctypes
import os
import platform
import resource
import struct
from typing import Final, NamedTuple

_LIBC: Final = ctypes.CDLL(None)
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_FILTER_MODE: Final = 2
_ALLOW: Final = 0x7FFF0000
_ERRNO_EPERM: Final = 0x00050001
_ERRNO_ENOSYS: Final = 0x00050026
_KILL: Final = 0x80000000
_THREAD: Final = 0x00010000  # CLONE_THREAD
_CLONE3: Final = 435  # by every machine; C libraries use clone where it is unknown
# The calls for descriptors (read, write, close, fstat, lseek, pread64, writev), memory (mmap, mprotect, munmap,
# brk, mremap, madvise), signals' handlers (rt_sigaction, rt_sigprocmask, rt_sigreturn), threads (sched_yield,
# sched_getaffinity, getpid, gettid, futex, set_robust_list, rseq), the clock (clock_gettime, clock_nanosleep),
# the end (exit, exit_group), and getrandom.
_X86_64: Final = (
    0, 1, 3, 5, 8, 17, 20, 9, 10, 11, 12, 25, 28, 13, 14, 15, 24, 204, 39, 186, 202, 273, 334, 228, 230, 60,
    231, 318,
)  # fmt: skip
_AARCH64: Final = (
    63, 64, 57, 80, 62, 67, 66, 222, 226, 215, 214, 216, 233, 134, 135, 139, 124, 123, 172, 178, 98, 99, 293,
    113, 115, 93, 94, 278,
)  # fmt: skip


class _Machine(NamedTuple):
    """The number of an architecture in the kernel's audit records, its number of clone, and the calls."""

    architecture: int
    clone: int
    calls: tuple[int, ...]


_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 56, _X86_64),
    "aarch64": _Machine(0xC00000B7, 220, _AARCH64),
}


class Limits(NamedTuple):
    """Limits of the process: bytes of memory, seconds of CPU time, bytes of a file that it writes."""

    memory_bytes: int
    cpu_s: int
    file_bytes: int


def confine(limits: Limits) -> bool:
    """Confine this process for the rest of its life. Returns whether its system calls are restricted, too."""
    os.nice(19)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    # Descriptors are numbered from 0, and the three that are open stay so.
    _limit(resource.RLIMIT_NOFILE, 3)
    return _restrict_system_calls()


def _limit(what: int, amount: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        amount = min(amount, hard)
    resource.setrlimit(what, (amount, amount))


def _restrict_system_calls() -> bool:
    """Install the filter. Returns whether the kernel took it."""
    machine = _MACHINES.get(platform.machine()) if platform.system() == "Linux" else None
    if machine is None:
        return False
    program = _filter(machine)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    prctl = _LIBC.prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.c_char_p(header), 0, 0) == 0)


def _filter(machine: _Machine) -> bytes:
    """Return a classic BPF program that allows the calls of this machine, and clone for threads."""
    load, equal, has_bits, answer = 0x20, 0x15, 0x45, 0x06
    count = len(machine.calls)
    steps = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, machine.architecture),
        (answer, 0, 0, _KILL),
        (load, 0, 0, 0),  # the number of the call
        *((equal, count - at + 5, 0, call) for at, call in enumerate(machine.calls)),
        (equal, 0, 1, _CLONE3),
        (answer, 0, 0, _ERRNO_ENOSYS),
        (equal, 0, 2, machine.clone),
        (load, 0, 0, 16),  # its flags
        (has_bits, 1, 0, _THREAD),
        (answer, 0, 0, _ERRNO_EPERM),
        (answer, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
