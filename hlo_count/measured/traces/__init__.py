"""What a profiler wrote: files, planes and events, which instruction ran when, the programs that are kept beside."""
