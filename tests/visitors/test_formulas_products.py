"""Products and convolutions of cuBLAS, cuDNN and oneDNN: 2 operations a pair, and what is fused behind them."""

from __future__ import annotations

import json

import pytest
from fixture_files import text
from visitors.formula_cases import call, cost, counted, parts

from fixtures.arithmetic import valid_pairs
from hlo_count.hlo.parser import parse
from hlo_count.visitors.custom_calls import custom_call_cost
from hlo_count.visitors.walk import Walk

M, K, N, B = 8, 32, 16, 3


def gemm(lhs_contracting=("1",), rhs_contracting=("0",), batch=(), **fields):
    numbers = {
        "lhs_contracting_dimensions": list(lhs_contracting),
        "rhs_contracting_dimensions": list(rhs_contracting),
        "lhs_batch_dimensions": list(batch),
        "rhs_batch_dimensions": list(batch),
    }
    fields = {"alpha_real": 1, "alpha_imag": 0, "beta": 0, "epilogue": "DEFAULT", **fields}
    return {"operation_queue_id": "0", "gemm_backend_config": {"dot_dimension_numbers": numbers, **fields}}


MATRICES = [f"f32[{M},{K}]", f"f32[{K},{N}]"]
RESULT = f"(f32[{M},{N}], s8[4194304])"
PRODUCT, SIZE = 2 * M * K * N, M * N


@pytest.mark.parametrize(
    ("fields", "more", "expected"),
    [
        ({}, [], {}),
        ({"beta": 1}, [f"f32[{M},{N}]"], {"add.flops": SIZE}),
        ({"beta": 0.5}, [f"f32[{M},{N}]"], {"add.flops": SIZE, "multiply.flops": SIZE}),
        ({"alpha_real": 2}, [], {"multiply.flops": SIZE}),
        ({"epilogue": "BIAS"}, [f"f32[{N}]"], {"add.flops": SIZE}),
        ({"epilogue": "RELU"}, [], {"minmax.flops": SIZE}),
        ({"epilogue": "BIAS_RELU"}, [f"f32[{N}]"], {"add.flops": SIZE, "minmax.flops": SIZE}),
        # x/2 · (1 + tanh(c · (x + a · x³))): x², x³, a·, c·, x/2, and the last product; two adds
        (
            {"epilogue": "GELU"},
            [],
            {"multiply.flops": 6 * SIZE, "add.flops": 2 * SIZE, "transcendental.transcendentals": SIZE},
        ),
        (
            {"epilogue": "BIAS_GELU_AUX"},
            [f"f32[{N}]"],
            {"multiply.flops": 6 * SIZE, "add.flops": 3 * SIZE, "transcendental.transcendentals": SIZE},
        ),
        ({"epilogue": "SILU"}, [], {"multiply.flops": SIZE, "transcendental.transcendentals": SIZE}),
        ({"damax_output": True}, [], {"minmax.flops": SIZE}),
    ],
    ids=str,
)
@pytest.mark.parametrize("target", ["__cublas$gemm", "__cublas$lt$matmul"])
def test_a_gemm_is_its_product_and_its_epilogue(target, fields, more, expected):
    found = cost(target, [*MATRICES, *more], RESULT, gemm(**fields))
    assert parts(found) == {"matmul.flops": PRODUCT, **expected}
    assert found.status == "exact"


NUMBERS = '"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}'
BARE = {
    # as XLA's gemm_rewrite_test.cc has them, of 2019, 2020 and 2023
    "bare keys": '"{selected_algorithm:7,alpha:1,dot_dimension_numbers:{lhs_contracting_dimensions:[1],'
    'rhs_contracting_dimensions:[0],lhs_batch_dimensions:[],rhs_batch_dimensions:[]},batch_size:1}"',
    "a string": json.dumps('{"alpha_real":1,"alpha_imag":0,"beta":0,' + NUMBERS + ',"selected_algorithm":"7"}'),
    "JSON": '{"alpha_real":1,"alpha_imag":0,"beta":0,' + NUMBERS + ',"epilogue":"DEFAULT"}',
}


