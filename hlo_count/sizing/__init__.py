"""One program compiled for many targets: how long on each, does it fit, at what cost."""
