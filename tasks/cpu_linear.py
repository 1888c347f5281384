"""Linear layers on a CPU by oneDNN, their weights in the order that it reads them in. For child processes.

torch multiplies fp32 by MKL, which takes its slow paths where the CPU is not Intel's: on an AMD EPYC a third of what
oneDNN does. In bf16 torch has oneDNN, but reorders the weights at each call. The numbers are the same but for rounding.
The operator is torch's own compiler's, not its public interface: where it is missing, and on CPUs other than x86,
layers stay as they are.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import nn

ROWS = 64  # about as many as a batch has: the order hangs on it a little


def pack_linears(model: Any) -> None:
    """Does so with every plain linear layer, in place, once nothing will change its weights any more."""
    operators = torch.ops.mkldnn
    if platform.machine() not in ("x86_64", "AMD64") or not hasattr(operators, "_reorder_linear_weight"):
        return
    for module in model.modules():
        if type(module) is nn.Linear:
            module.forward = _packed(module)  # type: ignore[method-assign]
            # A tied embedding keeps the tensor; `dtype` and `device` are still asked of it here.
            module.weight = nn.Parameter(module.weight.new_empty(0), requires_grad=False)


def _packed(module: nn.Linear) -> Any:
    multiply = torch.ops.mkldnn._linear_pointwise
    weight = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), ROWS)
    bias = module.bias

    def forward(given: torch.Tensor) -> Any:
        return multiply(given, weight, bias, "none", [], "")

    return forward
