"""The names of MLIR's operations that kernels are made of, and what they are in HLO."""

from __future__ import annotations


def _opcodes(dialect: str, table: str) -> dict[str, tuple[str, ...]]:
    """`addf=add fma=multiply+add`: the opcodes of HLO for each name of a dialect."""
    pairs = (each.split("=") for each in table.split())
    return {f"{dialect}{name}": tuple(meaning.split("+")) for name, meaning in pairs}


_SPECIAL = """
    exp=exponential exp2=exp2 expm1=exponential-minus-one log=log log1p=log-plus-one log2=log2 log10=log tanh=tanh
    tan=tan sqrt=sqrt rsqrt=rsqrt cbrt=cbrt erf=erf erfc=erf sin=sine cos=cosine sincos=sine+cosine atan=atan2
    atan2=atan2 asin=asin acos=acos asinh=asinh acosh=acosh atanh=atanh sinh=sinh cosh=cosh ceil=ceil floor=floor
    round=round-nearest-afz copysign=sign isinf=is-finite isnan=is-finite
"""
ELEMENTWISE: dict[str, tuple[str, ...]] = {
    **_opcodes(
        "arith.",
        """
        addf=add subf=subtract mulf=multiply divf=divide remf=remainder negf=negate addi=add subi=subtract muli=multiply
        mulsi_extended=multiply+multiply mului_extended=multiply+multiply addui_extended=add+compare
        subui_extended=subtract+compare divsi=divide divui=divide ceildivsi=divide ceildivui=divide floordivsi=divide
        remsi=remainder remui=remainder maximumf=maximum maxnumf=maximum maxsi=maximum maxui=maximum minimumf=minimum
        minnumf=minimum minsi=minimum minui=minimum andi=and ori=or xori=xor shli=shift-left
        shrsi=shift-right-arithmetic shrui=shift-right-logical cmpf=compare cmpi=compare select=select extf=convert
        truncf=convert extsi=convert extui=convert trunci=convert sitofp=convert uitofp=convert fptosi=convert
        fptoui=convert convertf=convert scaling_extf=convert scaling_truncf=convert
        """,
    ),
    **_opcodes("math.", _SPECIAL),
    **_opcodes(
        "math.",
        """
        powf=power fpowi=power ipowi=power absf=abs absi=abs trunc=floor roundeven=round-nearest-even
        isfinite=is-finite isnormal=is-finite ctlz=count-leading-zeros cttz=count-leading-zeros ctpop=popcnt
        clampf=clamp fma=multiply+add
        """,
    ),
    **_opcodes(
        "tpu.",
        """
        extf=convert truncf=convert fptosi=convert fptoui=convert sitofp=convert uitofp=convert pack_elementwise=convert
        unpack_elementwise=convert stochastic_convert=stochastic-convert
        stochastic_convert_elementwise=stochastic-convert reciprocal=divide
        """,
    ),
    **_opcodes("tt.", "precise_sqrt=sqrt precise_divf=divide clampf=clamp mulhiui=multiply fp_to_fp=convert"),
    "vector.fma": ("multiply", "add"),
}
"""Operations on each element of their last result, as opcodes of HLO."""

LIBDEVICE: dict[str, tuple[str, ...]] = {
    **_opcodes("", _SPECIAL),
    **_opcodes(
        "",
        """
        pow=power powi=power erfinv=erf fabs=abs abs=abs rint=round-nearest-even nearbyint=round-nearest-even
        fmod=remainder fmin=minimum fmax=maximum popc=popcnt clz=count-leading-zeros finite=is-finite nextafter=sign
        """,
    ),
}
"""Functions of NVIDIA's libdevice, without `__nv_` before the name and the f of float32 behind it."""

REDUCTIONS = {
    "add": "add", "sum": "add", "mul": "multiply", "minimumf": "minimum", "maximumf": "maximum", "minnumf": "minimum",
    "maxnumf": "maximum", "minsi": "minimum", "maxsi": "maximum", "minui": "minimum", "maxui": "maximum",
    "min": "minimum", "max": "maximum", "and": "and", "or": "or", "xor": "xor",
}  # fmt: skip
"""The kinds of reductions."""

