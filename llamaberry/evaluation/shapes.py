"""The shapes of the rows of public datasets, as a question with its expected answer. Pure."""

import re
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from llamaberry.graph.notation import last_box

KNOWN = (
    '"question"/"answer", "problem"/"solution", "input"/"target", "instruction"/"output", '
    '"question"/"choices"/"answer" (an index, a letter or the text) or "answerKey"'
)
_OWN_KEYS = ("id", "checker", "tolerance")
_QUESTIONS = ("question", "question_stem", "problem", "instruction", "prompt", "input", "query", "ctx")
_ANSWERS = (
    *("answer", "answer_number", "final_answer", "target", "output", "solution", "completion", "response"),
    *("label", "expected"),
)
_CHOICES = ("choices", "options", "endings")
_CHOSEN = ("answerkey", "answer_idx", "answer_index", "correct", "label", *_ANSWERS, "correct_answer")
_SOLUTION_END = re.compile(r"^####[ \t]*+(\S.*)", re.MULTILINE)
_LETTERED = re.compile(r"\s*\(?([A-Za-z])(?:\)|[.:](?=\s|\d))\s*(.+)", re.DOTALL)


class _Choices:
    """The choices of a question: their texts, and the labels by which the row names them."""

    def __init__(self, raw: Any) -> None:
        self.raw: list[Any]
        self.labels: list[str] = []
        if isinstance(raw, dict) and isinstance(raw.get("text"), list):  # ARC, CommonsenseQA
            labels = raw.get("label")
            self.raw, self.labels = raw["text"], [str(label) for label in labels] if isinstance(labels, list) else []
        elif isinstance(raw, dict):  # {"A": "Rome", "B": "Paris"}
            self.raw, self.labels = list(raw.values()), list(raw)
        elif isinstance(raw, list) and raw and all(isinstance(item, dict) and "text" in item for item in raw):
            self.raw, self.labels = [item["text"] for item in raw], [str(item.get("label", "")) for item in raw]
        elif isinstance(raw, list):
            self.raw = raw
        else:
            raise ValueError(f"choices: {_short(repr(raw))} is neither a list nor an object")
        self.texts = [str(text).strip() for text in self.raw]
        lettered = [_LETTERED.fullmatch(text) for text in self.texts]
        if all(match and match[1].upper() == ascii_uppercase[i % 26] for i, match in enumerate(lettered)):
            self.texts = [match[2] for match in lettered if match]  # "A)21"
        if not 2 <= len(self.texts) <= len(ascii_uppercase):
            raise ValueError(f"choices: there are {len(self.texts)}: give 2 to {len(ascii_uppercase)}")
        if len(self.labels) != len(self.texts):
            self.labels = list(ascii_uppercase[: len(self.texts)])

    def position(self, answer: Any) -> int | None:
        """Return the index of the choice that a row's answer names: by its text, its label, or its index from 0."""
        if isinstance(answer, bool) or not isinstance(answer, str | int):
            return None
        if answer in self.raw:
            return self.raw.index(answer)
        if isinstance(answer, int):
            return answer if 0 <= answer < len(self.texts) else None
        name = answer.strip()
        label = name.strip("().: ").upper()
        if label in (labels := [label.upper() for label in self.labels]):
            return labels.index(label)
        if name.casefold() in (texts := [text.casefold() for text in self.texts]):
            return texts.index(name.casefold())
        if lettered := _LETTERED.fullmatch(name):
            return self.position(lettered[1])
        return int(name) if name.isascii() and name.isdigit() and int(name[:3]) < len(self.texts) else None

    def __str__(self) -> str:
        """Return the choices as lines with letters."""
        return "\n".join(f"{letter}) {text}" for letter, text in zip(ascii_uppercase, self.texts, strict=False))


def question_and_answer(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a public dataset as one with "question" and "answer"; other values stay as they are.

    The choices of a question are shown below it with letters, and the answer is the letter. Of a worked solution, the
    answer is what follows "####", or the last \\boxed{…}.

    Raises:
        ValueError: the row has no known shape; the message names its keys.
    """
    values = {key.casefold(): value for key, value in row.items()}
    if isinstance(values.get("question"), dict):  # {"question": {"stem": …, "choices": […]}, "answerKey": …}
        values |= {"question": values["question"].get("stem"), "choices": values["question"].get("choices")}
    scores = values.get("target_scores")  # {"Rome": 0, "Paris": 1}
    if isinstance(scores, dict) and all(isinstance(score, int | float) for score in scores.values()):
        values = {
            "choices": list(scores),
            "target": max(scores, key=lambda choice: scores[choice], default=None),
        } | values
    own = {key: row[key] for key in _OWN_KEYS if key in row}
    question = _question(values)
    answers = [values[key] for key in _ANSWERS if key in values]
    raw = next((values[key] for key in _CHOICES if values.get(key)), None)
    if raw is None and "a" in values and "b" in values:  # a column for each choice
        raw = {letter: values[letter] for letter in ascii_lowercase if letter in values}
    if raw is not None:
        choices = _Choices(raw)
        chosen = [_single(values[key]) for key in _CHOSEN if values.get(key) is not None]
        if not chosen:
            raise ValueError(_missing("answer", row))
        positions = [position for answer in chosen if (position := choices.position(answer)) is not None]
        if not positions:
            raise ValueError(f"answer: {_short(repr(chosen[0]))} is none of the choices")
        question = f"{question}\n{choices}" if isinstance(question, str) else question
        return {**own, "question": question, "answer": ascii_uppercase[positions[0]]}
    if not answers:
        raise ValueError(_missing("answer", row))
    answer = next((answer for answer in answers if answer is not None), None)
    if answer is not values.get("answer"):
        answer = _single(answer)
    return {**own, "question": question, "answer": _final(answer) if isinstance(answer, str) else answer}


def _question(values: dict[str, Any]) -> Any:
    key = next((key for key in _QUESTIONS if key in values), None)
    if key is None:
        raise ValueError(_missing("question", values))
    parts = [values[key]]
    if key == "instruction" and isinstance(values.get("input"), str):
        parts.append(values["input"])
    if key == "question" and isinstance(values.get("body"), str):
        parts.insert(0, values["body"])
    texts = [part.strip() for part in parts if isinstance(part, str)]
    return "\n\n".join(text for text in texts if text) if texts else parts[0]


def _final(answer: str) -> str:
    """Return the final answer of a worked solution; another answer as it is."""
    if ends := _SOLUTION_END.findall(answer):
        return str(ends[-1]).strip()
    box = last_box(answer)
    return answer if box is None else box.strip()


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _missing(what: str, row: dict[str, Any]) -> str:
    keys = ", ".join(f'"{key}"' for key in row) or "none"
    return f"no {what}: the keys of the row are {_short(keys, 200)}; the known shapes are {KNOWN}"


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
