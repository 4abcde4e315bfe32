"""Kernels of a GPU in Mosaic, by arithmetic: what lanes, warps and blocks do, and what few of them copy."""

from __future__ import annotations

import importlib.util
import re

import pytest
from visitors.formula_cases import counted

from hlo_count.hlo.shapes import parse_shape
from hlo_count.lowering.mlir import generic_form
from hlo_count.visitors.kernels.kernel_code import kernel_code
from hlo_count.visitors.kernels.mosaic_gpu_kernel import mosaic_gpu_count
from hlo_count.visitors.kernels.ptx_cost import statement_cost, statements

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jaxlib.mlir._mlir_libs._mosaic_gpu_ext") is None,
    reason="this jaxlib has no Mosaic for GPUs",
)

SOURCE, TARGET = "f16[256,64]", "f16[256,64]"
KINDS = "memref<256x64xf16>", "memref<256x64xf16>"
ADD = '%s = "arith.addf"(%v, %v) : (vector<2xf32>, vector<2xf32>) -> vector<2xf32>'
"""2 FLOP of each lane that runs it."""
THREAD = '%t = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index\n'
WARP_INDEX = f"""{THREAD}
%c32 = "arith.constant"() {{value = 32 : index}} : () -> index
%w = "arith.divui"(%t, %c32) : (index, index) -> index
%wi = "arith.index_cast"(%w) : (index) -> i32
%mask = "arith.constant"() {{value = -1 : i32}} : () -> i32
%lane = "arith.constant"() {{value = 0 : i32}} : () -> i32
%warp = "nvvm.shfl.sync"(%mask, %wi, %lane, %lane) {{kind = #nvvm<shfl_kind idx>}} : (i32, i32, i32, i32) -> i32
"""
LEADER = f"""{WARP_INDEX}
%is0 = "arith.cmpi"(%warp, %lane) {{predicate = 0 : i64}} : (i32, i32) -> i1
%elected = "nvvm.elect.sync"() : () -> i1
%leads = "arith.andi"(%is0, %elected) : (i1, i1) -> i1
"""
"""One lane of each block."""


def descriptor(number, offset, box):
    """Sets up the descriptor at `offset` of what copies boxes of an argument."""
    sizes = "".join(
        f"""
        %d{number}_{n} = "arith.constant"() {{value = {size} : i64}} : () -> i64
        %p{number}_{n} = "llvm.getelementptr"(%box{number}) {{elem_type = i64, rawConstantIndices = array<i32: {n}>}}
          : (!llvm.ptr) -> !llvm.ptr
        "llvm.store"(%d{number}_{n}, %p{number}_{n}) : (i64, !llvm.ptr) -> ()"""
        for n, size in enumerate(box)
    )
    return f"""
    %box{number} = "llvm.alloca"(%one) {{elem_type = i64}} : (i64) -> !llvm.ptr
    {sizes}
    %at{number} = "llvm.getelementptr"(%descriptors) {{elem_type = i8, rawConstantIndices = array<i32: {offset}>}}
      : (!llvm.ptr) -> !llvm.ptr
    %b{number} = "memref.extract_aligned_pointer_as_index"(%m{number}) : ({KINDS[number]}) -> index
    %i{number} = "arith.index_cast"(%b{number}) : (index) -> i64
    %base{number} = "llvm.inttoptr"(%i{number}) : (i64) -> !llvm.ptr
    %rank{number} = "arith.constant"() {{value = {len(box)} : i64}} : () -> i64
    "func.call"(%at{number}, %base{number}, %one, %rank{number}, %box{number}, %box{number}, %one, %box{number})
      {{callee = @mosaic_gpu_init_tma_desc}}
      : (!llvm.ptr, !llvm.ptr, i64, i64, !llvm.ptr, !llvm.ptr, i64, !llvm.ptr) -> ()"""


