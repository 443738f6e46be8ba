"""The recipe of a stream: which data set, told as which tasks, replayed how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt

from si_stream.learning.options import Options
from simulators.options import Again, Boundaries, LabelSpace, ReplayOptions, ScenarioName

if TYPE_CHECKING:
    from simulators.scenarios import Scenario


class Recipe(Options):
    """What `si-stream simulate` is told by its options. With a seed it is one stream."""

    data: ScenarioName
    task_count: PositiveInt | None = None
    order: str | None = None
    again: Again = "same"
    samples_per_task: PositiveInt | None = None
    labels: LabelSpace = "local"
    replay: ReplayOptions = Field(ReplayOptions(holdout=False), validate_default=True)

    def scenario(self, seed: int) -> Scenario:
        """Its tasks, of a data set in `simulators.datasets.data_directory`.

        Raises:
            DataError: the data set can be neither found nor downloaded.
            SettingsError: the scenario does not allow what is asked for.
        """
        from simulators.labels import globally_labelled
        from simulators.scenarios import load_scenario
        from simulators.sequences import sequenced

        scenario = load_scenario(self.data, seed=seed, task_count=self.task_count)
        if self.labels == "global":
            scenario = globally_labelled(scenario)
        return sequenced(
            scenario,
            self.order,
            again=self.again,
            samples_per_task=self.samples_per_task,
            seed=seed,
        )

    def options(self, seed: int, boundaries: Boundaries) -> ReplayOptions:
        return self.replay.model_copy(update={"seed": seed, "boundaries": boundaries})
