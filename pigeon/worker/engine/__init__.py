"""A session that a worker of its own runs, started by the cluster's engine (`worker.launcher`): what is done about it
here, by a process for each such session, which takes a runner's place."""