def kernel(body, *, blocks=(1, 1, 1), threads=128, boxes=((64, 64), (64, 64))):
    """The words of a kernel of two arrays, each with a descriptor: %from and %into inside."""
    sizes = [*blocks, threads, 1, 1]
    dims = "\n".join(
        f'%n{n} = "arith.constant"() {{value = {size} : index}} : () -> index' for n, size in enumerate(sizes)
    )
    arguments = "\n".join(
        f'%m{n} = "builtin.unrealized_conversion_cast"(%args) {{mosaic_gpu.from_kernel_arg_idx = {n} : i32}}'
        f" : (!llvm.ptr) -> {kind}"
        for n, kind in enumerate(KINDS)
    )
    ids = ", ".join(f"%id{n}: index" for n in range(12))
    text = f"""
"builtin.module"() ({{
  "func.func"() ({{
  }}) {{function_type = () -> (), sym_name = "mosaic_gpu_init_tma_desc"}} : () -> ()
  "func.func"() ({{
  ^bb0(%token: !llvm.ptr, %args: !llvm.ptr):
    {arguments}
    {dims}
    %one = "arith.constant"() {{value = 1 : i64}} : () -> i64
    %shared = "arith.constant"() {{value = 1024 : i32}} : () -> i32
    %descriptors = "llvm.alloca"(%one) {{elem_type = !llvm.array<256 x i8>}} : (i64) -> !llvm.ptr
    {"".join(descriptor(n, 128 * n, box) for n, box in enumerate(boxes))}
    %copied = "llvm.load"(%descriptors) : (!llvm.ptr) -> !llvm.array<256 x i8>
    "gpu.launch"(%n0, %n1, %n2, %n3, %n4, %n5, %shared) ({{
    ^bb0({ids}):
      %told = "builtin.unrealized_conversion_cast"(%copied) : (!llvm.array<256 x i8>) -> !llvm.ptr
      %from = "llvm.getelementptr"(%told) {{elem_type = i8, rawConstantIndices = array<i32: 0>}} : (!llvm.ptr) -> !llvm.ptr
      %into = "llvm.getelementptr"(%told) {{elem_type = i8, rawConstantIndices = array<i32: 128>}} : (!llvm.ptr) -> !llvm.ptr
      %v = "arith.constant"() {{value = dense<1.0> : vector<2xf32>}} : () -> vector<2xf32>
      %x = "arith.constant"() {{value = 1.0 : f32}} : () -> f32
      %c0 = "arith.constant"() {{value = 0 : i32}} : () -> i32
      %c1 = "arith.constant"() {{value = 1 : i32}} : () -> i32
      %c3 = "arith.constant"() {{value = 3 : i32}} : () -> i32
      %memory = "gpu.dynamic_shared_memory"() : () -> memref<?xi8, #gpu.address_space<workgroup>>
      %room = "memref.extract_aligned_pointer_as_index"(%memory) : (memref<?xi8, #gpu.address_space<workgroup>>) -> index
      %smem = "llvm.inttoptr"(%room) : (index) -> !llvm.ptr<3>
      {body}
      "gpu.terminator"() : () -> ()
    }}) {{operandSegmentSizes = array<i32: 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1>}}
      : (index, index, index, index, index, index, i32) -> ()
    "func.return"() : () -> ()
  }}) {{function_type = (!llvm.ptr, !llvm.ptr) -> (), sym_name = "main"}} : () -> ()
}}) : () -> ()"""
    # Serialized kernels have each name so, which no dialect of the reader claims.
    return re.sub(r'"((?!builtin\.module)\w+\.[\w.]+)"\(', r'"stable_mosaic_gpu.\1"(', text)


def count(body, **options):
    code = kernel_code(generic_form(kernel(body, **options).encode()))
    return mosaic_gpu_count(code, [parse_shape(SOURCE)], [parse_shape(TARGET)])


def moved(found):
    """Bytes read of the operand and written to the result."""
    return found.read[0].counted, found.written[0].counted


def asm(text, operands="", kinds="", given="!llvm.void", constraints=""):
    return f'%asm = "llvm.inline_asm"({operands}) {{asm_string = "{text}", constraints = "{constraints}"}} : ({kinds}) -> {given}'


def test_every_lane_of_every_block_runs():
    found = count(ADD, blocks=(2, 3, 1), threads=256)
    assert (found.counted.flops, found.least.flops) == (2 * 3 * 256 * 2,) * 2
    assert not (found.open.unknown or found.open.choices)


def test_floats_count_one_by_one_and_integers_are_addresses():
    body = '%y = "arith.mulf"(%x, %x) : (f32, f32) -> f32\n%i = "arith.muli"(%c3, %c3) : (i32, i32) -> i32'
    found = count(body)
    assert (found.counted.flops, found.counted.int_ops) == (128, 0)


