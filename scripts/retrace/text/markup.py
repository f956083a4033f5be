"""Text without its markup: what a chat model writes in Markdown, LaTeX or HTML, as plain lines.

Marks of the project's own stay what they are: `####`, `|` between steps, `<<3+4=7>>`.
"""

import html
import re
from collections.abc import Callable

_BOXED = re.compile(r"(-\s?)?\\(?:boxed|fbox)\s*\{")
_ANSWER_TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL)

_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:=[ \t]*){3,})$", re.MULTILINE)
_QUOTE = re.compile(r"^[ \t]*(?:>[ \t]?)+(?!>)", re.MULTILINE)
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,3}|#{5,6})[ \t]+(?=\S)|(?<![ \t])[ \t]+#{1,3}[ \t]*$", re.MULTILINE
)  # four are our own
_BULLET = re.compile(r"^[ \t]*[-*•+▪●◦‣➤►✓✔✅][ \t]+(?=\S)", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\((?:https?://|www\.)[^()\s]*\)")
_TAG = re.compile(
    r"(?<!<)</?(?:b|strong|i|em|u|p|br|code|pre|sup|sub|mark|span|div|ul|ol|li|h[1-6]|hr|center|small|s|del)\b[^<>\n]*>(?!>)",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"<\|[\w-]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn)>")  # a tokenizer's own
_ENTITY = re.compile(r"&(?:[A-Za-z]+|#\d+);")
_EMPHASIS = (
    re.compile(r"(?<![\w*\\])(\*{2,3})(?=[^\s*])(.+?)(?<=\S)\1(?!\*)"),
    re.compile(r"(?<![\w\\])(__)(?=[^\s_])(.+?)(?<=\S)\1(?!\w)"),
    re.compile(r"(?<![\w*)\]\\])(\*)(?=[^\s*])([^*\n]+?)(?<=[^\s*])\1(?![\w*(])"),
    re.compile(r"(?<![\w\\])(_)(?=[^\s_])([^_\n]+?)(?<=[^\s_])\1(?!\w)"),
    re.compile(r"(`{1,2})(?=\S)(.+?)(?<=\S)\1"),
)
_STRUCK = re.compile(r"~~(?=[^\s~])[^~\n]+(?<=\S)~~[ \t]?")  # what the writer took back
_LOOSE_BOLD = re.compile(r"(?<![\w)\]])\*\*(?!\*)|(?<!\*)\*\*(?![\w(\[])")
_POWER = re.compile(r"[\d)]\s*\*\*\s*[\d(]")

_WORDING = re.compile(
    r"\\(?:text|textbf|textit|textrm|texttt|textsf|textnormal|mathrm|mathbf|mathit|mathsf|mbox|operatorname|emph|underline"
    r"|boldsymbol|bm)\s*\{([^{}]*)\}"
)
_FRACTION = re.compile(
    r"(?P<whole>\d[ ]?)?\\[dt]?frac\s*(?:\{(?P<a>[^{}]*)\}\s*\{(?P<b>[^{}]*)\}|(?P<c>\d)\s*(?P<d>\d))"
)
_ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
# Formulas between dollars, told from money as pandoc does, and by what stands around them: `$18$`, not `$5 and $6`.
_MATH = re.compile(
    r"(?<![^\s(\[{:\"'*_>~-])\$(?=[^\s$])(?!\d[^$\\]*\s[A-Za-z]{3})((?:\\.|[^$\n\\<]|<(?!<))+?)(?<=\S)(?<!\\)\$(?![\w$<])"
)
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\[,!])(?=\d{3}(?!\d))")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[^{}]*\}(?:\{[^{}]*\})?")
_NEW_LINE = re.compile(r"\\\\(?:\[[\d.]+\s?[a-z]{2}\])?")
_COMMANDS = {
    "times": "*", "cdot": "*", "ast": "*", "div": "/", "approx": "≈", "leq": "<=", "le": "<=", "geq": ">=", "ge": ">=",
    "neq": "!=", "ne": "!=", "pm": "±", "ldots": "...", "dots": "...", "cdots": "...", "Rightarrow": "=>", "implies": "=>",
    "rightarrow": "->", "to": "->", "therefore": "so", "quad": " ", "qquad": " ", "left": "", "right": "", "big": "",
    "Big": "", "bigl": "", "bigr": "", "displaystyle": "", "hline": "", "bf": "", "it": "", "rm": "", "newline": "\n",
    "circ": "°", "sqrt": "sqrt", "limits": "", "nonumber": "",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
_BLANKS = re.compile(r"[ \t]{65,}")
_SIGN = re.compile(r"\\([\[\]()$%&#_{}])")
_SIMPLE = re.compile(r"-?[\w.,$]+")
_NESTED = 8  # levels of braces that are looked into


def open_boxes(text: str, shown: Callable[[str], str]) -> str:
    """The text with `shown(content)` in place of every `\\boxed{content}` and `<answer>content</answer>`."""
    parts, place = [], 0
    for found in _BOXED.finditer(text):
        if found.start() < place:
            continue  # a box in a box: the outer one counts
        end = _closing(text, found.end())
        parts += [text[place : found.start()], shown(f"{(found[1] or '').strip()}{text[found.end() : end].strip()}")]
        place = min(end + 1, len(text))
    parts.append(text[place:])
    return _ANSWER_TAG.sub(lambda match: shown(match[1].strip()), "".join(parts))


def _closing(text: str, start: int) -> int:
    """Where the brace that was opened before `start` is closed, or the line or the text ends."""
    depth = 1
    for place in range(start, len(text)):
        character = text[place]
        if character in "{}" and text[place - 1] != "\\":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return place
        if character == "\n" and depth == 1:
            return place
    return len(text)


def plain_text(text: str) -> str:
    """The text without marks of Markdown, LaTeX and HTML; its lines stay lines. Formulas become `3 * 6 = 18`, `1/2`."""
    text = text.replace("\r\n", "\n")
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "<" in text:
        text = _TOKEN.sub("", text)
        text = _TAG.sub(lambda match: "\n" if match[0].lower().startswith(("<br", "<p", "<li", "<div")) else "", text)
    if "\\" in text or "$" in text:
        text = _without_latex(text)
    text = short_blanks(text)
    for lines in (_FENCE, _RULE, _QUOTE, _HEADING, _BULLET):
        text = lines.sub("", text)
    text = _STRUCK.sub("", _LINK.sub(r"\1", text))
    for emphasis in _EMPHASIS:
        text = emphasis.sub(r"\2", text)
    if "**" in text and not _POWER.search(text):
        text = _LOOSE_BOLD.sub("", text)
    return short_blanks(text)


def short_blanks(text: str) -> str:
    """The text with 64 blanks in place of more, on which patterns of lines would spend the square of their number."""
    return _BLANKS.sub(" " * 64, text)


def _without_latex(text: str) -> str:
    text = open_boxes(text, lambda content: content) if "\\" in text else text
    text = _THOUSANDS.sub(",", text)
    for _ in range(_NESTED):
        before = text
        text = _WORDING.sub(r"\1", text)
        text = _FRACTION.sub(_fraction, text)
        text = _ROOT.sub(r"sqrt(\1)", text)
        if text == before:
            break
    text = _MATH.sub(r"\1", text).replace("$$", " ")
    if "\\" not in text:
        return text
    text = _ENVIRONMENT.sub("\n", text)
    text = re.sub(r"\\[\[\]()]", " ", text) if not _NEW_LINE.search(text) else _broken_lines(text)
    text = re.sub(r"&\s*(?==)", "", text)
    text = re.sub(r"\\[,;: ]", " ", text).replace("\\!", "")
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], match[1]), text)
    return _SIGN.sub(r"\1", text)


def _broken_lines(text: str) -> str:
    return re.sub(r"\\[\[\]()]", " ", _NEW_LINE.sub("\n", text))


def _fraction(match: re.Match[str]) -> str:
    above, below = ((match[one] if match[one] is not None else match[other]).strip() for one, other in ("ac", "bd"))
    whole = f"{match['whole'].strip()} " if match["whole"] else ""
    parts = (part if _SIMPLE.fullmatch(part) else f"({part})" for part in (above, below))
    return whole + "/".join(parts)
