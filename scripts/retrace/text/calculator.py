"""The calculator of decoding: a constraint that writes the results of `<<48/2=24>>` (retrace.text.arithmetic)."""

from typing import Any, Literal

import numpy as np

from retrace.errors import UserError
from retrace.text.arithmetic import evaluate, format_number
from retrace.text.token_text import TokenText

_OPENS, _EQUALS, _CLOSES = 1, 2, 4


class CalculatorState:
    """Per-row state of the constraint: tokens, start of an open computation, and tokens still to be forced."""

    def __init__(self, rows: int) -> None:
        self.length = 0
        self.history = np.zeros((rows, 32), dtype=np.int32)
        self.open_at = np.full(rows, -1, dtype=np.int64)  # column of the opening; -1: none is open
        self.queue = np.zeros((rows, 8), dtype=np.int64)
        self.queue_at = np.zeros(rows, dtype=np.int64)
        self.queue_end = np.zeros(rows, dtype=np.int64)

    def select(self, rows: Any) -> "CalculatorState":
        """A new state of these rows (tensor or array of indices, repeats allowed)."""
        index = np.asarray(rows.cpu() if hasattr(rows, "cpu") else rows)
        copy = CalculatorState(0)
        copy.length = self.length
        for name in ("history", "open_at", "queue", "queue_at", "queue_end"):
            setattr(copy, name, getattr(self, name)[index])
        return copy

    def repeat(self, n: int) -> "CalculatorState":
        """A new state with each row n times, side by side, like the engine's `State.repeat`."""
        return self.select(np.repeat(np.arange(len(self.open_at)), n))


