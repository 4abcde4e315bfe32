"""One run's folder of dumps: its modules counted, paired before and after optimization, retraces explained."""
