// Chat templates: programs of a stranger.
#include "support/hostile_cases.h"

namespace haikuda::test {
namespace {

constexpr const char* kKey = "tokenizer.chat_template";
constexpr ExitCode kRefused = ExitCode::unsupported;

std::string repeated(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

}  // namespace

std::vector<HostileCase> hostile_templates() {
  std::vector<HostileCase> cases;
  const auto add = [&](const std::string& name, const std::string& text,
                       std::optional<ExitCode> code, const std::string& message) {
    GgufWriter w = good_model();
    w.erase(kKey).set(kKey, text);
    cases.push_back(model_case("62 " + name, w, code, message));
  };
  const std::string where = "model.gguf: tokenizer.chat_template: line 1: ";
  add("range(10**9)", "{% for i in range(10**9) %}x{% endfor %}", kRefused, where + "range");
  add("endless recursion", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", kRefused,
      "macro 'f' calls itself too deeply");
  add("nested loops",
      "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", kRefused,
      "the template takes more than 500000 steps");
  add("doubling",
      "{% set n = namespace(s='x') %}{% for i in range(64) %}{% set n.s = n.s + n.s %}{% endfor %}",
      kRefused, "exceeds 16 MiB");
  add("repeated string", "{{ 'x' * 10**12 }}", kRefused, where);
  add("padded to 10**12", "{{ '%1000000000000d' % 1 }}", kRefused, where);
  add("a list that holds lists",
      "{% set n = namespace(l=[0]) %}{% for i in range(64) %}{% set n.l = n.l + n.l %}{% endfor %}",
      kRefused, where);
  add("unclosed block", "{% for x in messages", kRefused, where);
  add("unclosed comment", "{# no end", kRefused, where);
  add("10000 brackets", "{{ " + repeated("(", 10000) + " }}", kRefused, where);
  add("10000 nested ifs", repeated("{% if 1 %}", 10000), kRefused, where);
  add("10000 nots", "{{ " + repeated("not ", 10000) + "1 }}", kRefused, where);
  add("1 MiB and 1", std::string((std::size_t{1} << 20) + 1, ' '), kRefused,
      "tokenizer.chat_template");
  add("include", "{% include '/etc/passwd' %}", kRefused, where);
  add("import", "{% import 'os' as os %}", kRefused, where);
  add("reflection", "{{ ''.__class__.__mro__[1].__subclasses__() }}", kRefused, where);
  add("call of a string", "{{ 'system'('id') }}", kRefused, where);
  add("unknown filter with ESC", "{{ 'x' | upper\x1b[31m }}", kRefused, "\\x1b");
  add("division by zero", "{{ 1 // 0 }}", kRefused, where);
  add("modulo of the least integer", "{{ (-9223372036854775807 - 1) % -1 }}x", std::nullopt, "");
  add("integer overflow", "{{ 9223372036854775807 + 1 }}", kRefused, where);
  add("index out of range", "{{ messages[99].content }}", kRefused, where);
  add("invalid UTF-8", "\xff\xfe{{ messages[0].content }}", std::nullopt, "");
  add("NUL bytes", std::string("a\0b", 3), std::nullopt, "");
  add("raise_exception with ESC", "{{ raise_exception('no\x1b[2J') }}", ExitCode::usage,
      "the chat template refuses these messages: no\\x1b[2J");
  add("longer than the context", "{% for i in range(2000) %}xyz {% endfor %}",
      ExitCode::prompt_too_long, "the context holds 64");
  add("nothing", "", ExitCode::usage, "the prompt is empty");
  GgufWriter number = good_model();
  number.erase(kKey).set(kKey, 1u);
  cases.push_back(model_case("62 as u32", number, ExitCode::model_file,
                             "tokenizer.chat_template: expected a string, got u32"));
  GgufWriter claimed = good_model();
  claimed.erase(kKey);
  claimed.set_raw(kKey, 8, ByteWriter().put(std::uint64_t{100} << 20).bytes());
  cases.push_back(model_case("62 claims 100 MiB", claimed, ExitCode::model_file,
                             "tokenizer.chat_template: string of 104857600 bytes"));
  return cases;
}

}  // namespace haikuda::test
