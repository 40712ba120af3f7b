"""The same record of somebody else's model: PyTorch modules, and diffusers' pipelines of them.

Duck-typed on torch.nn.Module's `named_modules` and `register_forward_hook`; nothing of PyTorch is
imported. A pipeline is what has `components`: its networks are heard below the scopes that
refdiff's own traces have, a step being a call of the U-Net.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Unpack

import numpy as np

from refdiff.op import Array
from refdiff.trace import Trace
from refdiff.tracefile import Options, taking

Scope = Callable[[], str]


@contextmanager
def record(module: Any, **options: Unpack[Options]) -> Iterator[Trace]:
    """Record what every module inside `module`, a network or a pipeline, gives while this lasts.

    The options are those of `refdiff.tracefile.taking`; a tuple's or a record's first tensor
    counts, and a name that comes again is counted: `name@2`.
    """
    with taking(**options) as taken, ExitStack() as stack:
        parts = _parts(module)
        steps = 0

        def counted(*_: Any) -> None:
            nonlocal steps
            steps += 1

        for name, part in parts.items():
            if name == "unet":
                _listen(stack, taken, part, lambda: f"steps.{steps}.unet")
                stack.callback(part.register_forward_hook(counted).remove)
            else:
                _listen(stack, taken, part, partial(str, name))
        yield taken


def _parts(module: Any) -> dict[str, Any]:
    """A pipeline's networks by name; anything else is its own, without one."""
    if hasattr(module, "named_modules"):
        return {"": module}
    parts = module.components.items()
    return {name: part for name, part in parts if hasattr(part, "register_forward_hook")}


def _listen(stack: ExitStack, taken: Trace, part: Any, scope: Scope) -> None:
    """Hear every module of a network, and the ways into an autoencoder that are not `forward`."""

    def hear(name: str, output: Any) -> None:
        tensor = _first_tensor(output)
        if tensor is not None:
            full = taken.counted(".".join(filter(None, (scope(), name))))
            if taken.wanted(full):  # else it need not come from its device
                taken.seen(full, _to_numpy(tensor))

    def hook(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: hear(name, output)

    for name, inner in part.named_modules():
        stack.callback(inner.register_forward_hook(hook(_in_checkpoint(part, name))).remove)
    for method in ("encode", "decode"):
        if callable(getattr(part, method, None)):
            _wrap(stack, part, method, lambda output: hear("", output))


def _in_checkpoint(part: Any, name: str) -> str:
    """The module's name as weights have it: transformers 5 took a level out of its CLIP."""
    flat = type(part).__name__ == "CLIPTextModel" and not hasattr(part, "text_model")
    return f"text_model.{name}" if flat and name else name


def _wrap(stack: ExitStack, part: Any, method: str, hear: Callable[[Any], None]) -> None:
    """Let a method of this object tell what it gives, until the stack unwinds."""
    original, own = getattr(part, method), vars(part).get(method)

    def telling(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        hear(output)
        return output

    setattr(part, method, telling)
    stack.callback(*((delattr, part, method) if own is None else (setattr, part, method, own)))


def _first_tensor(output: Any) -> Any:
    """The tensor of a module's result: itself, or the first of a tuple or of an output record."""
    if hasattr(output, "detach"):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list) and output:
        return _first_tensor(output[0])
    return output.mean if hasattr(output, "logvar") else None  # a distribution, of latents


def _to_numpy(tensor: Any) -> Array:
    tensor = tensor.detach().cpu()
    # NumPy has neither of them; float32 holds every one of their values.
    narrow = any(name in str(tensor.dtype) for name in ("bfloat16", "float8"))
    return np.array((tensor.float() if narrow else tensor).numpy())
