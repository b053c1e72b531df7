"""The text of a `slurm.conf` for one cluster in one directory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLUSTER = "lab"


@dataclass(frozen=True)
class Shape:
    """What a cluster is to be like. Times are whole seconds, as Slurm has them."""

    nodes: Sequence[str] = ("n1", "n2")
    cpus: int = 4
    """Of each node, whatever this machine has."""
    node_timeout_s: int = 10
    """Silence after which slurmctld calls a node lost (SlurmdTimeout)."""
    kill_wait_s: int = 3
    """Between the SIGTERM and the SIGKILL of a task that has to end (KillWait)."""


def text(shape: Shape, directory: str, *, host: str, user: str, ports: Sequence[int]) -> str:
    """`ports`: free ones on loopback, that of slurmctld first, then one for each node."""
    controller, *of_nodes = ports
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={shape.cpus} RealMemory=1024"
        for name, port in zip(shape.nodes, of_nodes, strict=True)
    )
    return f"""\
ClusterName={CLUSTER}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket
CredType=cred/munge
# In a container root may be cut off from cgroups: then Slurm follows a task by its children.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool/%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
SlurmctldLogFile={directory}/log/slurmctld
SlurmdLogFile={directory}/log/slurmd-%n
# The addresses that the names lead to, which are loopback, and no others.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
SlurmdTimeout={shape.node_timeout_s}
KillWait={shape.kill_wait_s}
MinJobAge=60
JobRequeue=1
PropagateResourceLimits=NONE
# This machine may have fewer processors than the nodes: the file is right.
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes={",".join(shape.nodes)} Default=YES MaxTime=INFINITE DefaultTime=60 State=UP OverSubscribe=NO
"""
