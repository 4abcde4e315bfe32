"""Running something under the profiler: a function, a block, a script."""
