"""The check of --intensity_range, before anything is imported or read."""


def check_range(given: tuple[float, ...] | None) -> None:
    """Raises ValueError unless a range is two numbers in order, or None."""
    if given is not None and not (len(given) == 2 and given[0] < given[1]):
        raise ValueError(
            "--intensity_range takes two numbers, black before white, as in -160,240; got "
            f"{','.join(f'{value:g}' for value in given)}"
        )
