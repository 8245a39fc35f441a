#!/usr/bin/python3
"""Renders the chat templates in tests/golden/chat_template with python3-jinja2, as Hugging Face does.

    scripts/make_template_goldens.py            write <template>.json and expressions.json beside the inputs
    scripts/make_template_goldens.py --tables   print src/text/jinja/unicode_tables.inc from this Python's str

Inputs: templates/*.jinja, message_sets.json, tools.json, expressions.txt, expression_variables.json.
The environment is the one of transformers' utils/chat_template_utils.py (_compile_jinja_template).
"""

import datetime
import json
import pathlib
import sys
import unicodedata

import jinja2
import jinja2.ext
import jinja2.sandbox

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "chat_template"
NOW = datetime.datetime(2025, 6, 15, 12, 34, 56)
NEWLINE = "⏎"  # stands for a line end in expressions.txt
SPECIAL_TOKENS = {  # bos and eos as in each model's tokenizer_config.json
    "HuggingFaceTB-SmolLM3-3B": ("", "<|im_end|>"),
    "Qwen-QwQ-32B": ("", "<|im_end|>"),
    "Qwen-Qwen2.5-7B-Instruct": ("", "<|im_end|>"),
    "Qwen-Qwen3-0.6B": ("", "<|im_end|>"),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "google-gemma-2-2b-it": ("<bos>", "<eos>"),
    "ibm-granite-granite-3.3-2B-Instruct": ("<|end_of_text|>", "<|end_of_text|>"),
    "meta-llama-Llama-3.1-8B-Instruct": ("<|begin_of_text|>", "<|eot_id|>"),
    "meta-llama-Llama-3.2-3B-Instruct": ("<|begin_of_text|>", "<|eot_id|>"),
    "microsoft-Phi-3.5-mini-instruct": ("<s>", "<|endoftext|>"),
    "mistralai-Mistral-Nemo-Instruct-2407": ("<s>", "</s>"),
}


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what the assistant wrote; here it only renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    return environment


def render(environment, source, variables):
    """{"text": …}, {"refused": message of raise_exception} or {"error": what jinja2 says}."""
    try:
        return {"text": environment.from_string(source).render(**variables)}
    except jinja2.exceptions.TemplateError as error:
        kind = "refused" if type(error) is jinja2.exceptions.TemplateError else "error"
        return {kind: str(error)}
    except Exception as error:  # jinja2 lets Python's own errors through
        return {"error": f"{type(error).__name__}: {error}"}


def load(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def save(name, value):
    text = json.dumps(value, ensure_ascii=False, indent=1)
    (FOLDER / name).write_text(text + "\n", encoding="utf-8")


def make_template_golden(environment, path, sets, tools):
    bos_token, eos_token = SPECIAL_TOKENS[path.stem]
    cases = []
    for entry in sets:
        for add_generation_prompt in (True, False):
            variables = {"messages": entry["messages"], "tools": tools.get(entry.get("tools")), "documents": None,
                         "add_generation_prompt": add_generation_prompt, "bos_token": bos_token,
                         "eos_token": eos_token, **entry.get("extra", {})}
            result = render(environment, path.read_text(encoding="utf-8"), variables)
            cases.append({"set": entry["name"], "add_generation_prompt": add_generation_prompt, **result})
    save(path.stem + ".json", {"template": path.name, "bos_token": bos_token, "eos_token": eos_token, "cases": cases})
    return cases


def make_expression_golden(environment):
    variables = load("expression_variables.json")
    cases = []
    for line in (FOLDER / "expressions.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("##"):
            source = line.replace(NEWLINE, "\n")
            cases.append({"template": source, **render(environment, source, variables)})
    save("expressions.json", cases)
    return cases


def case_ranges(convert):
    """[first, last, step, delta] of the characters that one character replaces."""
    ranges = []
    for code in range(0x80, 0x110000):
        to = convert(chr(code))
        if 0xD800 <= code < 0xE000 or len(to) != 1 or to == chr(code):
            continue
        delta = ord(to) - code
        if ranges:
            last = ranges[-1]
            gap = code - last[1]
            if last[3] == delta and (gap == last[2] or (last[0] == last[1] and gap in (1, 2))):
                last[1], last[2] = code, gap
                continue
        ranges.append([code, code, 1, delta])
    return ranges


def print_table(declaration, items):
    print(f"constexpr {declaration}[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) > 97:
            print(line)
            line = "   "
        line += f" {item},"
    print(line + "\n};")


def print_tables():
    print(f"// Made by scripts/make_template_goldens.py --tables with Unicode {unicodedata.unidata_version}.")
    for name, convert in (("kUpper", str.upper), ("kLower", str.lower)):
        print_table(f"CaseRange {name}", [f"{{0x{a:x}, 0x{b:x}, {s}, {d}}}" for a, b, s, d in case_ranges(convert)])
    escape = lambda text: "".join(c if c < "\x80" else f"\\u{ord(c):04x}" for c in text)
    long = [c for c in map(chr, range(0x80, 0x110000)) if len(c.upper()) > 1]
    print_table("LongCase kLongUpper", [f'{{0x{ord(c):x}, "{escape(c.upper())}"}}' for c in long])
    hidden = []
    for code in range(0x110000):
        if not chr(code).isprintable() and unicodedata.category(chr(code)) != "Cn":
            if hidden and hidden[-1][1] == code - 1:
                hidden[-1][1] = code
            else:
                hidden.append([code, code])
    print_table("CharRange kNotPrintable", [f"{{0x{a:x}, 0x{b:x}}}" for a, b in hidden])


def main():
    if "--tables" in sys.argv[1:]:
        return print_tables()
    environment = make_environment()
    sets, tools = load("message_sets.json"), load("tools.json")
    for path in sorted((FOLDER / "templates").glob("*.jinja")):
        cases = make_template_golden(environment, path, sets, tools)
        print(f"{path.stem}: {len(cases)} cases, {sum('text' in case for case in cases)} rendered")
    cases = make_expression_golden(environment)
    print(f"expressions: {len(cases)} cases, {sum('text' in case for case in cases)} rendered")
    print(f"jinja2 {jinja2.__version__}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
