"""What really happened: the times that a profiler recorded, beside the counts of the programs that ran."""
