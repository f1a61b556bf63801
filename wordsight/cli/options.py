"""Help of options that several commands have."""

WORKERS_HELP = "Processes that read photos ahead of the encoder; by default what suits the machine."  # --num-workers
