"""What a causal convolution reads: rows of the past, then the new ones, activated."""

from torch import Tensor

from encodec_cli.config.seanet import PadMode
from encodec_cli.engine.activation import Activation
from encodec_cli.engine.rows import Rows, Scratch
from encodec_cli.nn.conv import extra_padding, pad1d

__all__ = ["State", "Windows"]

State = Tensor | None


class Windows:
    """Makes the operand of a convolution that looks `history` rows back.

    Where a stream ends, `after` rows of zeros follow.
    """

    def __init__(
        self,
        history: int,
        stride: int,
        step: int,
        pad_mode: PadMode,
        act: Activation | None,
        after: int = 0,
    ) -> None:
        self._history = history
        self._stride = stride
        self._step = step
        self._pad_mode: PadMode = pad_mode
        self._act = act
        self._after = after

    def fill(self, x: Rows, states: list[State], scratch: Scratch) -> Tensor:
        """`[B * F + 1, step * C]`: for each stream F frames of `step` rows, and a frame to spare.

        A stream's frames are its history, its new rows, then zeros. Moves the states on.
        """
        batch, rows, channels = x.data.shape
        h, step = self._history, self._step
        new = max(rows, max(x.stops) + self._after)
        new += extra_padding(new, step)
        length = h + new + extra_padding(h + new, step)
        flat = scratch.take("windows", x.data, batch * length + step, channels)
        buffer = flat[: batch * length].view(batch, length, channels)
        place = buffer[:, h : h + rows]
        if self._act is None:
            place.copy_(x.data)
        else:
            self._act.into(place, x.data)
        if length > h + rows:
            buffer[:, h + rows :] = 0
        for b, (start, stop, last) in enumerate(zip(x.starts, x.stops, x.last, strict=True)):
            if start:  # dropped, but finite: products of several rows take them times zero
                buffer[b, :start] = 0
            if start == stop and states[b] is None:  # not begun, or without history
                continue
            self._pad(buffer[b, start:], states[b], stop - start, last)
            if h and not last:
                states[b] = buffer[b, stop : stop + h].clone()
        return flat.view(-1, step * channels)

    def _pad(self, buffer: Tensor, state: State, length: int, last: bool) -> None:
        h, mode = self._history, self._pad_mode
        right = extra_padding(length, self._stride) if last else 0
        end = h + length
        if last and self._after:
            buffer[end : end + self._after] = 0
        if state is not None:
            buffer[:h] = state
        elif last and length <= max(h, right):  # too short to be reflected from either side
            whole = pad1d(buffer[h:end].t(), h, right, mode).t().clone()
            buffer[: end + right] = whole
            return
        elif h:
            # One row more than is padded: reflection leaves out the edge itself.
            buffer[:h] = pad1d(buffer[h : 2 * h + 1].t(), h, 0, mode).t()[:h]
        if right:
            edge = pad1d(buffer[end - right - 1 : end].t(), 0, right, mode).t()
            buffer[end : end + right] = edge[right + 1 :]
