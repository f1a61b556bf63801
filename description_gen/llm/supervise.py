"""Runs a command until this process's standard input closes, then ends the command's whole process group.

The parent holds the other end of the pipe: it closes whatever way the parent ends, kill -9 included. Run by path with a
bare interpreter, so it imports the standard library alone.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE = 20.0  # seconds between asking and killing


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """Asks the group to end, gives its leader time for that, then kills what is left of it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def main() -> int:
    """Starts the command and watches both it and standard input."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def watch_parent() -> None:
        while os.read(0, 1024):  # unbuffered: a buffer's lock would trouble the interpreter's end
            pass
        end_group(process)

    threading.Thread(target=watch_parent, daemon=True).start()
    status = process.wait()
    end_group(process)
    return status


if __name__ == "__main__":
    sys.exit(main())
