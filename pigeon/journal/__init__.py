"""The journal: the worker side's own memory, an SQLite database on a local disk of its host.

Never on the share and never touched by a client. `place` says where it lies, `store` opens it and writes ahead,
`queries` reads it for `pigeon history` and for recovery, as `rows`. The schema stands in `migrations/migrations.py`.
"""
