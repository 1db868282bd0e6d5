"""The `orch` command: one file a command, and the rich rendering, which lives here and nowhere else."""
