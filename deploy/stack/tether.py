"""How does a child process die with its parent? It asks Linux to, then becomes the program.

Run as a script: `python tether.py PARENT_PID PROGRAM [ARGUMENT …]`. A step of its own rather than
`preexec_fn`, which may deadlock where the parent has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the program; return only if the parent has died already.

    The program gets SIGKILL when the *thread* that started it ends, so tethered processes are
    started from a main thread. It is SIGKILL because a paused process would sleep through
    anything else.
    """
    parent_pid, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() == int(parent_pid):
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
