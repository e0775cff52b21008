"""Where to compute."""

import torch

from prima_features.errors import UsageError


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is a GPU where there is one, else the CPU.

    Raises:
        UsageError: no such device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        # Torch built without CUDA answers with an AssertionError.
        raise UsageError(f"The device {name} is not available here; --device cpu always is") from error
    return device
