"""Custom calls that cost nothing: notes to the compiler, names for buffers, order, and ids."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.registry import custom_call


@custom_call(
    # how values are sharded, laid out and placed
    *("Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "ShardBarrierFrom", "ShardBarrierTo"),
    *("xla.sdy.FuncResultSharding", "xla.sdy.GlobalToLocalShape", "xla.sdy.LocalToGlobalShape"),
    *(
        "CustomSPMDPartitioning",
        "LayoutConstraint",
        "annotate_device_placement",
        "MoveToHost",
        "MoveToDevice",
    ),
    # buffers, and other names for them
    *("AllocateBuffer", "ConcatBitcast", "Pin", "Unpin", "PinToDevice", "PinToDeviceSram", "__nop"),
    # what is known of indices and sizes
    *("SetBound", "AssumeGatherIndicesInBound", "GatherScatterIndicesBitpacked"),
    # order and checks
    *("AsyncCollectiveStart", "AsyncCollectiveDone", "NopReturnToken", "shape_assertion", "__xla_gpu_assert"),
    *("PrepareAsyncCallStart", "PrepareAsyncCallDone"),  # of what a TPU's SparseCore is handed
    "SliceId",  # of the device that asks, as partition-id
    *("__xla_internal_call_marker_before", "__xla_internal_call_marker_after"),
    moves_bytes=False,
)
def free(instruction: Instruction) -> Cost:
    """No operations and no bytes."""
    return Cost()


@custom_call(
    *("PadToStatic", "SliceToDynamic", "CollectiveMetadata", "AwsNeuronTransferWithStaticRing"),
    *(f"_SPMDInternalOp_{name}" for name in ("MultiPad", "MultiRotate", "MultiSlice", "RotateRight", "Wrap")),
    "__onednn$matmul_reorder",
)
def bytes_only(instruction: Instruction) -> Cost:
    """Bytes only: an array in a buffer of its largest size, and back; where other devices have theirs; an array that
    AWS Neuron passes on; parts that the partitioner still has to find on other devices; weights in oneDNN's order."""
    return Cost()
