"""A suite answered by the very model that is being trained, which must not notice. For the child process only.

Greedy, in evaluation mode, in the number format of the training; no random number is drawn, and nothing of the model,
its settings or the random state is different afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from tasks.answers import Answer, Batch, Question, answer_or_own_error, failed
from tasks.base_weights import Base
from tasks.child import say
from tasks.examples import Turn
from tasks.happening import ANSWERS
from tasks.pretrained import context_length, end_tokens
from tasks.render import Rendered, rendered, template_sha256
from tasks.report import RunReport
from tasks.score import score_answer
from tuneyard.batch_configs import TrainingTests
from tuneyard.batch_shapes import NewPrediction, Prompt
from tuneyard.shapes import MetricPoint

SCORE = "test_score"  # its name among a point's extra numbers


class TrainingSuite:
    """One for a run.

    Args:
        model: As Trainer has it, not wrapped for several ranks.
        folder: Where the spool of answers lies; what an earlier process of the run answered is found there.
        told_to_stop: Looked at between two tokens.
    """

    def __init__(
        self,
        tests: TrainingTests,
        prompts: Sequence[Prompt],
        base: Base,
        model: Any,
        report: RunReport,
        folder: Path,
        told_to_stop: Callable[[], bool],
    ) -> None:
        self._tests, self._prompts, self._base, self._model = tests, prompts, base, model
        self._report = report
        self._spool = folder / f"{ANSWERS}.jsonl"
        self._told_to_stop = told_to_stop
        self._speaker = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._ends = end_tokens(self._speaker, base.tokenizer)
        self._pad = min(self._ends)  # masked before the prompt, cut off after the answer
        self._context = context_length(self._speaker)
        self._template = template_sha256(base.tokenizer)
        self._texts: dict[int, Rendered] = {}
        self._unasked: list[Answer] = []
        self._questions = self._ask(prompts)

    def has_answered(self, step: int) -> bool:
        """Whether every prompt has its answer of this step."""
        lines = self._spool.read_text(encoding="utf-8").splitlines() if self._spool.exists() else []
        there = set()
        for line in lines:
            with suppress(ValueError):  # half a line, of a process that was killed
                answer = json.loads(line)
                there |= {answer["prompt_index"]} if answer["step"] == step else set()
        return len(there) == len(self._prompts)

    def answer(self, step: int, epoch: float | None, *, breakable: bool) -> bool:
        """One round: its answers are written down, its mean score is a number of the step's point.

        Returns:
            False where the run was told to stop meanwhile, and the round was broken off.
        """
        started = time.monotonic()
        answers = list(self._unasked)
        with self._in_its_place():
            for batch in self._batches():
                answers += answer_or_own_error(
                    batch, lambda asked: self._generate(asked, breakable=breakable)
                )
                if breakable and self._told_to_stop():
                    return False
        scored = [self._scored(step, answer) for answer in answers]
        for one in sorted(scored, key=lambda one: one.prompt_index):
            self._report.answer(one)
        self._tell(step, epoch, scored, time.monotonic() - started)
        return True

    def _ask(self, prompts: Sequence[Prompt]) -> list[Question]:
        """The prompts in tokens, by length; one that cannot be asked has its own error in every round."""
        questions = []
        for index, prompt in enumerate(prompts):
            turns = [Turn(turn.role, turn.content) for turn in prompt.messages or ()]
            try:
                text = rendered(self._base.tokenizer, turns or [Turn("user", prompt.text)])
            except ValueError as error:
                self._unasked.append(failed(Question(index, []), str(error)))
                continue
            question = Question(index, text.ids)
            self._texts[index] = text
            if self._context and len(text.ids) + self._tests.max_new_tokens > self._context:
                words = f"{len(text.ids)} tokens and an answer do not fit into the context of {self._context}"
                self._unasked.append(failed(question, words))
            else:
                questions.append(question)
        return sorted(questions, key=lambda question: (len(question.ids), question.index))

    def _batches(self) -> Iterator[Batch]:
        size = self._tests.batch_size
        return (self._questions[at : at + size] for at in range(0, len(self._questions), size))

    @contextmanager
    def _in_its_place(self) -> Iterator[None]:
        """In the block the model answers; after it, all is as it was."""
        device, bf16 = self._base.device.kind, self._base.precision == "bf16"
        made, training = self._speaker.generation_config, self._model.training
        # In place of the maker's: sampling settings in it would be mixed into ours.
        self._speaker.generation_config = GenerationConfig(
            max_new_tokens=self._tests.max_new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=sorted(self._ends),
            pad_token_id=self._pad,
        )
        self._model.eval()
        cards = [torch.cuda.current_device()] if device == "cuda" else []
        try:
            with torch.random.fork_rng(cards), torch.no_grad(), torch.autocast(device, torch.bfloat16, bf16):
                yield
        finally:
            self._model.train(training)
            self._speaker.generation_config = made

    def _generate(self, batch: Batch, *, breakable: bool) -> list[Answer]:
        started = time.monotonic()
        longest = max(len(question.ids) for question in batch)
        gaps = [longest - len(question.ids) for question in batch]
        pairs = list(zip(gaps, batch, strict=True))
        ids = torch.tensor([[self._pad] * gap + question.ids for gap, question in pairs])
        mask = torch.tensor([[0] * gap + [1] * len(question.ids) for gap, question in pairs])
        output = self._speaker.generate(
            input_ids=ids.to(self._speaker.device),
            attention_mask=mask.to(self._speaker.device),
            stopping_criteria=[self._broken_off] if breakable else None,
        )
        took = round((time.monotonic() - started) * 1000, 1)
        said = output[:, longest:].tolist()
        return [self._answer(question, tokens, took) for question, tokens in zip(batch, said, strict=True)]

    def _broken_off(self, ids: Any, _scores: Any, **_rest: Any) -> Any:
        return torch.full((len(ids),), self._told_to_stop(), dtype=torch.bool, device=ids.device)

    def _answer(self, question: Question, tokens: list[int], took: float) -> Answer:
        end = next((at for at, token in enumerate(tokens) if token in self._ends), None)
        said = tokens if end is None else tokens[: end + 1]
        text = self._base.tokenizer.decode(said, skip_special_tokens=True)
        reason = "length" if end is None else "stop"
        return Answer(question.index, text, len(question.ids), len(said), took, reason, None)

    def _scored(self, step: int, answer: Answer) -> NewPrediction:
        prompt, text = self._prompts[answer.prompt_index], self._texts.get(answer.prompt_index)
        scored = (
            None if answer.error else score_answer(answer.response or "", prompt, self._tests.scorers, {})
        )
        return NewPrediction(
            prompt_index=answer.prompt_index,
            step=step,
            prompt=prompt.text,
            expected=prompt.expected,
            response=answer.response,
            rendered=text and text.text,
            template_sha256=self._template,
            tags=prompt.tags,
            weight=prompt.weight or 1.0,
            scores={} if scored is None else scored.scores,
            score=None if scored is None else scored.score,
            passed=None if scored is None else scored.passed,
            error=answer.error or (scored and scored.error),
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            latency_ms=answer.latency_ms,
            finish_reason=answer.finish_reason,
        )

    def _tell(self, step: int, epoch: float | None, scored: Sequence[NewPrediction], seconds: float) -> None:
        """An answer that failed counts as 0, as in a batch test."""
        weight = sum(one.weight for one in scored)
        score = sum((one.score or 0.0) * one.weight for one in scored) / weight
        right = sum(one.passed is True for one in scored)
        self._report.point(
            MetricPoint(step=step, epoch=epoch, timestamp=datetime.now(UTC), extra={SCORE: score})
        )
        say(f"step {step}: test score {score:.3f}, {right} of {len(scored)} right  {seconds:.1f} s")
