"""Every Python that inherits ``PYTHONPATH`` from a session with marked tests runs this file before anything else.

It says that the process is there, begins to watch where that is possible, and then hands on to the ``sitecustomize``
that would have run without it. Its syntax is old on purpose: any version of Python may meet it.
"""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def _say_hello(spool):
    """Begin this process's file in the spool, and return its path."""
    import time

    ancestors = [os.getppid()] if hasattr(os, "getppid") else []
    with open(os.path.join(spool, "start")) as file:
        session, root, wanted = file.read().split("\n")[:3]
    while ancestors and str(ancestors[-1]) != session and len(ancestors) < 8:
        try:
            with open("/proc/%d/stat" % ancestors[-1]) as file:
                ancestors.append(int(file.read().rpartition(")")[2].split()[1]))
        except (OSError, IOError, ValueError, IndexError):
            break
    command = "\0".join(getattr(sys, "orig_argv", None) or [sys.executable or "python"])
    head = '{"pid":%d,"ancestors":%s,"python":"%d.%d","command":"%s"}' % (
        os.getpid(),
        ancestors,
        sys.version_info[0],
        sys.version_info[1],
        "".join("%02x" % byte for byte in bytearray(command.encode("utf-8", "replace"))),
    )
    path = os.path.join(spool, "%d-%d.spool" % (os.getpid(), int(time.time() * 1e9)))
    data = head.encode("ascii")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        os.write(file, ("%08x%08x" % (len(data), 0)).encode("ascii") + data)
    finally:
        os.close(file)
    return path, root, frozenset(wanted.split())


def _begin(spool):
    """Begin to watch; a process that cannot be watched runs as if nothing were there."""
    try:
        path, root, wanted = _say_hello(spool)
        if sys.version_info >= (3, 11):
            __import__("tokenbudget_child").begin(spool, path, root, wanted)
    except Exception:  # nothing of ours may break a process of the agent
        pass


if __name__ == "sitecustomize":
    if os.environ.get("TOKENBUDGET_SPOOL"):
        _begin(os.environ["TOKENBUDGET_SPOOL"])
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _FOLDER]
    del sys.modules["sitecustomize"]
    import sitecustomize  # noqa: F401  # the one that would have run; where there is none, `site` expects the error
