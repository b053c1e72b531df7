"""One mount: a filesystem over a directory (the "server") that behaves as one NFS client does.

Owns the requests of the binding: each is counted, meets the fault that the control file has for it, and is then
answered from this client's caches or from the backing directory. `clientcache` knows how long a belief holds,
`openfile` what is seen of data; this module asks the server, and forgets what it changed itself.

An open always asks the server (close-to-open), also about a name that is believed to be known; a look-up of a name
that was missed does not, so that `open` without O_CREAT fails too. A listing always asks the server.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.mounts.binding import Binding
from tests.mounts.clientcache import Attributes, Entry
from tests.mounts.counters import Counters
from tests.mounts.faults import RuleBook
from tests.mounts.filedata import FileData
from tests.mounts.options import Options
from tests.mounts.requests import FileInfo, request
from tests.mounts.space import Space

_HIDDEN, _SILLY = "/.fuse_hidden", "/.nfs"
"""A file that is removed while open here gets a name of libfuse's making; the server shows it as NFS would."""


class OneClient(FileData):
    """The operations on names; those on open files stand in `FileData`."""

    use_ns = True  # the binding then passes times as integers

    def __init__(
        self, options: Options, binding: Binding, counters: Counters, book: RuleBook, space: Space
    ) -> None:
        super().__init__(options, binding, counters, book, space)
        self._listings: dict[int, list[Entry]] = {}
        self._listing_ids = iter(range(1, 2**62))

    def init_with_config(self, connection: object, config: object) -> None:
        """The kernel has begun to talk to us: say so to whoever started this mount."""
        print("ready", flush=True)

    def _back(self, path: str) -> str:
        return self.options.back + path.replace(_HIDDEN, _SILLY)

    def _give_to_caller(self, path: str) -> None:
        """What root's filesystem made belongs to whoever asked for it."""
        if os.geteuid() == 0:
            uid, gid, _ = self.binding.caller()
            os.lchown(self._back(path), uid, gid)

    # Names

    @request("getattr")
    def getattr(self, path: str, fi: FileInfo | None = None) -> Attributes:
        """Look-ups and `stat`; the binding cannot tell them apart."""
        if fi is not None:
            return self.handle_attributes(fi)
        is_known, key = self.cache.name(path)
        if is_known:
            if key is None:
                raise FileNotFoundError(2, "missed before")
            attributes = self.cache.attributes(key)
            if attributes is not None:
                return self.with_unsent(key, attributes)
        asked_s = time.monotonic()
        self.ask_server("getattr")
        try:
            found = os.lstat(self._back(path))
        except FileNotFoundError:
            self.cache.miss(path, asked_s)
            raise
        return self.with_unsent((found.st_dev, found.st_ino), self.cache.learn(path, found, asked_s))

    @request("opendir")
    def opendir(self, path: str) -> int:
        """Lists at once: what is read from this descriptor later is what the directory held now."""
        names = self.cache.listing(path)
        if names is None:
            names = self._list(path)
        listing_id = next(self._listing_ids)
        self._listings[listing_id] = names
        return listing_id

    def _list(self, path: str) -> list[Entry]:
        asked_s = time.monotonic()
        self.ask_server("opendir")
        with os.scandir(self._back(path)) as entries:
            names = [Entry(entry.name, _type_bits(entry), entry.inode()) for entry in entries]
        self.cache.listed(path, names, asked_s)
        self.cache.learn(None, os.stat(self._back(path)), asked_s)
        return names

    @request("readdir")
    def readdir(self, path: str, listing_id: int) -> Iterator[tuple[str, dict[str, int], int]]:
        """The names, with kind and inode number of what they name (readers drop a name whose number is 0)."""
        names = [Entry(".", stat.S_IFDIR, 1), Entry("..", stat.S_IFDIR, 1), *self._listings[listing_id]]
        return ((entry.name, {"st_mode": entry.kind, "st_ino": entry.inode}, 0) for entry in names)

    @request("releasedir")
    def releasedir(self, path: str, listing_id: int) -> int:
        """The listing is not needed any more."""
        self._listings.pop(listing_id, None)
        return 0

    @request("readlink")
    def readlink(self, path: str) -> str:
        """Where it leads; always asked for."""
        self.ask_server("readlink")
        return os.readlink(self._back(path))

    # Changes of names: all go to the server at once

    @request("mkdir")
    def mkdir(self, path: str, mode: int) -> int:
        """Fails if the name exists, whatever is believed of it."""
        with self._making("mkdir", path):
            os.mkdir(self._back(path), mode)
            self._give_to_caller(path)
        return 0

    @request("mknod")
    def mknod(self, path: str, mode: int, device: int) -> int:
        """Pipes and sockets."""
        with self._making("mknod", path):
            os.mknod(self._back(path), mode, device)
            self._give_to_caller(path)
        return 0

    @request("symlink")
    def symlink(self, path: str, target: str) -> int:
        """`path` → `target`."""
        with self._making("symlink", path):
            os.symlink(target, self._back(path))
            self._give_to_caller(path)
        return 0

    @request("link")
    def link(self, new: str, old: str) -> int:
        """A second name."""
        with self._making("link", new):
            os.link(self._back(old), self._back(new), follow_symlinks=False)
            found = os.lstat(self._back(new))
            self.cache.forget_attributes((found.st_dev, found.st_ino))
        return 0

    @contextmanager
    def _making(self, kind: str, path: str) -> Iterator[None]:
        """Whether it was made or is said to exist: nothing that was believed of the name holds any more."""
        self.ask_server(kind)
        self.need_space()
        try:
            yield
        finally:
            self.cache.forget(path)

    @request("rename")
    def rename(self, old: str, new: str) -> int:
        """Atomic, as on the server."""
        self.ask_server("rename")
        freed = self._last_name_bytes(new)
        os.rename(self._back(old), self._back(new))
        self.cache.forget_tree(old)
        self.cache.forget_tree(new)
        self.give_space(freed)
        return 0

    @request("unlink")
    def unlink(self, path: str) -> int:
        """Remove a name; of a file that is open here, libfuse asks for a rename instead."""
        self.ask_server("unlink")
        freed = self._last_name_bytes(path)
        found = os.lstat(self._back(path))
        os.unlink(self._back(path))
        self.cache.forget(path)
        self.cache.forget_attributes((found.st_dev, found.st_ino))
        self.give_space(freed)
        return 0

    @request("rmdir")
    def rmdir(self, path: str) -> int:
        """Fails with ENOTEMPTY as long as a removed file of it is open on any mount that removed it."""
        self.ask_server("rmdir")
        os.rmdir(self._back(path))
        self.cache.forget_tree(path)
        return 0

    def _last_name_bytes(self, path: str) -> int:
        """What removing this name would free."""
        try:
            found = os.lstat(self._back(path))
        except FileNotFoundError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0

    # Changes of attributes

    @request("chmod")
    def chmod(self, path: str, mode: int) -> int:
        """At once."""
        self.ask_server("chmod")
        os.chmod(self._back(path), mode)
        return self._attributes_changed(path)

    @request("chown")
    def chown(self, path: str, uid: int, gid: int) -> int:
        """At once."""
        self.ask_server("chown")
        os.lchown(self._back(path), uid, gid)
        return self._attributes_changed(path)

    @request("utimens")
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """At once."""
        self.ask_server("utimens")
        os.utime(self._back(path), ns=times or (time.time_ns(),) * 2, follow_symlinks=False)
        return self._attributes_changed(path)

    def _attributes_changed(self, path: str) -> int:
        found = os.lstat(self._back(path))
        self.cache.learn(path, found, time.monotonic())
        return 0

    @request("statfs")
    def statfs(self, path: str) -> dict[str, int]:
        """The server's figures, less what the limit takes away."""
        self.ask_server("statfs")
        found = os.statvfs(self._back(path))
        figures = {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}
        free = self.free_bytes()
        if free is not None:
            figures["f_bfree"] = figures["f_bavail"] = min(figures["f_bavail"], free // found.f_frsize)
        return figures


def _type_bits(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