@pytest.mark.parametrize("form", BARE)
@pytest.mark.parametrize("target", ["__cublas$gemm", "__cublas$lt$matmul"])
def test_a_gemm_of_a_text_before_configs_were_wrapped(target, form):
    found = cost(target, MATRICES, f"f32[{M},{N}]", BARE[form])
    assert parts(found) == {"matmul.flops": PRODUCT}
    assert found.bytes == 4 * (M * K + K * N + M * N)
    assert found.status == "exact"


def test_alpha_of_a_text_of_2019_is_a_multiply():
    found = cost("__cublas$gemm", MATRICES, f"f32[{M},{N}]", BARE["bare keys"].replace("alpha:1", "alpha:0.125"))
    assert parts(found) == {"matmul.flops": PRODUCT, "multiply.flops": SIZE}


def test_batches_of_a_text_of_2020_may_share_one_side():
    """XLA folds a broadcast of rhs into the call: gemm_broadcast_folding_rewrite_test.cc."""
    numbers = {"lhs_contracting_dimensions": ["2"], "rhs_contracting_dimensions": ["0"], "lhs_batch_dimensions": ["0"]}
    config = {"alpha_real": 1, "beta": 0, "dot_dimension_numbers": {**numbers, "rhs_batch_dimensions": []}}
    found = cost("__cublas$gemm", [f"f32[{B},{M},{K}]", f"f32[{K},{N}]"], f"f32[{B},{M},{N}]", config)
    assert parts(found) == {"matmul.flops": B * PRODUCT}


def test_what_neuron_passes_on_only_moves():
    """As torch_neuronx prints it, without a config."""
    found = cost("AwsNeuronTransferWithStaticRing", [f"f32[{M},{K}]"], f"f32[{M},{K}]")
    assert (parts(found), found.bytes, found.status) == ({}, 2 * 4 * M * K, "exact")


def test_scratch_of_a_gemm_is_no_traffic():
    found = cost("__cublas$gemm", MATRICES, RESULT, gemm())
    assert found.bytes_read == 4 * (M * K + K * N)
    assert found.bytes_written == 4 * M * N


def test_a_result_of_int8_is_no_scratch():
    found = cost("__cublas$gemm", [f"s8[{M},{K}]", f"s8[{K}]"], f"(s32[{M}], s8[{M}])", gemm())
    assert found.bytes_written == 4 * M
    flat = cost("__cublas$gemm", [f"s8[{M},{K}]", f"s8[{K}]"], f"s8[{M}]", gemm())
    assert flat.bytes_written == M


def test_batches_transposes_and_missing_lists():
    config = gemm(["2"], ["2"], ["0"])
    batched = cost("__cublas$gemm", [f"bf16[{B},{M},{K}]", f"bf16[{B},{N},{K}]"], f"bf16[{B},{M},{N}]", config)
    assert batched.flops == 2 * B * M * K * N
    config["gemm_backend_config"]["dot_dimension_numbers"] = {}
    outer = cost("__cublas$gemm", [f"f32[{M}]", f"f32[{N}]"], f"f32[{M},{N}]", config)
    assert outer.flops == 2 * M * N


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("c64", {"matmul.flops": 4 * PRODUCT}),
        ("s8", {"matmul.int_ops": PRODUCT}),
        ("bf16", {"matmul.flops": PRODUCT}),
    ],
)
def test_the_dtype_decides_the_counter(dtype, expected):
    result = {"s8": "s32"}.get(dtype, dtype)
    found = cost("__cublas$gemm", [f"{dtype}[{M},{K}]", f"{dtype}[{K},{N}]"], f"{result}[{M},{N}]", gemm())
    assert parts(found) == expected
    assert {key[2:] for key in found.amounts if key[1] == "matmul"} == {(dtype, "matrix")}


def test_an_algorithm_names_the_type_that_is_multiplied():
    config = gemm(precision_config={"algorithm": "ALG_DOT_TF32_TF32_F32"})
    assert list(cost("__cublas$gemm", MATRICES, RESULT, config).split(2)) == ["tf32"]


