"""When a model in training answers its suite: every so many steps or epochs, and at the end. For the child process
only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from tasks.training_suite import TrainingSuite
from tuneyard.batch_configs import TrainingTests

TINY = 1e-6  # beside a whole epoch; a step is more of one


class SuiteRounds(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """On rank 0 alone: the others wait for it at the next step.

    A run that was told to stop answers nothing more; the round that it owes is made up for when it goes on from the
    checkpoint of that step.
    """

    def __init__(
        self, tests: TrainingTests, suite: TrainingSuite, heed: Callable[[Any, Any], None], alone: bool
    ) -> None:
        """Begin after `heed`'s owner, which has to be a callback before this one.

        Args:
            heed: Does at once what the run was told: called where a round was broken off for that.
            alone: There is one rank. Of several, none may stop by itself, so rounds are not broken off.
        """
        self._tests = tests
        self._suite = suite
        self._heed = heed
        self._alone = alone

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        if state.global_step and self._due(state) and not self._suite.has_answered(state.global_step):
            self._suite.answer(state.global_step, state.epoch, breakable=False)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_rest: Any) -> None:
        last = state.global_step >= state.max_steps
        if not (last or self._due(state)) or (control.should_training_stop and not last):
            return
        breakable = self._alone and not last
        if not self._suite.answer(state.global_step, state.epoch, breakable=breakable):
            self._heed(state, control)

    def _due(self, state: Any) -> bool:
        if self._tests.every_steps is not None:
            return bool(state.global_step % self._tests.every_steps == 0)
        epochs = round(state.epoch)
        return bool(abs(state.epoch - epochs) < TINY and epochs % (self._tests.every_epochs or 1) == 0)
