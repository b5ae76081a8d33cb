"""An operating system's lock on an open file. It ends with the process that holds it, however that ends."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 40, os.SEEK_SET)  # other processes cannot read what is locked: lock beyond the end
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def try_lock(descriptor: int) -> bool:
    """Lock the file until it is closed; return False if it is locked already, also by this process."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def acquire(path: Path) -> int | None:
    """Create the lock file and lock it. Return its descriptor, None if another holds it.

    Raises:
        OSError: the file cannot be created or locked.
    """
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            locked = try_lock(descriptor)
            # The owner before may have removed the file after it was opened here.
            current = locked and path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
        except BaseException:
            os.close(descriptor)
            raise
        if current:
            return descriptor
        os.close(descriptor)
        if not locked:
            return None


def release(path: Path, descriptor: int) -> None:
    """Remove the lock file and unlock it."""
    with suppress(OSError):  # Windows removes no open file; the next owner uses it again
        path.unlink()
    os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock file; the file that a dead one left is removed."""
    if not path.exists():
        return False
    descriptor = acquire(path)
    if descriptor is not None:
        release(path, descriptor)
    return descriptor is None
