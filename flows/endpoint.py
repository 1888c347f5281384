"""A batch test's prompts, answered by an OpenAI-compatible endpoint in place of a local model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.credentials import EndpointCredentials
from flows.answering import Relay
from flows.job_run import JobRun
from tasks.alongside import run_alongside
from tasks.answers import AnswerFile
from tasks.asking import ask_all
from tasks.endpoint import Endpoint, Manner, chat_of
from tuneyard.batch_configs import BatchTestConfig, PredictConfig, TestSettings
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput

ENDPOINT = "endpoint:"
SHORTEST_TRY = 30.0


@task(cache_policy=NO_CACHE)
def ask(run: JobRun, config: BatchTestConfig, prompts: list[Prompt]) -> None:
    """Have the endpoint answer the prompts; what an earlier attempt on this host was told is not asked again."""
    refuse_what_needs_a_local_model(config, prompts)
    relay = Relay(run, config, prompts)
    with relay.to_the_end():
        put(run, config, prompts, relay.file, relay.look)


def put(
    run: JobRun,
    config: BatchTestConfig | PredictConfig,
    prompts: list[Prompt],
    answers: Path,
    watch: Callable[[], None],
) -> None:
    """Put to the endpoint what the file has no answer to; each answer is a line of it as it comes."""
    endpoint = open_endpoint(config.model.removeprefix(ENDPOINT), "model")
    words = f"Asking {endpoint.model} at {endpoint.base_url}, {config.concurrency} at a time"
    run.at(words)
    run.journal.event("started", words)
    file = AnswerFile(answers)
    chats = [chat_of(at, prompt) for at, prompt in enumerate(prompts)]
    manner = manner_of(config)
    run_alongside(lambda: ask_all(endpoint, chats, manner, file, run.log.info), watch)


def open_endpoint(named: str, field: str) -> Endpoint:
    """`<block>[/<model>]`, opened.

    Raises:
        BadInput: There is no such block, it cannot be used, or nobody says which model.
    """
    name, _, model = named.partition("/")
    try:
        # _sync is taken by the wrapper around it, as in flows.service_key
        found = cast(EndpointCredentials, EndpointCredentials.load(name, _sync=True))  # type: ignore[call-arg]
    except ValueError:
        raise BadInput(
            f"there is no endpoint's credentials block called {name!r} in Prefect: "
            f"store one with `python -m deployments store-endpoint {name} --base-url …`",
            field=field,
        ) from None
    if not (model or found.model):
        raise BadInput(f"the block {name!r} names no model: say which one, as {name}/<model>", field=field)
    return Endpoint(name, found.base_url, model or found.model, found.api_key.get_secret_value(), field)


def manner_of(config: TestSettings | PredictConfig) -> Manner:
    """How a config wants an endpoint asked. A try takes at most half of the patience: one that hangs is not all."""
    return Manner(
        concurrency=config.concurrency,
        delay=config.delay_ms / 1000,
        patience=config.patience_seconds,
        longest_try=max(SHORTEST_TRY, config.patience_seconds / 2),
        most_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        seed=config.seed,
    )


def refuse_what_needs_a_local_model(config: BatchTestConfig, prompts: list[Prompt]) -> None:
    """An endpoint gives texts, and no likelihoods."""
    kinds = {scorer.kind for scorer in config.scorers}
    kinds |= {prompt.scorer.kind for prompt in prompts if prompt.scorer is not None}
    wanted = {
        "scorers": "choice_likelihood" in kinds,
        "perplexity_on": config.perplexity_on is not None,
        "lm_eval": config.lm_eval is not None,
    }
    for field, is_wanted in wanted.items():
        if is_wanted:
            what = "the scorer choice_likelihood" if field == "scorers" else field
            raise BadInput(f"{what} needs a local model; an endpoint gives texts alone", field=field)
