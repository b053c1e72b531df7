"""A real Slurm cluster for tests: slurmctld, two slurmd and munged as plain processes, all on loopback.

It takes Debian's packages (`slurmctld slurmd slurm-client munge`, which start nothing by themselves) and root, since
each node has a host name, a process table and a /var/tmp of its own (namespaces(7)). So a task on a node is to
everybody else what it would be on another host, and a node can lose its power. Up in a second or two; nothing is left
afterwards, even if who has brought it up is killed: the kernel ends each daemon with its parent (PR_SET_PDEATHSIG).
"""
