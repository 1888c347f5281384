"""Makes a very small, random Llama with a real tokenizer, without torch, transformers or a network.

It has the traps of real models: the pad token is the turn-end token, there is a chat template with a default
system turn, and the tokenizer names no length.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HIDDEN, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 256
START, END = "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "system user assistant Be brief. Write as an ISO date: March 5th, 2031 2031-03-05 the 12th of May 1999"
]


def make_tiny_model(folder: Path, *, chat: bool = True, seed: int = 7) -> Path:
    """Writes a transformers model of about 100 thousand parameters to `folder` and returns it.

    Args:
        chat: False leaves the chat template out, as base models do.
        seed: Another seed is another model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder, chat)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "dtype": "float32",
    }
    generation = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps(generation))
    save_file(_weights(vocabulary, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_broken_model(folder: Path) -> Path:
    """One whose every loss is no number."""
    broken = make_tiny_model(folder)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][:] = numpy.inf
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    return broken


def _write_tokenizer(folder: Path, chat: bool) -> int:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "model_max_length": int(1e30),
        "clean_up_tokenization_spaces": False,
    }
    if chat:
        settings["chat_template"] = CHAT_TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    return int(tokenizer.get_vocab_size())


def _weights(vocabulary: int, seed: int) -> dict[str, numpy.ndarray]:
    random = numpy.random.default_rng(seed)

    def matrix(*shape: int) -> numpy.ndarray:
        return random.normal(0, 0.05, shape).astype(numpy.float32)

    weights = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": numpy.ones(HIDDEN, numpy.float32),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        for part in "qkvo":
            weights[f"{name}.self_attn.{part}_proj.weight"] = matrix(HIDDEN, HIDDEN)
        weights[f"{name}.mlp.gate_proj.weight"] = matrix(INNER, HIDDEN)
        weights[f"{name}.mlp.up_proj.weight"] = matrix(INNER, HIDDEN)
        weights[f"{name}.mlp.down_proj.weight"] = matrix(HIDDEN, INNER)
        weights[f"{name}.input_layernorm.weight"] = numpy.ones(HIDDEN, numpy.float32)
        weights[f"{name}.post_attention_layernorm.weight"] = numpy.ones(HIDDEN, numpy.float32)
    return weights
