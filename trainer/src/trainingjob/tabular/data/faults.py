"""How faults of columns are said."""


def listed(names: list[str]) -> str:
    """Names of columns for a message, cut where there are many."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
