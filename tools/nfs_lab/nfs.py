"""What makes a server of one machine and clients of the others: shell texts that run inside them.

The export is an ext4 on a disk, with the settings that Debian's own services use; `lease` is the lease and the grace
period of v4 and of v3's locks alike. Nothing here runs on the host.
"""

from __future__ import annotations

SHARE = "/share"
"""Where both clients mount it: the same absolute path, as pigeon wants it."""

SERVER_UP = r"""
set -e
lease=$1 fresh=$2
mkdir -p /srv
mountpoint -q /srv || mount /dev/vda /srv
mkdir -p /srv/share
chmod 1777 /srv/share
# What must survive a power cut (who holds locks) lies on the disk; the host's is only the pattern.
[ -d /srv/state ] || cp -a /var/lib/nfs /srv/state
mkdir -p /srv/state/nfsdcld
mountpoint -q /var/lib/nfs || mount --bind /srv/state /var/lib/nfs
# v4 shows clients a tree from the root down, and the machine's own root (an overlay) cannot be exported.
printf '[exports]\nrootdir=/srv\n' >/etc/nfs.conf
mkdir -p /run/rpcbind /run/rpc_pipefs
chown _rpc /run/rpcbind 2>/dev/null || true
mount -t nfsd nfsd /proc/fs/nfsd
mount -t rpc_pipefs sunrpc /run/rpc_pipefs
sysctl -q -w fs.nfs.nlm_tcpport=4001 fs.nfs.nlm_udpport=4001
rpcbind
rpc.statd --no-notify
nfsdcld -p /run/rpc_pipefs/nfsd
exportfs -i -o rw,sync,no_root_squash,no_subtree_check,insecure '*:/share'
echo "$lease" >/proc/fs/nfsd/nfsv4leasetime
echo "$lease" >/proc/fs/nfsd/nfsv4gracetime
# The first time nobody has anything to reclaim, and v4 too would wait for the end of v3's grace period.
sysctl -q -w "fs.nfs.nlm_grace_period=$([ "$fresh" = 1 ] && echo 1 || echo "$lease")"
rpc.mountd
rpc.nfsd --tcp --no-udp 4
sysctl -q -w "fs.nfs.nlm_grace_period=$lease"
if [ "$fresh" = 1 ]; then echo Y >/proc/fs/nfsd/v4_end_grace; else sm-notify -f; fi
"""

SERVER_RESTART = r"""
set -e
rpc.nfsd 0
exportfs -i -o rw,sync,no_root_squash,no_subtree_check,insecure '*:/share'
rpc.nfsd --tcp --no-udp 4
# v3 clients learn of it as they would after a reboot; a mere restart of the service leaves their locks forgotten.
sm-notify -f
"""

CLIENT_UP = r"""
set -e
mkdir -p /share /run/rpcbind /local
mount -t tmpfs local /local
cp -a /var/lib/nfs /run/nfs-state
mount --bind /run/nfs-state /var/lib/nfs
chown _rpc /run/rpcbind 2>/dev/null || true
rpcbind
rpc.statd --no-notify
"""

MOUNT = r"""
set -e
# What ran there until a moment ago may still be closing its files.
for _ in $(seq 150); do
    mountpoint -q /share || break
    umount /share 2>/run/umount-said && break
    sleep 0.2
done
if mountpoint -q /share; then
    cat /run/umount-said
    ls -l /proc/[0-9]*/cwd /proc/[0-9]*/fd 2>/dev/null | grep /share || true
    exit 16
fi
mount -t nfs -o "$1" server:/share /share
grep ' /share ' /proc/self/mounts
"""


def mount_options(version: str, options: tuple[str, ...]) -> str:
    """The words for `mount -o`: the version, and nothing else that was not asked for."""
    return ",".join([f"vers={version}", *options])
