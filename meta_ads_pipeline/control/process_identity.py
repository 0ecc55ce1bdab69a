"""Which process of which machine: to tell whether one that left its name is still alive.

A process id alone says nothing: it is used again after a while, after a restart of the machine at
once, and each container counts from 1.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Machine:
    """A place where process ids are comparable: a host since its last start, or a container.

    ``boot`` tells two starts of one host apart, ``pid_namespace`` two containers on it.
    """

    host: str
    boot: str
    pid_namespace: str


@dataclass(frozen=True)
class ProcessIdentity:
    """A process. ``started`` is its start as the system counts it: another one, another process."""

    machine: Machine
    pid: int
    started: str

    def as_text(self) -> str:
        """One word for each part; ``parse`` reads it."""
        machine = self.machine
        return f"{machine.host} {machine.boot} {machine.pid_namespace} {self.pid} {self.started}"

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity | None:
        """The identity that ``as_text`` wrote; None for anything else."""
        parts = text.split()
        if len(parts) != 5 or not parts[3].isdigit():
            return None
        host, boot, namespace, pid, started = parts
        return cls(Machine(host, boot, namespace), int(pid), started)

    def is_gone(self) -> bool | None:
        """Whether the process is over; None where that cannot be seen from here."""
        here = this_machine()
        if self.machine == here:
            return _start_of(self.pid) != self.started
        restarted = self.machine.host == here.host and self.machine.boot != here.boot
        # A container that was started anew has the name of its host only where that was given.
        return True if restarted and self.machine.pid_namespace == here.pid_namespace else None


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    pid = os.getpid()
    return ProcessIdentity(this_machine(), pid, _start_of(pid) or "0")


@cache
def this_machine() -> Machine:
    """The machine, or container, that this process runs on."""
    return Machine(socket.gethostname() or "localhost", _boot(), _pid_namespace())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))  # no Linux


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"


def _start_of(pid: int) -> str | None:
    """When a live process began; None when there is no such process.

    On Linux in clock ticks since boot, which a change of the wall clock does not move.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except ProcessLookupError:
        return None
    else:
        # After the name, which may hold spaces and brackets: state is field 3, the start field 22.
        fields = status.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