@pytest.mark.parametrize(
    ("condition", "lanes"),
    [("%leads", 1), ("%is0", 32), ("%elected", 8)],
    ids=["one lane of a block", "a warp", "one lane of each warp"],
)
def test_a_branch_on_warps_and_lanes_is_settled(condition, lanes):
    body = f"""{LEADER}
    "scf.if"({condition}) ({{
      {ADD}
      "scf.yield"() : () -> ()
    }}, {{
    }}) : (i1) -> ()"""
    found = count(body, blocks=(3, 1, 1), threads=256)
    assert (found.counted.flops, found.least.flops) == (2 * 3 * lanes,) * 2
    assert not found.open.choices


def test_the_lanes_of_a_group_share_its_product():
    wgmma = (
        "{ .reg .pred p; setp.ne.b32 p, $1, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {$0}, $1, $1, p; }"
    )
    found = count(asm(wgmma, "%c1", "i32", constraints="=f,r"), blocks=(5, 1, 1), threads=256)
    assert found.counted.split(1)["matmul"].flops == 5 * 2 * 2 * 64 * 128 * 16


def test_a_loop_over_blocks_that_share_the_work():
    """Block b of 4 takes b, b + 4, ... of 10: 3, 3, 2 and 2 of them."""
    body = f"""
    %ten = "arith.constant"() {{value = 10 : i32}} : () -> i32
    %four = "arith.constant"() {{value = 4 : i32}} : () -> i32
    %b = "gpu.block_id"() {{dimension = #gpu<dim x>}} : () -> index
    %begin = "arith.index_cast"(%b) : (index) -> i32
    "scf.for"(%begin, %ten, %four) ({{
    ^bb0(%at: i32):
      {ADD}
      "scf.yield"() : () -> ()
    }}) : (i32, i32, i32) -> ()"""
    assert count(body, blocks=(4, 1, 1)).counted.flops == 10 * 128 * 2


def test_a_copy_moves_the_box_of_its_descriptor_once_for_the_lane_that_asks():
    body = f"""{LEADER}
    "nvvm.cp.async.bulk.tensor.shared.cluster.global"(%smem, %from, %c0, %c0, %smem, %leads)
      {{operandSegmentSizes = array<i32: 1, 1, 2, 1, 0, 0, 0, 1>}} : (!llvm.ptr<3>, !llvm.ptr, i32, i32, !llvm.ptr<3>, i1) -> ()
    "nvvm.cp.async.bulk.tensor.global.shared.cta"(%into, %smem, %c0, %c0, %leads)
      {{operandSegmentSizes = array<i32: 1, 1, 2, 0, 1>}} : (!llvm.ptr, !llvm.ptr<3>, i32, i32, i1) -> ()"""
    found = count(body, blocks=(8, 1, 1), boxes=((64, 64), (32, 64)))
    assert moved(found) == (8 * 64 * 64 * 2, 8 * 32 * 64 * 2)
    assert found.read[0].touched == 256 * 64 * 2  # each byte once
    assert found.tells_traffic


@pytest.mark.parametrize(("row", "left"), [(0, 64), (224, 32), (256, 0)])
def test_a_copy_in_ptx_moves_what_is_left_of_the_array(row, left):
    """JAX cuts off what lies behind the end: min(64 rows, those after the first)."""
    static = (
        f"static_offsets = array<i64: {row}, 0>, static_sizes = array<i64: 64, 64>, static_strides = array<i64: 1, 1>"
    )
    part = "memref<64x64xf16, strided<[64, 1], offset: ?>>"
    body = f"""{LEADER}
    %part = "memref.subview"(%m0) {{operandSegmentSizes = array<i32: 1, 0, 0, 0>, {static}}} : ({KINDS[0]}) -> {part}
    %meta:6 = "memref.extract_strided_metadata"(%part) : ({part}) -> (memref<f16>, index, index, index, index, index)
    %all = "arith.constant"() {{value = {256 * 64} : index}} : () -> index
    %box = "arith.constant"() {{value = {64 * 64} : index}} : () -> index
    %begin = "arith.minui"(%meta#1, %all) : (index, index) -> index
    %left = "arith.subi"(%all, %begin) : (index, index) -> index
    %elements = "arith.minui"(%box, %left) : (index, index) -> index
    %two = "arith.constant"() {{value = 2 : index}} : () -> index
    %bytes = "arith.muli"(%elements, %two) : (index, index) -> index
    %start = "memref.extract_aligned_pointer_as_index"(%part) : ({part}) -> index
    %pointer = "llvm.inttoptr"(%start) : (index) -> !llvm.ptr
    {
        asm(
            "@$0 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [$1], [$2], $3, [$1];",
            "%leads, %smem, %pointer, %bytes",
            "i1, !llvm.ptr<3>, !llvm.ptr, index",
            constraints="b,l,l,r",
        )
    }"""
    found = count(body)
    assert moved(found) == (left * 64 * 2, 0)
    assert not found.open.choices


