"""Whether an answer and what a program printed mean the same: in a table, as properties, and in linear time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamaberry.graph.agreement import agrees
from testing.linear import takes_linear_time

PROPERTY = settings(deadline=None, derandomize=True, max_examples=300)

EQUAL = {
    "the format of a number": [
        ("6.0", "6"), ("6", "6.0"), ("2.50", "2.5"), (".5", "0.5"), ("+5", "5"), ("-0", "0"), ("0.0", "0"),
        ("1e3", "1000"), ("100", "1e2"), ("1.5e3", "1500"), ("10^3", "1000"), ("10³", "1000"), ("10⁻²", "0.01"),
        ("2 × 10^3", "2000"), ("2.5 \\times 10^{3}", "2500"), ("3/4", "0.75"), ("3 / 4", "0.75"), ("-3/4", "-0.75"),
        ("1 1/2", "1.5"), ("2/4", "0.5"), ("1/3", "0.3333333333"), ("\\frac{3}{4}", "0.75"), ("4/2", "2"),
        ("\u22125", "-5"), ("–5", "-5"), ("minus 5", "-5"), ("negative 5", "-5"), ("0.30000000000000004", "0.3"),
        ("5 million", "5000000"), ("1.2 billion", "1200000000"), ("5k", "5000"), ("5 dozen", "60"),
        ("six", "6"), ("Three apples.", "3"), ("٤٢", "42"), ("４２", "42"),
    ],
    "thousands": [
        ("1,000,000", "1000000"), ("$1,000", "1000.00"), ("12,345.67", "12345.67"), ("₹1,00,000", "100000"),
        ("1\u202f000", "1000"), ("1\u00a0000", "1000"), ("1\u2009000", "1000"), ("1 000 000", "1000000"),
        ("1'000", "1000"), ("1,000.5", "1000.50"), ("It costs $1,000, in total.", "1000"),
    ],
    "a unit or a currency": [
        ("70 days", "70"), ("5kg", "5"), ("60 km per hour", "60"), ("42°", "42"), ("20 °C", "20"), ("42円", "42"),
        ("5 €", "5"), ("€5", "5"), ("£5.00", "5"), ("5 USD", "5"), ("USD 5", "5"), ("-$5", "-5"), ("$-5", "-5"),
        ("12", "12 apples"), ("12 apples", "12"), ("12 Pens", "12 pens."), ("2 apples", "2 apple"),
        ("The result is 12 pens.", "12 pens"), ("50%", "50"), ("50 %", "50%"), ("50 percent", "50%"),
        ("US$42", "42"), ("Rs.500", "500"), ("CHF 42", "42"), ("EUR42", "42"),
        ("25%", "25.0"), ("50 cents", "50"), ("3rd", "3"),
    ],
    "rounded to two or more decimals": [
        ("0.333", "0.3333333"), ("3.14", "3.141592653589793"), ("66.67%", "66.66666667"), ("2.67", "2.6666666"),
        ("$2.50", "2.4966"), ("2.67 km", "2.6666666"), ("1.23 million", "1234567.0"), ("0.00", "0.004"),
        ("≈ 3.14", "3.14159"),
    ],
    "markup and a sentence": [
        ("**42**", "42"), ("\\boxed{42}", "42"), ("$\\boxed{42}$", "42"), ("$42$", "42"), ("`42`", "42"),
        ("__42__", "42"), ("\\(x = 5\\)", "5"), ("5 \\text{ km}", "5"), ("x = 5", "5"), ("x=5", "5"),
        ("2 + 3 = 5", "5"), ("2^10 = 1024", "1024"), ("10! = 3,628,800", "3628800"), ("f(3) = 9", "9"),
        ("It is 5 km.", "5"), ("The answer is 42.", "42"), ("答案是42。", "42"), ("答案：42", "42"), ("5 (five)", "5"),
        ("5\n\nFive of them.", "5"), ("x = 6 = 6.0", "6"),
        ("答えは42です", "42"), ("- 5", "-5"), ("It is (5).", "5"), ("The answer is 42 because 7 times 6 is 42", "42"),
    ],
    "text": [
        ("Monday.", "monday"), ("PARIS", "Paris"), ("'Paris'", "Paris"), ("It is Monday", "Monday"),
        ("It's a Monday.", "Monday"), ("答案是星期一", "星期一"), ("ANSWER: B", "B"), ("The answer is B.", "B"),
        ("B", "ANSWER: B"), ("(B)", "B"), ("B)", "B"), ("B) Paris", "B"), ("B. Paris", "B"), ("Option B", "B"),
        ("Straße", "STRASSE"), ("5:30 pm", "5:30 PM"),
    ],
    "yes and no": [
        ("No", "False"), ("Yes", "True"), ("yes.", "True"), ("TRUE", "True"), ("**Yes**", "True"), ("no", "NO"),
        ("No, it is not.", "False"), ("Yes, because 7 is prime.", "Yes"), ("**No**, 9 is 3 x 3.", "No"),
        ("Correct.", "True"), ("False", "No"),
    ],
    "lists": [
        ("[1, 2, 3]", "1, 2, 3"), ("1, 2, 3", "[1, 2, 3]"), ("1 2 3", "1, 2, 3"), ("(1, 2)", "[1, 2]"),
        ("{1, 2}", "1, 2"), ("1, 2 and 3", "[1, 2, 3]"), ("['a', 'b']", "a, b"), ("a and b", "['a', 'b']"),
        ("100, 200, 300", "100 200 300"),
    ],
    "dates": [
        ("3 May 2025", "2025-05-03"), ("May 3, 2025", "2025-05-03"), ("3rd of May 2025", "2025-05-03"),
        ("Saturday, 3 May 2025", "2025-05-03"), ("2025-05-03", "2025-05-03 00:00:00"), ("Sept. 1, 2025", "2025-09-01"),
    ],
}  # fmt: skip

DIFFERENT = {
    "numbers": [
        ("5", "6"), ("-5", "5"), ("5", "-5"), ("1.5", "15"), ("1,5", "15"), ("1000", "1000000"), ("3/4", "4/3"),
        ("1e3", "1"), ("1e3", "3"), ("10^3", "10"), ("10^3", "3"), ("2 1/2", "2"), ("1/0", "0"), ("5²", "5"),
        ("2½", "2"), ("½", "1"), ("0x10", "10"), ("B5", "5"), ("x_5", "5"), ("v1.10", "1.1"), ("10.0.0.1", "10"),
        ("5 million", "5"), ("5k", "5"), ("2432902008176640001", "2432902008176640000"),
    ],
    "rounded too far": [
        ("3", "3.14"), ("3.1", "3.14"), ("0.333", "0.3343"), ("0.33", "0.34"), ("67", "66.67"), ("5.0", "5.04"),
        ("1000000", "1000000.4"), ("0.3333", "0.33"),
    ],
    "percent and units": [
        ("50%", "0.5"), ("0.5", "50%"), ("12 apples", "12 pears"), ("5 km", "5 m"), ("12 hours", "12 minutes"),
        ("5%", "5‰"), ("€5", "£5"),
    ],
    "several numbers": [
        ("5 or 6", "5"), ("5 to 6", "5"), ("5-6", "5"), ("5–6", "5"), ("x = 5 or x = 6", "6"), ("x = 5, y = 6", "6"),
        ("x = 5; y = 6", "6"), ("5 + 6", "11"), ("2 + 2", "4"), ("5 km (3.1 miles)", "3.1"), ("1:30", "1.5"),
    ],
    "a bound or a formula": [
        ("not 5", "5"), ("at least 5", "5"), ("at most 5", "5"), ("less than 5", "5"), ("> 5", "5"), ("x >= 5", "5"),
        ("≥ 5", "5"), ("±5", "5"), ("√2", "2"), ("\\sqrt{2}", "2"), ("log(2)", "2"), ("2π", "2"), ("2x", "2"),
        ("5!", "5"), ("10²", "10"),
        ("2^x", "2"), ("minus 5", "5"),
    ],
    "text": [
        ("Monday", "Tuesday"), ("A", "B"), ("ANSWER: A", "B"), ("A) B", "B"), ("A and B", "A"), ("Not B", "B"),
        ("B is wrong", "B"), ("选A", "B"),
        ("not prime", "prime"), ("x: 5", "x: 6"), ("x*y", "xy"), ("unknown", "None"), ("", ""), ("", "5"),
    ],
    "yes and no": [
        ("Yes", "False"), ("No", "True"), ("Yes", "No"), ("No solution", "False"), ("None", "No"), ("True", "1"),
        ("0", "False"), ("Yes and no", "True"), ("Not true", "True"),
    ],
    "lists": [
        ("[1, 2, 3]", "1, 2"), ("[1, 2, 3]", "3, 2, 1"), ("[1, 2]", "12"), ("a, b", "b"), ("1, 2", "1"),
        ("[-1, 2]", "[1, 2]"), ("3,5", "3 5"), ("3,5", "35"),
    ],
    "dates": [("2025-05-03", "2025-05-04"), ("3 May 2025", "2025-03-05"), ("2025-05-03", "2025"), ("May 2025", "5")],
}  # fmt: skip


def cases(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    return [
        pytest.param(*pair, id=f"{kind}: {pair[0]!r}, {pair[1]!r}") for kind, pairs in table.items() for pair in pairs
    ]


@pytest.mark.parametrize(("answer", "printed"), cases(EQUAL))
def test_an_answer_that_means_the_same_agrees(answer: str, printed: str) -> None:
    assert agrees(answer, printed)


@pytest.mark.parametrize(("answer", "printed"), cases(DIFFERENT))
def test_another_answer_does_not_agree(answer: str, printed: str) -> None:
    assert not agrees(answer, printed)


def test_no_answer_agrees_with_nothing() -> None:
    assert not any(agrees(*pair) for pair in ((None, "5"), ("5", None), (None, None)))


TEXTS = st.text(max_size=30) | st.lists(
    st.sampled_from(
        ["5", "-", "1,000", ".", "/", "=", "x", " ", "(", "[", "]", "e3", "10^", "%", "not ", "May 3, 2025"]
    ),
    max_size=8,
).map("".join)


@PROPERTY
@given(TEXTS, TEXTS)
def test_any_two_texts_can_be_compared(one: str, other: str) -> None:
    assert agrees(one, other) in (True, False)
    assert agrees(one, one) is bool(one)


@PROPERTY
@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_integers_agree_only_if_they_are_the_same(one: int, other: int) -> None:
    assert agrees(f"It is {one:,}.", str(other)) is (one == other)
    assert agrees(f"**{one}**", str(one))


@PROPERTY
@given(st.floats(-1e9, 1e9), st.integers(2, 8))
def test_a_float_agrees_with_its_rounding(value: float, places: int) -> None:
    assert agrees(f"{value:,.{places}f}", repr(value))


@pytest.mark.parametrize(
    "piece",
    ["1", "1,", "1,000", "1 000 ", "(", "[", "**", "_", "$", "= 5 ", "x = ", "1/", "\\boxed{", "' ", " ", "-", "not ",
     "yes ", "a. ", "10^", "may 1 ", "1 1/", "答案", "²", "\n", ".5"],
)  # fmt: skip
def test_a_long_text_is_compared_in_linear_time(piece: str) -> None:
    def compare(text: str) -> None:
        for one, other in ((text, "5"), ("5", text), (text[:2_000], "5"), ("5", text[:2_000]), (text, f"{text}x")):
            agrees(one, other)

    assert takes_linear_time(compare, piece)
