"""The processes on the machine without a network: listeners, the command, the connections asked for."""
