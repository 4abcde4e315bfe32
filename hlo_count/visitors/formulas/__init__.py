"""Formulas for the custom calls that JAX and XLA emit; importing this package registers them."""

from hlo_count.visitors.formulas import (  # noqa: F401  the list of formula modules
    attention,
    cublas,
    cudnn,
    free,
    gpu_kernels,
    linalg,
    onednn,
    pallas,
    random,
    selection,
    sparse,
    tpu_linalg,
)
