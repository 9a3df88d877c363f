"""The live display of a training on a terminal."""

from typing import Any

from autox_video.core.console import printable


class Board:
    """The live display on a terminal: one bar over the whole run, and a line of figures."""

    def __init__(self, max_iters: int) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns, refresh_per_second=4)
        self.task = self.bar.add_task("starting", total=max_iters)
        self.bar.start()

    def advance(self, iteration: int, line: str | None = None) -> None:
        """Move the bar to `iteration` steps done, and change the line of figures."""
        changes: dict[str, Any] = {} if line is None else {"description": line}
        self.bar.update(self.task, completed=iteration, **changes)

    def tell(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        from rich.markup import escape

        self.bar.console.print(escape(printable(sentence)), highlight=False)

    def close(self) -> None:
        """Leave the bar as it is and free the terminal."""
        self.bar.stop()
