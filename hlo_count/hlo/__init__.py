"""The language: HLO text -> Module. Shapes, instructions, attributes and the networkx views. Knows nothing of cost."""

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.parser import parse
from hlo_count.hlo.shapes import Layout, Shape, parse_shape

__all__ = ["Computation", "Instruction", "Layout", "Module", "Shape", "parse", "parse_shape"]
