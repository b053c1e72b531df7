"""Two virtual machines that mount one kernel NFS export, so that the caches and locks under test are real ones.

`tools/nfs-lab` is the command, `tools.nfs_lab.lab.Lab` the same for tests. Three machines run in QEMU: `server`
exports one directory, `a` and `b` mount it at `/share`. Each has the host's own filesystem as its root, read-only
under a layer in its memory, so Python, bash and git are the host's; nothing a machine does reaches the host.

This package also goes, in part, into the machines (`agent`, `frames`): importing it must stay free.
"""