class Calculator:
    """Writes the results of computations while a model decodes, token by token, for any tokenizer.

    notation: `angle` for `<<48/2=24>>`, `bracket` for `[ 48 / 2 = 24 ]`. When a row's text ends in an open
    computation with '=', result and closing bracket are forced; a computation without a value (see `evaluate`) is
    left to the model. A token that holds more than '=' may bring first digits along: right ones are completed,
    wrong ones closed. closing: what closes it, in case it is not `>>` or ` ]` (DPO-ST's T5 texts: `]`).

        state = calculator.start(rows)
        forced = calculator.forced(state, new_tokens)   # -1: the model's choice

    Per token the work is a table look-up over the batch; only rows that open, compute or close are looked at.
    Raises UserError if the tokenizer cannot write the notation.
    """

    def __init__(
        self, tokenizer: Any, notation: Literal["angle", "bracket"] = "angle", closing: str | None = None
    ) -> None:
        if notation not in ("angle", "bracket"):
            raise UserError(f"calculator notation {notation!r}: use angle or bracket")
        self.text = TokenText(tokenizer)
        self.opening, self.end = ("<<", ">>") if notation == "angle" else ("[", "]")
        self.closing = closing if closing is not None else (">>" if notation == "angle" else " ]")
        self.gap = "" if notation == "angle" else " "
        surfaces = self.text.surfaces
        signs = ((_OPENS, self.opening[0]), (_EQUALS, "="), (_CLOSES, self.end[0]))
        kinds = [sum(bit for bit, sign in signs if sign in surface) for surface in surfaces]
        self._kinds = np.array(kinds, dtype=np.uint8)
        self._ends = np.array([self.end in surface for surface in surfaces])
        self._surfaces = surfaces
        self._tokens: dict[str, list[int] | None] = {}
        missing = [sign for bit, sign in signs if not (self._kinds & bit).any()]
        missing += [sign for sign in "0123456789" if self._continuation(sign) is None]
        if missing:
            raise UserError(
                f"the tokenizer has no token for {', '.join(repr(sign) for sign in missing)}, which the calculator "
                "needs; fine-tune the model (train_sft.py adds the tokens) or set 'calculator: false'"
            )

    def start(self, rows: int) -> CalculatorState:
        """The state of `rows` rows that have not written anything yet."""
        return CalculatorState(rows)

    def forced(self, state: CalculatorState, new_token_ids: Any) -> Any:
        """Take the token that each row just wrote; give the token that each must write next, or -1.

        new_token_ids: LongTensor[n] (the answer is one on the same device) or integer array[n].
        """
        is_tensor = hasattr(new_token_ids, "cpu")
        ids = np.asarray(new_token_ids.cpu() if is_tensor else new_token_ids)
        column = state.length
        if column == state.history.shape[1]:
            state.history = np.concatenate([state.history, np.zeros_like(state.history)], 1)
        state.history[:, column] = ids
        state.length = column + 1

        watched = (self._kinds[ids] & np.where(state.open_at >= 0, _OPENS | _EQUALS | _CLOSES, _OPENS)) != 0
        waiting = state.queue_at < state.queue_end
        if waiting.any():
            rows = np.flatnonzero(waiting)
            obeyed = state.queue[rows, state.queue_at[rows]] == ids[rows]
            state.queue_at[rows[obeyed]] += 1
            state.queue_end[rows[~obeyed]] = 0  # the caller chose otherwise: the row is the model's again
            state.queue_at[rows[~obeyed]] = 0
            state.open_at[rows[obeyed]] = -1
            watched[rows[obeyed]] = False
        for row in np.flatnonzero(watched).tolist():
            self._look(state, row)

        forced = np.full(len(ids), -1, dtype=np.int64)
        rows = np.flatnonzero(state.queue_at < state.queue_end)
        forced[rows] = state.queue[rows, state.queue_at[rows]]
        if not is_tensor:
            return forced
        import torch

        return torch.from_numpy(forced).to(new_token_ids.device)

    def forced_after(self, ids: np.ndarray) -> np.ndarray:
        """The same [n] for whole histories [n, L], without a state: for beams, which change places."""
        forced = np.full(len(ids), -1, dtype=np.int64)
        if not ids.shape[1]:
            return forced
        columns = np.arange(1, ids.shape[1] + 1)
        kinds = self._kinds[ids]
        opened = (((kinds & _OPENS) != 0) * columns).max(1)
        equals = (((kinds & _EQUALS) != 0) * columns).max(1)
        ended = (self._ends[ids] * columns).max(1)
        for row in np.flatnonzero((opened > 0) & (equals >= opened) & (ended <= opened)).tolist():
            tokens = ids[row].tolist()
            start = max(0, int(opened[row]) - len(self.opening))
            text = ""
            for index in range(start, len(tokens)):
                text += self._surfaces[tokens[index]]
                queue = self._queue_of(text) if "=" in text else None
                if queue:
                    written = tokens[index + 1 :]
                    if len(written) < len(queue) and queue[: len(written)] == written:
                        forced[row] = queue[len(written)]
                    break
        return forced

    def _look(self, state: CalculatorState, row: int) -> None:
        """Row `row` just wrote a sign that matters."""
        tokens = state.history[row, : state.length]
        recent = max(0, state.length - len(self.opening))
        if self.opening in "".join(self._surfaces[token] for token in tokens[recent:].tolist()):
            state.open_at[row] = recent
        elif state.open_at[row] < 0:
            return
        text = "".join(self._surfaces[token] for token in tokens[state.open_at[row] :].tolist())
        if self.end in text.rpartition(self.opening)[2]:
            state.open_at[row] = -1
            return
        queue = self._queue_of(text)
        if queue:
            if len(queue) > state.queue.shape[1]:
                wider = np.zeros((len(state.queue), len(queue) + 8), dtype=np.int64)
                wider[:, : state.queue.shape[1]] = state.queue
                state.queue = wider
            state.queue[row, : len(queue)] = queue
            state.queue_at[row], state.queue_end[row] = 0, len(queue)

    def _queue_of(self, text: str) -> list[int] | None:
        """The tokens that complete `text`, which holds an opening; None where nothing is to be forced."""
        _, opening, tail = text.rpartition(self.opening)
        expression, equals, written = tail.partition("=")
        if not opening or not equals or self.end in tail:
            return None
        value = evaluate(expression)
        if value is None:
            return None
        result, begun = format_number(value), written.strip()
        if not begun:
            return self._continuation(("" if written else self.gap) + result + self.closing)
        return self._continuation((result[len(begun) :] if result.startswith(begun) else "") + self.closing)

    def _continuation(self, text: str) -> list[int] | None:
        if text not in self._tokens:
            self._tokens[text] = self.text.continuation("=", text)
        return self._tokens[text]
