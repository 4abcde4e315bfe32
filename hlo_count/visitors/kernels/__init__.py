"""What one call of a kernel costs, from its own code: Mosaic on TPU and GPU, Triton on GPU."""
