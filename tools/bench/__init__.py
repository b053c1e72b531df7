"""How fast pigeon is and what it costs, beside bash and ssh, on real processes. See README.md."""
