"""The edit distance between texts."""


def edits(one: str, other: str) -> int:
    """The Levenshtein distance: the fewest characters to insert, delete or replace to turn one text into the other."""
    before = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        line = [row]
        for column, right in enumerate(other, start=1):
            line.append(min(before[column] + 1, line[-1] + 1, before[column - 1] + (left != right)))
        before = line
    return before[-1]