def test_8_bit_operands_are_scaled_once():
    operands = [f"f8e4m3fn[{M},{K}]", f"f8e4m3fn[{K},{N}]", "f32[]", "f32[]"]
    found = cost("__cublas$lt$matmul$f8", operands, f"(bf16[{M},{N}], s8[33554432])", gemm())
    assert parts(found) == {"matmul.flops": PRODUCT, "multiply.flops": SIZE}
    assert {key[2] for key in found.amounts if key[1] == "matmul"} == {"f8e4m3fn"}


def test_a_grouped_product_meets_one_group_a_row():
    numbers = {"lhs_contracting_dimensions": ["1"], "rhs_contracting_dimensions": ["1"]}
    ragged = {
        "dot_dimension_numbers": numbers,
        "lhs_ragged_dimensions": ["0"],
        "rhs_group_dimensions": ["0"],
    }
    config = {"grouped_gemm_backend_config": {"ragged_dot_dimension_numbers": ragged}}
    operands = [f"f16[{M},{K}]", f"f16[4,{K},{N}]", "s32[4]"]
    found = cost("__cublas$lt$groupedMatmul", operands, f"(f16[{M},{N}], s8[100])", config)
    assert parts(found) == {"matmul.flops": 2 * M * K * N}


def test_a_block_scaled_product():
    operands = [
        f"f8e4m3fn[{B},{M},{K}]",
        f"f8e4m3fn[{B},{N},{K}]",
        f"f8e8m0fnu[{B},{M},1]",
        f"f8e8m0fnu[{B},{N},1]",
    ]
    found = cost("__cudnn$blockScaledDot", operands, f"bf16[{B},{M},{N}]", {"block_scaled_dot_backend_config": {}})
    assert parts(found) == {"matmul.flops": 2 * B * M * K * N}


def test_the_complex_product_of_the_h100_fixture():
    (found,) = (
        custom_call_cost(i) for i in parse(text("h100", "matmul_complex")).instructions() if i.opcode == "custom-call"
    )
    assert found.flops == 4 * 2 * 256 * 512 * 128
    assert found.bytes == 8 * (256 * 512 + 512 * 128 + 8 * 256 * 128)  # the partial sums, and no scratch


# cuDNN's convolutions

BATCH, IN, OUT, SIDE = 2, 4, 6, 14
STRIDED = valid_pairs(SIDE, 3, stride=2, pad=(1, 1))
IMAGE, FILTER, MADE = (
    f"f32[{BATCH},{SIDE},{SIDE},{IN}]",
    f"f32[{OUT},3,3,{IN}]",
    f"f32[{BATCH},7,7,{OUT}]",
)
PAIRS = 2 * BATCH * IN * OUT * STRIDED**2
WINDOW = "window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f"
MADE_SIZE = BATCH * 7 * 7 * OUT


def conv(**fields):
    base = {"conv_result_scale": 1, "side_input_scale": 0, "activation_mode": "kNone"}
    return {"cudnn_conv_backend_config": {**base, **fields}}


@pytest.mark.parametrize(
    ("direction", "operands", "result"),
    [
        ("Forward", [IMAGE, FILTER], MADE),
        ("BackwardInput", [MADE, FILTER], IMAGE),
        ("BackwardFilter", [IMAGE, MADE], FILTER),
    ],
)
def test_a_convolution_costs_its_valid_pairs_in_every_direction(direction, operands, result):
    found = cost(f"__cudnn$conv{direction}", operands, f"({result}, u8[1000])", conv(), WINDOW)
    assert parts(found) == {"convolution.flops": PAIRS}
    elements = BATCH * SIDE * SIDE * IN + OUT * 9 * IN + MADE_SIZE
    assert found.bytes == 4 * elements


def test_groups_narrow_the_kernel():
    labels = "window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, feature_group_count=4"
    operands = ["f32[2,8,8,16]", "f32[16,3,3,4]"]
    found = cost("__cudnn$convForward", operands, "(f32[2,8,8,16], u8[0])", conv(), labels)
    assert found.flops == 2 * 2 * 4 * 16 * (3 * 8 - 2) ** 2


