"""What watches a training run: progress for people, and settings that a checkpoint carries."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class StepProgress(TrainerCallback):
    """Counts steps on a bar of ours, in place of transformers' own bar; `PromptTrainer.train` sets the bar."""

    bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Counts the steps of a run that is resumed."""
        if self.bar is not None and state.global_step:
            self.bar.update(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Counts a step."""
        if self.bar is not None:
            self.bar.update(1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Shows the last loss and mAP behind the bar."""
        figures = {"loss": "loss", "eval_map": "validation mAP"}
        latest = {name: entry[key] for entry in state.log_history for key, name in figures.items() if key in entry}
        if self.bar is not None and latest:
            text = ", ".join(f"{name} {value:.3f}" for name, value in latest.items())
            self.bar.set_postfix_str(text, refresh=False)


class RunSettings(TrainerCallback, ExportableState):
    """Carries what a run learns from, and how, into its checkpoints, so that no other run goes on from them.

    Args:
        settings: what must be the same in a run that resumes, as JSON can hold it.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def state(self) -> dict[str, Any]:
        """As `trainer_state.json` has it."""
        return {"args": {"settings": self.settings}, "attributes": {}}

    @staticmethod
    def saved(trainer_state: dict[str, Any]) -> dict[str, Any]:
        """The settings in the content of a `trainer_state.json`; nothing in one that another trainer wrote."""
        found = (trainer_state.get("stateful_callbacks") or {}).get(RunSettings.__name__) or {}
        settings: dict[str, Any] = found.get("args", {}).get("settings", {})
        return settings
