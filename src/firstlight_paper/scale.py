"""How much of everything a reproduction computes: the whole, or a ten-minute version."""

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Scale"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Amounts that all parts share; what only one part needs is in its module.

    Attributes
    ----------
    name : str
        ``"full"`` or ``"quick"``; part of every stored result's identity.
    n_real : int, optional
        Real objects, drawn class by class; all of them by default.
    n_simulated : int
        Simulated objects of each class that the data lack.
    n_folds : int
        Folds of the cross-validation over objects.
    encoder_epochs : int
        Most epochs of the paper's autoencoder.
    preset : str
        What stands beside the paper's design as ours.
    """

    name: str
    n_real: int | None
    n_simulated: int
    n_folds: int
    encoder_epochs: int
    preset: str

    @property
    def is_full(self) -> bool:
        """Whether everything is computed; every other scale counts as quick."""
        return self.name == FULL.name


#: About two hours on two cores.
FULL = Scale(name="full", n_real=None, n_simulated=200, n_folds=5, encoder_epochs=40, preset="default")

#: About ten minutes: the same parts, whose numbers mean little.
QUICK = Scale(name="quick", n_real=1500, n_simulated=40, n_folds=2, encoder_epochs=4, preset="quick")
