"""A model of which each rank holds a part: PyTorch's FSDP2, as Trainer does it. For the child process only.

Between two of its layers a rank has its part of every weight, gradient and moment of Adam; a layer is whole while it
computes. Each rank reads the whole base model into the host's memory first. Tested with two processes on the CPU
(gloo); with cards (nccl) it is the same code and has never run.
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import MixedPrecisionPolicy

from tasks.base_weights import Base, load_base
from tasks.child import rank, ranks
from tuneyard.configs import FinetuneConfig


def is_sharded(config: FinetuneConfig) -> bool:
    """Whether this process is one of several that hold the model together."""
    return config.distributed == "fsdp" and ranks() > 1


def sharded_arguments() -> dict[str, Any]:
    """What Trainer is told besides. In a checkpoint each rank writes its part, and reads that back."""
    every_batch = {"sync_each_batch": True}  # else each rank holds whole gradients until a step's last one
    return {
        "fsdp": True,
        "fsdp_config": {"version": 2, "state_dict_type": "SHARDED_STATE_DICT"},
        "accelerator_config": {"gradient_accumulation_kwargs": every_batch},
    }


def number_formats(bf16: bool) -> MixedPrecisionPolicy:
    """Layers compute in bf16 where asked for; gradients are summed, and the loss is kept, in fp32.

    accelerate's own choice would do both in bf16.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    return MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)


def shard_on_cpu(state: Any, plugin_arguments: dict[str, Any]) -> None:
    """accelerate shards among cards alone, and takes several processes on the CPU for DDP whatever it is told."""
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin_arguments)


def gathered(model: Any, base: Base, config: FinetuneConfig) -> Any:
    """Rank 0 gets the whole model, in the host's memory: the base model read again, with the weights that were trained.

    The others send theirs; all have to call this.
    """
    options = StateDictOptions(
        full_state_dict=True, cpu_offload=True, ignore_frozen_params=config.method != "full"
    )
    trained = get_model_state_dict(model, options=options)
    if rank() != 0:
        return model
    whole = load_base(base.folder, config, base.device, base.precision).model
    whole.load_state_dict(whole.state_dict() | trained)
    return whole