def test_a_pointwise_convolution_is_a_product():
    labels = "window={size=1x1}, dim_labels=b01f_o01i->b01f"
    found = cost("__cudnn$convForward", ["f32[2,8,8,16]", "f32[32,1,1,16]"], "(f32[2,8,8,32], u8[0])", conv(), labels)
    assert parts(found) == {"matmul.flops": 2 * 2 * 64 * 16 * 32}


def test_channels_in_vectors_are_channels():
    labels = "window={size=3x3 pad=1_1x1_1}, dim_labels=bf01?_i01o?->bf01?"
    operands = ["s8[2,4,8,8,4]", "s8[4,3,3,32,4]"]
    found = cost("__cudnn$convForward", operands, "(s8[2,8,8,8,4], u8[0])", conv(), labels)
    assert parts(found) == {"convolution.int_ops": 2 * 2 * (4 * 4) * 32 * (3 * 8 - 2) ** 2}


@pytest.mark.parametrize(
    ("fields", "side", "expected"),
    [
        ({}, False, {"add.flops": 1}),
        ({"activation_mode": "kRelu"}, False, {"add.flops": 1, "minmax.flops": 1}),
        ({"activation_mode": "2"}, False, {"add.flops": 1, "minmax.flops": 1}),
        ({"activation_mode": "kRelu6"}, False, {"add.flops": 1, "minmax.flops": 2}),
        ({"activation_mode": "kTanh"}, False, {"add.flops": 1, "transcendental.transcendentals": 1}),
        ({"side_input_scale": 1}, True, {"add.flops": 2}),
        ({"side_input_scale": 0.5}, True, {"add.flops": 2, "multiply.flops": 1}),
        ({"conv_result_scale": 2}, False, {"add.flops": 1, "multiply.flops": 1}),
    ],
    ids=str,
)
def test_a_fused_convolution_adds_what_is_fused(fields, side, expected):
    operands = [IMAGE, FILTER, f"f32[{OUT}]", *([MADE] if side else [])]
    found = cost("__cudnn$convBiasActivationForward", operands, f"({MADE}, u8[0])", conv(**fields), WINDOW)
    scaled = {name: each * MADE_SIZE for name, each in expected.items()}
    assert parts(found) == {"convolution.flops": PAIRS, **scaled}


def test_the_graph_behind_a_convolution():
    graph = "122:[f32]conv();135:[f32]scale(122,133);140:[f8e4m3fn]relu(135);141:[f32]amax(135);"
    target = "__cudnn$convForwardGraph"
    found = cost(target, [IMAGE, FILTER, "f32[]"], f"({MADE}, u8[0])", conv(serialized_graph=graph), WINDOW)
    expected = {"multiply.flops": MADE_SIZE, "minmax.flops": 2 * MADE_SIZE}
    assert parts(found) == {"convolution.flops": PAIRS, **expected}
    graph = "122:[f32]conv();135:[f32]warp(122);"
    _, (unknown,) = counted(target, [IMAGE, FILTER], f"({MADE}, u8[0])", conv(serialized_graph=graph), WINDOW)
    assert "warp" in unknown.reason


def test_the_gradients_of_the_h100_fixture_cost_as_much_as_the_convolution():
    # SAME padding of 28 with stride 2 and 3 taps is one column on the right, written out: 29 columns.
    pairs = valid_pairs(29, 3, stride=2)
    each = 2 * 4 * 16 * 32 * pairs**2
    walk = Walk(parse(text("h100", "conv_grad")), "gpu")
    assert parts(walk.total)["convolution.flops"] == 3 * each


def test_layer_normalization_by_cudnn():
    x, scale = "bf16[4,64]", "bf16[1,64]"
    config = {"cudnn_norm_backend_config": {"epsilon": 1e-5, "kind": "LAYER_FWD_INFER"}}
    found = cost("__cudnn$norm", [x, scale, scale], f"({x}, u8[0])", config)
    assert parts(found) == {"norm.flops": 7 * 256, "norm.transcendentals": 4}


# oneDNN


