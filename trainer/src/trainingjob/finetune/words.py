"""Members of the configuration that are one of some words, or true or false."""

from trainingjob.fields import Fields, invalid, nearest, shown


def one_of(fields: Fields, name: str, known: tuple[str, ...], default: str | None = None) -> str:
    """A member that is one of the known words."""
    word = fields.text(name, default)
    if word not in known:
        raise invalid(f'{fields.path(name)}: "{word}" is not known.{nearest(word, known)} Known: {", ".join(known)}')
    return word


def flag(fields: Fields, name: str, default: bool) -> bool:
    """A member that is true or false."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"{fields.path(name)}: must be true or false, not {shown(value)}")
    return value
