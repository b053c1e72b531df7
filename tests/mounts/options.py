"""How one mount behaves: what its launcher decided, as it travels to the mount's process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

SOURCE = "twocache"
"""What the table of mounts shows as the source, followed by the process and the mount's label."""

LOCKS = ("shared", "local", "none")


@dataclass(frozen=True)
class Options:
    """One mount of a rig."""

    back: str
    """The directory that plays the server."""
    mountpoint: str
    label: str
    """`a` for the first mount of a rig, `b` for the second, …"""
    state: str
    """The directory of the control file and the counts."""
    ttl_s: float = 3.0
    """Attributes, and names that were found."""
    negative_ttl_s: float = 30.0
    """Names that were missed, and attributes of directories."""
    listing_ttl_s: float = 0.0
    """Above zero: listings are believed too, which NFS does not do, but sshfs does."""
    kernel_names_s: float = 0.0
    """Above zero: the kernel remembers names that were found, too. Twice as quick, and within `ttl_s` no difference to
    programs, but look-ups that it answers are neither counted nor met by faults."""
    locks: str = "shared"
    """shared: flock excludes between all mounts · local: only within this one, and succeeds silently · none: ENOLCK"""
    is_v3: bool = False
    """A handle of a file that was removed elsewhere gives ESTALE, as with NFSv3; else it still reads the old file."""
    checks_permissions: bool = False
    """The kernel checks modes and owners; it then asks for attributes twice as often. Without, anybody may do all."""
    subtype: str = "twocache"
    """Shows as `fuse.<subtype>` in the table of mounts."""

    def __post_init__(self) -> None:
        if self.locks not in LOCKS:
            raise ValueError(f"`locks` must be one of {', '.join(LOCKS)}, not {self.locks!r}")

    def encode(self) -> str:
        """One word for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Options:
        """The reverse."""
        return cls(**json.loads(text))