def test_onednn_products():
    def config(**fields):
        return {"onednn_matmul_config": {"transpose_a": False, "transpose_b": False, **fields}}

    target = "__onednn$matmul"
    found = cost(target, MATRICES, f"f32[{M},{N}]", config(), backend="cpu")
    assert parts(found) == {"matmul.flops": PRODUCT}
    turned = config(transpose_a=True, fusions={"ops": ["BIAS", "GELU_ERF"]})
    found = cost(target, [f"f32[{K},{M}]", f"f32[{K},{N}]", f"f32[{N}]"], f"f32[{M},{N}]", turned, backend="cpu")
    assert parts(found) == {
        "matmul.flops": PRODUCT,
        "add.flops": 2 * SIZE,
        "multiply.flops": 3 * SIZE,
        "transcendental.transcendentals": SIZE,
    }
    found = cost(target, MATRICES, f"f32[{M},{N}]", config(fused_ops=["TANH"]), backend="cpu")  # XLA of 2024
    assert parts(found) == {"matmul.flops": PRODUCT, "transcendental.transcendentals": SIZE}


@pytest.mark.parametrize("shift", [0, 1], ids=["as numbers are", "older: all plus one"])
def test_onednn_convolutions(shift):
    def at(*numbers):
        return [str(number + shift) for number in numbers]

    image = {"batch_dim": at(0)[0], "feature_dim": at(3)[0], "spatial_dims": at(1, 2)}
    kernel = {"input_feature_dim": at(2)[0], "output_feature_dim": at(3)[0], "spatial_dims": at(0, 1)}
    window = {"pad_left": at(1, 1), "pad_right": at(1, 1), "strides": at(2, 2), "window_dilations": at(1, 1)}
    config = {
        "onednn_conv_config": {
            "input": {"data": image},
            "kernel": {"filter": kernel},
            "output": {"data": image},
            "window": window,
            "fusions": {"ops": ["RELU"]},
        }
    }
    found = cost("__onednn$convolution", [IMAGE, f"f32[3,3,{IN},{OUT}]"], MADE, config, backend="cpu")
    assert parts(found) == {"convolution.flops": PAIRS, "minmax.flops": MADE_SIZE}


def test_onednn_softmax_and_layer_normalization():
    rows, columns = 4, 64
    n = rows * columns
    softmax = custom_call_cost(call("__onednn$softmax", ["f32[4,64]"], "f32[4,64]", {"onednn_softmax_config": {}}))
    assert parts(softmax) == {
        "minmax.flops": n,
        "add.flops": 2 * n,  # subtract the maximum, and the sum
        "divide.flops": n,
        "transcendental.transcendentals": n,
    }
    layernorm = custom_call_cost(call("__onednn$layernorm", ["f32[4,64]", "f32[64]", "f32[64]"], "f32[4,64]"))
    assert parts(layernorm) == {"norm.flops": 7 * n, "norm.transcendentals": rows}


def test_cudnn_batch_normalization_is_that_of_the_opcodes():
    """`batch-norm-training` and its like, which XLA handed to cuDNN until 2023; epsilon and the feature are constants."""
    x, features = "f32[16,8,4,4]", "f32[8]"
    ends = ["f32[] 0", "s64[] 1"]
    for name, opcode, operands, result in (
        ("ForwardTraining", "training", [x, features, features], f"({x}, {features}, {features})"),
        ("ForwardInference", "inference", [x, *[features] * 4], x),
        ("Backward", "grad", [x, *[features] * 3, x], f"({x}, {features}, {features})"),
    ):
        found = cost(f"__cudnn$batchNormalization{name}", [*operands, *ends], result)
        lines = "\n".join(f"  %p{n} = {each} parameter({n})" for n, each in enumerate(operands))
        names = ", ".join(f"%p{n}" for n in range(len(operands)))
        text = (
            f"HloModule m\nENTRY %main () -> {result} {{\n{lines}\n"
            f"  ROOT %r = {result} batch-norm-{opcode}({names}), epsilon=0.001, feature_index=1\n}}\n"
        )
        assert parts(found) == parts(Walk(parse(text), "gpu").total)