def test_what_lanes_reach_by_themselves_counts_once():
    body = f"""
    %i = "arith.constant"() {{value = 0 : index}} : () -> index
    %read = "memref.load"(%m0, %i, %i) : ({KINDS[0]}, index, index) -> f16
    %dead = "memref.load"(%m1, %i, %i) : ({KINDS[1]}, index, index) -> f16
    "memref.store"(%read, %m1, %i, %i) : (f16, {KINDS[1]}, index, index) -> ()"""
    found = count(body, blocks=(8, 1, 1))
    assert moved(found) == (256 * 64 * 2, 256 * 64 * 2)
    assert found.read[0].certain == 0
    assert found.read_results[0].counted == 0  # nothing uses it


def test_blocks_that_take_over_others_run_each_once():
    """Cluster launch control: in all, each block of the grid does its work once."""
    query = "clusterlaunchcontrol.query_cancel.is_canceled.pred.b128 $1, handle;"
    query += " @$1 clusterlaunchcontrol.query_cancel.get_first_ctaid.v4.b32.b128 {$0}, handle;"
    body = f"""
    %yes = "arith.constant"() {{value = true}} : () -> i1
    %end = "scf.while"(%yes) ({{
    ^bb0(%more: i1):
      "scf.condition"(%more, %more) : (i1, i1) -> ()
    }}, {{
    ^bb0(%again: i1):
      {ADD}
      {asm(query, "%smem", "!llvm.ptr<3>", "!llvm.struct<(i32, i1)>", "=r,=b,r")}
      %canceled = "llvm.extractvalue"(%asm) {{position = array<i64: 1>}} : (!llvm.struct<(i32, i1)>) -> i1
      "scf.yield"(%canceled) : (i1) -> ()
    }}) : (i1) -> i1"""
    found = count(body, blocks=(6, 1, 1))
    assert (found.counted.flops, found.open.loops) == (6 * 128 * 2, False)


UNTOLD = '%strange = "llvm.mlir.zero"() : () -> !llvm.ptr\n'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            UNTOLD + '%y = "llvm.load"(%strange) : (!llvm.ptr) -> f32\n%z = "arith.addf"(%y, %y) : (f32, f32) -> f32',
            "pointer",
        ),
        (asm("multimem.st.relaxed.sys.global.v4.f32 [$0], {$1};", "%x, %x", "f32, f32"), "multimem"),
        (asm("tensormap.replace.tile [$0], 1;", "%c1", "i32"), "an instruction tensormap.replace.tile of PTX"),
        (
            THREAD + asm("tcgen05.mma.cta_group::1.kind::f16 [$0], $0, $0, $0, p;", "%t", "index"),
            "tcgen05.mma.cta_group",
        ),
        ('%y = "nvvm.new.thing"(%x) : (f32) -> f32', "has a nvvm.new.thing"),
    ],
)
def test_what_no_rule_knows_is_named(body, reason):
    assert reason in " and ".join(count(body).open.unknown)


