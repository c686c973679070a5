"""Whether a run's volumes are on the grid that an experiment's regions are drawn on."""

from __future__ import annotations

from rtbids.errors import BadData
from rtbids.run.recipe import analysis_config
from rtbids.run.recipe.recipe import Recipe
from rtbids.volume import Entities, Volume, run_key


class Fitting:
    """What is known of each run that is open; looked at once, for it reads files.

    Attributes
    ----------
    has_fitted
        Whether the regions were on the grid of any run so far.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.has_fitted = False
        self._recipe = recipe
        self._misfits: dict[tuple[tuple[str, str], ...], BadData | None] = {}

    def misfit(self, first: Volume) -> BadData | None:
        """Say which region, or which reference of the analysis, is not on the grid of a run, of which `first` is a volume."""
        key = run_key(first.entities)
        if key not in self._misfits:
            self._misfits[key] = self._look(first)
        self.has_fitted = self.has_fitted or self._misfits[key] is None
        return self._misfits[key]

    def forget(self, entities: Entities) -> None:
        """Forget a run that has ended."""
        self._misfits.pop(run_key(entities), None)

    def _look(self, first: Volume) -> BadData | None:
        try:
            for region in self._recipe.regions.values():
                region.check_grid(first)
            analysis_config.check_grid(self._recipe.config.analysis, first)
        except BadData as error:
            return error
        return None
