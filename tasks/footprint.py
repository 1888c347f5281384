"""How much memory and disk a fine-tune will take: high estimates, from shapes alone, before a weight is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.hardware import Precision
from tuneyard.configs import FinetuneConfig

ADAM = 8  # bytes a trained parameter: two fp32 moments
MASTER = 4  # bytes a weight that is trained, and its gradient: fp32
FOUR_BIT = (
    0.56  # bytes a weight of 4-bit NormalFloat: 0.5, and its constants (Dettmers et al., "QLoRA", 2023)
)
LOGIT = 12  # bytes: the head's output, its fp32 copy for the loss, and the gradients of both
ALLOCATOR = 1.1  # what caching allocators hold beside what is asked of them
RUNTIME = 2**30  # bytes: the CUDA context, its libraries' workspaces


@dataclass(frozen=True)
class Linear:
    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class ModelSize:
    """A model by its shapes. `linears` are all linear layers but the head; `norms` counts normalisations."""

    parameters: int
    linears: tuple[Linear, ...]
    norms: int
    layers: int
    width: int
    heads: int
    vocabulary: int


def trainable_parameters(size: ModelSize, config: FinetuneConfig) -> int:
    """All weights, or those of the adapters: two matrices of rank r beside each layer that has one."""
    if config.method == "full":
        return size.parameters
    return sum(config.lora.rank * (layer.inputs + layer.outputs) for layer in adapted(size, config))


def adapted(size: ModelSize, config: FinetuneConfig) -> list[Linear]:
    """The layers that get an adapter."""
    targets = config.lora.targets
    return [
        layer for layer in size.linears if targets == "all-linear" or layer.name.split(".")[-1] in targets
    ]


def memory_needed(
    size: ModelSize,
    config: FinetuneConfig,
    precision: Precision,
    longest: int,
    *,
    checkpointed: bool,
    on_card: bool = True,
) -> int:
    """Bytes at the peak of a step in which every row has `longest` tokens.

    State, after Rajbhandari et al., "ZeRO" (2020), section 3.1: for each trained parameter 4 bytes of weight, 4 of
    gradient and 8 of Adam's moments, and 2 for autocast's bf16 copy. A frozen one has 4 (2 on a card that computes in
    bf16, 0.56 in 4 bits), and on a CPU that copy too.
    Activations, by the account of Korthikanti et al., "Reducing Activation Recomputation in Large Transformer
    Models" (2022), section 4.1, read off the model's own layers: each linear layer's input and output, and three
    fp32 vectors for each normalisation. Attention weights count only where `eager` attention makes them. What that
    paper's GPT has, 34 bytes x width x layers a token, comes out as 36 and the normalisations here; what autograd
    held of SmolLM2 after a forward pass was 0.67 to 0.74 of this account.

    Under fsdp each card has its part of the state, and a few layers whole.

    Args:
        longest: Tokens of the longest row after the limit; of a pair, of its longer side.
        checkpointed: Only each layer's input is kept, and one layer's activations at a time.
        on_card: See `tasks.base_weights` for what frozen weights are kept in.
    """
    state: float = trainable_parameters(size, config) * (MASTER + MASTER + ADAM + _copy(precision))
    if config.method != "full":
        state += _frozen(size, config, precision, on_card)
    if config.distributed == "fsdp" and config.gpus > 1:
        state = state / config.gpus + _whole_at_once(size, precision)
    rows = config.batch_size * (2 if config.method == "dpo" else 1)
    tokens = rows * longest
    step = tokens * (_kept(size, config, precision, checkpointed=checkpointed) + size.vocabulary * LOGIT)
    if config.attention == "eager":
        step += 8 * rows * size.heads * longest**2 * (1 if checkpointed else size.layers)
    return int((state + step) * ALLOCATOR) + RUNTIME


def disk_needed(size: ModelSize, config: FinetuneConfig, precision: Precision) -> int:
    """Bytes of the checkpoints that lie there at once (those to keep, the best, the one being written) and of the
    model itself, which is written beside its final place."""
    trained = trainable_parameters(size, config)
    at_once = 0 if config.checkpoint_every is None else config.keep_checkpoints + 1
    at_once += config.keep_best and (config.eval_dataset is not None or config.eval_fraction > 0)
    saved = trained if config.method != "full" else size.parameters
    return at_once * trained * (MASTER + ADAM) + saved * (2 if precision == "bf16" else 4)


def _copy(precision: Precision) -> int:
    """Bytes of autocast's copy of an fp32 weight."""
    return 2 if precision == "bf16" else 0


def _frozen(size: ModelSize, config: FinetuneConfig, precision: Precision, on_card: bool) -> float:
    """Bytes of a base model that is not trained itself."""
    if config.method == "qlora":
        quantised = sum(layer.inputs * layer.outputs for layer in size.linears)
        return quantised * FOUR_BIT + (size.parameters - quantised) * (MASTER + _copy(precision))
    if on_card:
        return size.parameters * (2 if precision == "bf16" else MASTER)
    return size.parameters * (MASTER + _copy(precision))


def _whole_at_once(size: ModelSize, precision: Precision) -> float:
    """Bytes of what fsdp gathers while it is computed with: the embeddings and two layers, and their gradients."""
    weights = 2 * size.vocabulary * size.width + 2 * size.parameters / max(size.layers, 1)
    return weights * ((2 if precision == "bf16" else 4) + MASTER)


def _kept(size: ModelSize, config: FinetuneConfig, precision: Precision, *, checkpointed: bool) -> float:
    """Bytes of activations a token."""
    wide = 2 if precision == "bf16" else 4
    passing = sum(layer.inputs + layer.outputs for layer in size.linears)
    if config.method != "full":
        copied = config.lora.dropout > 0
        passing += sum(copied * layer.inputs + config.lora.rank for layer in adapted(size, config))
    kept = wide * passing + 4 * 3 * size.norms * size.width
    if not checkpointed:
        return kept
    return wide * size.layers * size.width + kept / max(size.layers, 1)
