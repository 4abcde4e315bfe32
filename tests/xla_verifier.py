"""XLA's own verifier, on a module that its parser took.

jaxlib does not offer it by name, but runs it on whatever a transform of its compile pipeline hands back
(xla/service/xla_transform.cc). So a program of one addition is compiled, and exchanged for the module in question.
Loaded only by the child process of `xla_reference`.
"""

from __future__ import annotations

import re
from typing import Any

import jax
from jaxlib import _hlo, _xla
from jaxlib._jax import DeviceList, JaxRuntimeError
from jaxlib.xla_client import CompileOptions

PRE_SCHEDULER, POST_SCHEDULER = 0, 1
PASSED = "the verifier has passed it: go no further"
KEPT = re.compile(r", (?:replica_count|num_partitions)=\d+")
"""What of the header the verifier reads; the rest describes an entry that is the outermost computation no more."""


class Verifier:
    def __init__(self) -> None:
        self._carrier = jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((), "float32")).as_text()
        self._module: bytes = b""
        _xla.register_xla_transform("exchange", PRE_SCHEDULER, lambda carrier: self._module)
        _xla.register_xla_transform("stop", POST_SCHEDULER, _stop)

    def problem(self, module: Any) -> str:
        """What the verifier has against a module; "" where it has nothing, or XLA does not read its own print."""
        try:
            self._module = _hlo.hlo_module_from_text(as_a_call(module)).as_serialized_hlo_module_proto()
        except JaxRuntimeError:
            return ""
        device = jax.devices("cpu")[0]
        try:
            device.client.compile_and_load(self._carrier, DeviceList((device,)), CompileOptions())
        except JaxRuntimeError as problem:
            return "" if PASSED in str(problem) else str(problem)
        raise AssertionError("a module was compiled that should have been stopped")


def _stop(module: bytes) -> bytes:
    raise RuntimeError(PASSED)


def as_a_call(module: Any) -> str:
    """The module with its entry called by another of the shape that the compiled program has, `f32[] -> f32[]`."""
    shape = _hlo.XlaComputation(module.as_serialized_hlo_module_proto()).program_shape()
    text = module.to_string()
    header, _, rest = text.partition("\n")
    entry = re.search(r"^ENTRY %([\w.\-]+)", rest, re.M)
    assert entry is not None
    arguments = [
        f'  %outer.{n} = {s} custom-call(), custom_call_target="any"' for n, s in enumerate(shape.parameter_shapes())
    ]
    names = ", ".join(f"%outer.{n}" for n in range(len(arguments)))
    return "\n".join(
        [
            header.split(",")[0] + "".join(KEPT.findall(header)),
            rest[: entry.start()] + rest[entry.start() + len("ENTRY ") :],
            "ENTRY %outermost {",
            "  %outer.x = f32[] parameter(0)",
            *arguments,
            f"  %outer.call = {shape.result_shape()} call({names}), to_apply=%{entry[1]}",
            "  ROOT %outer.sum = f32[] add(%outer.x, %outer.x)",
            "}",
        ]
    )