FREE = frozenset(
    [
        *(f"arith.{n}" for n in "constant bitcast index_cast index_castui flush_denormals".split()),
        *(
            f"vector.{n}"
            for n in (
                "load store maskedload maskedstore broadcast shape_cast transpose extract insert bitcast step splat "
                "extract_strided_slice insert_strided_slice extractelement insertelement from_elements to_elements "
                "interleave deinterleave shuffle create_mask constant_mask gather scatter expandload compressstore "
                "type_cast transfer_read transfer_write print yield vscale"
            ).split()
        ),
        *(
            f"memref.{n}"
            for n in (
                "load store alloca alloc dealloc cast dim reshape subview view reinterpret_cast collapse_shape "
                "expand_shape memory_space_cast assume_alignment get_global transpose alloca_scope.return "
                "extract_strided_metadata extract_aligned_pointer_as_index"
            ).split()
        ),
        *(
            f"tpu.{n}"
            for n in (
                "load store strided_load strided_store shuffled_load shuffled_store vector_load vector_load_idx "
                "vector_store_idx iota transpose repeat concatenate bitcast bitcast_vreg broadcast_in_sublanes "
                "roll_vectors unroll_vectors rotate dynamic_rotate dynamic_gather gather sublane_shuffle relayout "
                "reshape create_mask create_subelement_mask mask_cast pack_vmsk pack_subelements unpack_subelements "
                "assume_layout assume_multiple erase_memref_layout memref_slice memref_squeeze memref_reshape "
                "memref_bitcast reinterpret_cast core_id subcore_id device_id iteration_bound internal_scratch "
                "sem_alloc sem_read sem_signal sem_wait sem_barrier get_barrier_semaphore barrier wait_dma wait_dma2 "
                "wait_indirect_dma fetch_and_add_sync delay log log_buffer trace_start trace_stop trace_value "
                "prng_set_seed_32 yield"
            ).split()
        ),
        *(
            f"tt.{n}"
            for n in (
                "splat broadcast expand_dims reshape trans cat join split make_range bitcast get_program_id "
                "get_num_programs load store int_to_ptr ptr_to_int return reduce.return scan.return assert print "
                "unsplat gather make_tensor_ptr advance"
            ).split()
        ),
        *(
            f"gpu.{n}"
            for n in (
                "thread_id block_id block_dim grid_dim cluster_id cluster_block_id cluster_dim cluster_dim_blocks "
                "dynamic_shared_memory barrier terminator return"
            ).split()
        ),
        *(
            f"llvm.{n}"
            for n in (
                "mlir.constant mlir.undef mlir.poison mlir.zero mlir.addressof getelementptr load store alloca bitcast "
                "extractvalue insertvalue extractelement insertelement shufflevector inttoptr ptrtoint addrspacecast "
                "trunc zext sext add sub mul and or xor shl lshr ashr udiv urem icmp select freeze return"
            ).split()
        ),
        *(
            f"nvvm.{n}"
            for n in (
                "elect.sync shfl.sync vote.sync match.sync redux.sync barrier barrier0 bar.warp.sync setmaxregister "
                "breakpoint exit griddepcontrol mapa prefetch fence.proxy fence.proxy.acquire fence.proxy.release "
                "fence.mbarrier.init fence.sc.cluster cluster.arrive cluster.arrive.relaxed cluster.wait "
                "cp.async.commit.group cp.async.wait.group cp.async.bulk.commit.group cp.async.bulk.wait_group "
                "cp.async.mbarrier.arrive mbarrier.init mbarrier.inval mbarrier.arrive mbarrier.arrive.nocomplete "
                "mbarrier.arrive.expect_tx mbarrier.expect_tx mbarrier.try_wait mbarrier.try_wait.parity "
                "mbarrier.test.wait mbarrier.test_wait mbarrier.arrive_drop mbarrier.complete_tx "
                "wgmma.fence.aligned wgmma.commit.group.sync.aligned wgmma.wait.group.sync.aligned ldmatrix stmatrix "
                "tcgen05.alloc tcgen05.dealloc tcgen05.relinquish_alloc_permit tcgen05.fence tcgen05.wait "
                "tcgen05.commit tcgen05.commit_arrive tcgen05.cp tcgen05.ld tcgen05.st tcgen05.shift "
                "memory.barrier read.ptx.sreg.laneid read.ptx.sreg.warpid"
            ).split()
        ),
        *("func.return", "return", "scf.yield", "scf.condition", "cf.assert", "ub.poison", "llvm.intr.assume"),
        "builtin.unrealized_conversion_cast",
    ]
)
"""Operations that move vectors inside a core, make addresses, or order others. What goes through main memory is
counted apart: by DMAs and windows on TPU, by operands and results on GPU."""