def test_grids_that_are_odd():
    assert count(ADD, blocks=(0, 1, 1)).counted.flops == 0
    with pytest.raises(ValueError, match="runs blocks of 100 threads, which are no warps"):
        count(ADD, threads=100)
    with pytest.raises(ValueError, match="has 1,099,511,627,776 steps along one dimension, too many to follow"):
        count(LEADER, blocks=(2**40, 1, 1))
    with pytest.raises(ValueError, match="has an operation that lacks operands"):
        count('"scf.if"() ({\n}) : () -> ()')
    with pytest.raises(ValueError, match="has a text in PTX that names operand 7, which is not there"):
        count(asm("@$7 cp.async.bulk.shared::cta.global [$0], [$0], $0, [$0];", "%smem", "!llvm.ptr<3>"))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{use_custom_barrier = false}", "is a Mosaic GPU kernel whose text does not hold its code"),
        ('{module = "ML\\EFR\\0D"}', "is a Mosaic GPU kernel whose body holds MLIR that this jaxlib cannot read"),
        ('{module = "nothing"}', "is a Mosaic GPU kernel whose body holds no MLIR"),
        ('{module = "module { func.func @f() { return } }"}', "is a Mosaic GPU kernel whose body launches nothing"),
    ],
)
def test_a_kernel_that_cannot_be_read_is_unknown(config, reason):
    total, (unknown,) = counted("mosaic_gpu_v2", [SOURCE], TARGET, config)
    assert unknown.reason.startswith(reason)
    assert (total.flops, total.bytes, total.status) == (0, 2 * 256 * 64 * 2, "lower bound")


# PTX


def told(text, described=None):
    (statement,) = statements(text)
    return statement_cost(statement, described)


@pytest.mark.parametrize(
    ("text", "flops", "transcendentals", "other"),
    [
        ("ex2.approx.ftz.f32 $0, $1;", 0, 1, 0),
        ("tanh.approx.f16x2 $0, $1;", 0, 2, 0),
        ("max.NaN.f32 $0, $1, $2;", 1, 0, 0),
        ("fma.rn.f32x2 $0, $1, $2, $3;", 4, 0, 0),
        ("sub.bf16x2 $0, s1, s2;", 2, 0, 0),
        ("@$2 add.f32 $0, $1, $1;", 1, 0, 0),
        ("cvt.rn.satfinite.e4m3x2.f32 $0, $1, $2;", 0, 0, 2),
        ("red.relaxed.gpu.global.add.noftz.v2.f16x2 [$0], {$1, $2};", 4, 0, 0),
        ("add.s32 a_desc_low, $1, 0;", 0, 0, 0),
        ("bar.sync $0, 128;", 0, 0, 0),
        ("tcgen05.ld.sync.aligned.16x256b.x8.b32 {$0}, [$1];", 0, 0, 0),
    ],
)
def test_an_instruction_of_ptx(text, flops, transcendentals, other):
    found = told(text)
    assert (found.flops, found.transcendentals, found.other_ops) == (flops, transcendentals, other)


@pytest.mark.parametrize(
    ("name", "lanes", "product", "dtype"),
    [
        ("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16", 128, 64 * 64 * 16, "bf16"),
        ("wgmma.mma_async.sync.aligned.m64n8k32.f16.e4m3.e4m3", 128, 64 * 8 * 32, "f8e4m3fn"),
        ("wgmma.mma_async.sp.sync.aligned.m64n64k32.f32.f16.f16", 128, 64 * 64 * 16, "f16"),
        ("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 32, 16 * 8 * 16, "f16"),
    ],
)
def test_products_of_a_warp_and_of_a_group_of_warps(name, lanes, product, dtype):
    found = told(f"{name} {{$0}}, $1, $2;")
    assert lanes * found.flops == 2 * product
    assert {key[2] for key in found.amounts} == {dtype}


def test_a_product_of_integers_is_of_integers():
    assert 128 * told("wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 {$0}, $1, $2;").int_ops == 2 * 64 * 64 * 32


@pytest.mark.parametrize(
    ("kind", "descriptor", "product"),
    [
        ("f16", (128 // 16) << 24 | (256 // 8) << 17, 128 * 256 * 16),
        ("f8f6f4", (256 // 16) << 24 | (64 // 8) << 17, 256 * 64 * 32),
        ("mxf8f6f4.block_scale.scale_vec::1X", (256 // 128) << 27 | (64 // 8) << 17, 256 * 64 * 32),
        ("mxf4nvf4.block_scale.scale_vec::4X", (128 // 128) << 27 | (128 // 8) << 17, 128 * 128 * 64),
    ],
)
def test_a_product_of_blackwell_has_its_shape_in_a_descriptor(kind, descriptor, product):
    assert told(f"tcgen05.mma.cta_group::1.kind::{kind} [$0], a, b, $3, $4;", descriptor).flops == 2 * product
    assert told(f"tcgen05.mma.cta_group::1.kind::{kind} [$0], a, b, $3, $4;") is None
