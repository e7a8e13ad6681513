"""Functions compiled by numba: their decorator, small ones that many share, compilation before use."""

from firstlight.kernels.compile import compile_kernels, folder_of_code
from firstlight.kernels.decorator import kernel
from firstlight.kernels.search import highest, lowest, n_below, n_upto, ranked

__all__ = ["compile_kernels", "folder_of_code", "highest", "kernel", "lowest", "n_below", "n_upto", "ranked"]
