"""Launcher of a server: gives up root, ends with its parent, and becomes the program by exec.

    python -I -S launcher.py PARENT_PID DEATH_SIGNAL WAY [OWNED_PATH ...] -- PROGRAM [ARGUMENT ...]

It is a script, not a `preexec_fn`: that runs Python between fork and exec, where another thread's lock may
never be released. It imports the standard library alone.

WAY is how a process of root runs the program (a process of another user runs it as that user):

    keep        as root
    namespace   in a user namespace where outside 0 is inside 1000: the program sees an ordinary user, the
                files stay root's, and nothing else is within reach
    account     as the user `postgres`, else `nobody`
    auto        namespace, or account where the kernel refuses namespaces (as containers often do)

The launcher makes the user of the program the owner of each OWNED_PATH and all in it, so the way may change
from one run to the next. The kernel sends DEATH_SIGNAL to the program when the *thread* that started the
launcher ends. It is set after the last change of credentials, because such a change clears it.

A failure is one line on standard error and exit code 125.
"""

import ctypes
import os
import pwd
import sys

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_ACCOUNTS = ("postgres", "nobody")
_FAILED = 125
_INSIDE_UID = 1000


class LaunchRefusedError(Exception):
    """The error of a step that the kernel or the file system refuses."""


def main(words: list[str]) -> None:
    split = words.index("--")
    parent, death_signal, way = int(words[0]), int(words[1]), words[2]
    owned, command = words[3:split], words[split + 1 :]
    if os.geteuid() == 0 and way != "keep":
        shed_root(way, owned)
    die_with_parent(parent, death_signal)
    for path in (*owned, command[0]):
        if not reachable(path):
            raise LaunchRefusedError(
                f"{path} is out of reach for the user that runs the server in place of root: "
                "let others pass through the folders above it"
            )
    os.execv(command[0], command)  # noqa: S606  # replaces the launcher by the program


def shed_root(way: str, owned: list[str]) -> None:
    """Give up root, as far as the program can tell. Raises LaunchRefusedError."""
    if way == "namespace" or (way == "auto" and namespaces_work()):
        for path in owned:
            give(path, 0, 0)
        enter_namespace()
        return
    account = find_account()
    try:
        for path in owned:
            give(path, account.pw_uid, account.pw_gid)
            open_parent(path, account.pw_gid)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except OSError as error:
        raise LaunchRefusedError(
            f"Postgres does not run as root, and cannot become the user {account.pw_name} "
            f"({error.strerror}): run as an ordinary user"
        ) from error


def namespaces_work() -> bool:
    """Return whether user namespaces work, tried in a child: a namespace without a mapping cannot be left."""
    child = os.fork()
    if child == 0:
        try:
            enter_namespace()
        except (OSError, LaunchRefusedError):
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def enter_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    call("unshare", _CLONE_NEWUSER)
    # The kernel demands this order: a group map needs setgroups denied before it.
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_INSIDE_UID} {user} 1"),
        ("gid_map", f"{_INSIDE_UID} {group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as out:
            out.write(text)


def find_account() -> pwd.struct_passwd:
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LaunchRefusedError(
        "Postgres does not run as root, and there is no user postgres or nobody"
    )


def give(path: str, user: int, group: int) -> None:
    """Make `user` the owner of `path` and all in it. `path` goes last: its owner tells that all is done."""
    if os.stat(path).st_uid == user:
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.lchown(os.path.join(folder, name), user, group)
    os.chown(path, user, group)


def open_parent(path: str, group: int) -> None:
    """Let the server's group pass through the folder above `path`, if it is closed to all other users."""
    parent = os.path.dirname(path)
    mode = os.stat(parent).st_mode
    if mode & 0o077 == 0:
        os.chown(parent, -1, group)
        os.chmod(parent, mode & 0o700 | 0o010)  # noqa: S103  # passable, not listable


def reachable(path: str) -> bool:
    return os.access(path, os.X_OK, effective_ids=True)


def die_with_parent(parent: int, death_signal: int) -> None:
    call("prctl", _PR_SET_PDEATHSIG, death_signal)
    # The parent may have died before this call.
    if os.getppid() != parent:
        os._exit(0)


def call(name: str, *arguments: int) -> None:
    """Call a C library function that returns 0 or sets errno. Raises LaunchRefusedError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        raise LaunchRefusedError(f"{name}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, LaunchRefusedError) as error:
        sys.stderr.write(f"cannot start: {error}\n")
        sys.stderr.flush()
        os._exit(_FAILED)
