"""The prompts of scripts/parity.py: English, Chinese, code, emoji, chat; 1 to 500 tokens."""
from dataclasses import dataclass, field

_STORY = (
    "The old lighthouse keeper climbed the stairs every evening at six, counting the steps as he had done for thirty "
    "years. There were one hundred and ninety-seven of them, and the last nine creaked. At the top he lit the lamp, "
    "opened his book, and listened to the wind. Some nights a ship would answer with three short blasts of its horn; "
    "most nights nobody answered at all. He did not mind. In the winter of 1962 a storm took the railing and half of "
    "the garden wall, and in the spring he built both again, stone by stone, with mortar that he mixed in a bucket. "
)
_ESSAY = (
    "A compiler translates a program from one language into another. It reads the source text, splits it into tokens, "
    "builds a tree, checks the types, and then writes instructions for a machine that the author may never see. Each "
    "stage throws something away: the comments first, then the names, then the shape of the loops. What remains is "
    "faster and says less. This is why a debugger needs a second file, which remembers what the first one forgot. "
)
_CODE = '''#include <cstdio>
#include <vector>

// Sum of squares of 1 ... n, the slow way.
template <typename T>
static T sum_of_squares(const std::vector<T>& values) {
\tT total = 0;
\tfor (const T& v : values) {
\t\ttotal += v * v;
\t}
\treturn total;
}

int main(int argc, char** argv) {
    std::vector<int> values = {1, 2, 3, 5, 8, 13, 21};
    std::printf("%d\\n", sum_of_squares(values));  // 713
    return 0;
}
'''


@dataclass
class Prompt:
    name: str
    text: str = ""
    messages: list = field(default_factory=list)  # instead of text: for the model's chat template
    max_tokens: int = 0  # the text is cut to at most so many tokens; 0: all


PROMPTS = [
    Prompt("one-token", "A"),
    Prompt("one-word", "Hello"),
    Prompt("capital", "The capital of France is"),
    Prompt("once", "Once upon a time, there was a little girl who"),
    Prompt("contractions", "I'll say it's what they've always DON'T-ed, we'RE sure he'd've known."),
    Prompt("numbers", "In 1969, 3.14159 times 42 was 131.94678; 1,000,000 is 10^6 and 0x7f is 127."),
    Prompt("spaces", "a  b   c    d\t\te \n f\n\n\ng   \n"),
    Prompt("leading-space", "   indented, and then some"),
    Prompt("punctuation", "\"Wait...\" — she said (softly): 'no?!' [§4.2] ~50% @home #1 a/b\\c <tag> {x} `y` €5 ½"),
    Prompt("accents", "Élève naïve à l'œuvre : où est le garçon ? Ñandú, Straße, Ærø, čeština."),
    Prompt("chinese", "中国的首都是北京，人口超过两千万。今天天气很好，我们去公园散步吧！"),
    Prompt("chinese-short", "你好"),
    Prompt("scripts", "Привет, мир! こんにちは世界。 안녕하세요 세계. مرحبا بالعالم שלום עולם नमस्ते दुनिया"),
    Prompt("emoji", "I love 🍕 and 🍣! 👩‍👩‍👧‍👦 went to 🇫🇷 with 👍🏽 and ❤️‍🔥."),
    Prompt("emoji-only", "😀😃😄😁"),
    Prompt("python", "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n    if n < 2:\n        return n\n"),
    Prompt("json", '{"name": "haikuda", "sizes": [1, 2, 3], "nested": {"ok": true, "none": null}}\n'),
    Prompt("sql", "SELECT u.id, COUNT(*) AS n FROM users u WHERE u.created_at >= '2024-01-01' GROUP BY u.id;"),
    Prompt("url", "See https://example.org/a/b?c=d&e=%20f#g or mail someone@example.org."),
    Prompt("chat", messages=[{"role": "user", "content": "What is the capital of France?"}]),
    Prompt("chat-system", messages=[{"role": "system", "content": "Answer in one word."},
                                    {"role": "user", "content": "2 + 2 = ?"}]),
    Prompt("chat-turns", messages=[{"role": "user", "content": "Hi! 你好 👋"},
                                   {"role": "assistant", "content": "Hello! How can I help?"},
                                   {"role": "user", "content": "Write a haiku about rain."}]),
    Prompt("code-100", _CODE, max_tokens=100),
    Prompt("essay-200", _ESSAY * 3, max_tokens=200),
    Prompt("story-500", _STORY * 6, max_tokens=500),
]
