// The Jinja interpreter through its only door, ChatTemplate: expressions against jinja2, limits,
// messages.
#include <ctime>
#include <fstream>
#include <sstream>

#include "support/catch.h"
#include "support/expect_error.h"
#include "text/chat_template.h"

namespace haikuda::test {
namespace {

using nlohmann::ordered_json;

ordered_json read_json(const std::string& name) {
  const std::string path = std::string(HAIKUDA_TEST_DIR) + "/golden/chat_template/" + name;
  std::ifstream file(path);
  INFO(path);
  REQUIRE(file.good());
  return ordered_json::parse(file);
}

std::string render(const std::string& source, const RenderOptions& options = {}) {
  std::string text;
  for (const TextPiece& piece : ChatTemplate(source, "t").render(ordered_json::array(), options))
    text += piece.text;
  return text;
}

std::string message_of(const std::string& source) {
  const Error error = error_of([&] { render(source); });
  CHECK(error.code() == ExitCode::unsupported);
  return error.what();
}

RenderOptions golden_options() {
  std::tm local{};
  local.tm_year = 125, local.tm_mon = 5, local.tm_mday = 15;
  local.tm_hour = 12, local.tm_min = 34, local.tm_sec = 56, local.tm_isdst = -1;
  RenderOptions options;
  options.extra = read_json("expression_variables.json");
  options.now = std::mktime(&local);
  return options;
}

TEST_CASE("jinja: expressions and statements give what jinja2 gives", "[text][template]") {
  const RenderOptions options = golden_options();
  const ordered_json cases = read_json("expressions.json");
  REQUIRE(cases.size() >= 250);
  for (const ordered_json& expected : cases) {
    CAPTURE(expected["template"]);
    if (expected.contains("text")) {
      CHECK(render(expected["template"], options) == expected["text"]);
    } else {
      const ExitCode code = error_of([&] { render(expected["template"], options); }).code();
      CHECK(code == (expected.contains("refused") ? ExitCode::usage : ExitCode::unsupported));
    }
  }
}

TEST_CASE("jinja: append and pop work, unlike in Hugging Face's sandbox", "[text][template]") {
  CHECK(
      render(
          "{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ l.pop() }}{{ l.pop(0) }}{{ l }}") ==
      "[1, 2]21[]");
  CHECK(
      render("{% set d = {'a': 1, 'b': 2} %}{{ d.pop('a') }}{{ d }}{{ d.pop('z', 3) }}{{ d.b }}") ==
      "1{'b': 2}32");
  CHECK(render("{% set l = [1, 2] %}{% for x in l %}{{ x }}{% if x == 1 %}{% set _ = l.append(9) "
               "%}{% endif %}"
               "{% endfor %}") == "129");
}

TEST_CASE("jinja: what is not supported is named with its line", "[text][template]") {
  const auto [source, construct] = GENERATE(table<std::string, std::string>({
      {"a\n{% include 'x' %}", "line 2: statement 'include'"},
      {"{% extends 'x' %}", "line 1: statement 'extends'"},
      {"{% block x %}{% endblock %}", "statement 'block'"},
      {"\n\n{% import 'x' as y %}", "line 3: statement 'import'"},
      {"{% from 'x' import y %}", "statement 'from'"},
      {"{% autoescape true %}{% endautoescape %}", "statement 'autoescape'"},
      {"{% do x %}", "statement 'do'"},
      {"{% trans %}x{% endtrans %}", "statement 'trans'"},
      {"{% for x in [] recursive %}{% endfor %}", "recursive loop"},
      {"\n{{ 'a' | xmlattr }}", "line 2: filter 'xmlattr'"},
      {"\n{{ 1 is foo }}", "line 2: test 'foo'"},
      {"{{ f(*x) }}", "'*' arguments"},
      {"{{ x[1, 2] }}", "a tuple as an index"},
      {"{{ 0x1f }}", "hexadecimal"},
      {"{{ 9223372036854775808 }}", "64 bits"},
      {"{{ 9223372036854775807 + 1 }}", "64 bits"},
      {"{{ -9223372036854775807 - 2 }}", "64 bits"},
      {"{{ 3037000500 * 3037000500 }}", "64 bits"},
      {"{{ 10 ** 19 }}", "64 bits"},
      {"{{ (-9223372036854775807 - 1) // -1 }}", "64 bits"},
      {"{{ 'a'\n.encode() }}", "line 2: 'str object' has no attribute 'encode'"},
      {"{{ ''.__class__.__mro__ }}", "no attribute '__class__'"},
      {"{{ cycler(1) }}", "'cycler' is undefined"},
      {"{{ '\\N{BULLET}' }}", "'\\N'"},
      {"{{ range(3) }}", "printing a 'range'"},
      {"{{ 'a' | map('upper') }}", "printing a 'generator'"},
  }));
  CAPTURE(source);
  CHECK_THAT(message_of(source), contains_text(construct));
}

std::string repeated(const std::string& text, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += text;
  return out;
}

std::string nested(const std::string& open, const std::string& inner, const std::string& close) {
  return "{{ " + repeated(open, 70000) + inner + repeated(close, 70000) + " }}";
}

// Each ends in a clean Error, and soon. The sources are built here because they are large.
TEST_CASE("jinja: a hostile template ends in an error, soon", "[text][template]") {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  const std::string loop = "{% for i in range(1000000) %}";
  const std::pair<std::string, std::string> cases[] = {
      {"{{ range(10 ** 9) }}", "range()"},
      {"{{ range(-9223372036854775807, 9223372036854775807, 1) }}", "range()"},
      {loop + loop + "{% endfor %}{% endfor %}", "steps"},
      {loop + "{{ range(1000000) | list | length }}{% endfor %}", "steps"},
      {"{% set ns = namespace(l=[]) %}" + loop + "{% set ns.l = ns.l + ns.l + [1] %}{% endfor %}",
       "steps"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deeply"},
      {"{% macro f(n) %}{{ f(n + 1) ~ f(n + 1) }}{% endmacro %}{{ f(0) }}", "too deeply"},
      {"{% macro f(x) %}{% call f(x) %}{{ caller() }}{% endcall %}{% endmacro %}{{ f(1) }}",
       "too deeply"},
      {"{{ 'a' * 10 ** 9 }}", "MiB"},
      {"{{ 'a' * 10 ** 18 }}", "MiB"},
      {"{{ [1] * 10 ** 12 }}", "steps"},
      {loop + repeated("x", 1000) + "{% endfor %}", "MiB"},
      {"{% set s = 'ab' * 8000000 %}{{ s.replace('a', s) }}", "MiB"},
      {"{% set s = 'ab' * 4000000 %}" + loop + "{% set x = s in s + 'c' %}{% endfor %}", "steps"},
      {"{% set s = 'a' * 8000000 %}{{ s.find('a' * 4000000 + 'b') }}{{ (s + 'c').rsplit('b' + 'a' "
       "* 4000000) | list }}" +
           loop + "{% set x = s.split('a') %}{% endfor %}",
       "steps"},
      {"{% set ns = namespace(x=[]) %}" + loop + "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
       "steps"},
      {"{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor "
       "%}{{ ns.x }}",
       "deeply"},
      {"{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor "
       "%}{{ ns.x | tojson }}",
       "deeply"},
      {"{% set ns = namespace(x=[], y=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% "
       "set ns.y = [ns.y] %}"
       "{% endfor %}{{ ns.x == ns.y }}",
       "deeply"},
      {"{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "deeply"},
      {"{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}", "deeply"},
      {"{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns }}", "deeply"},
      {"{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}", "steps"},
      {"{{ '%99999999999d' % 1 }}", "width"},
      {"{{ '{:999999999}'.format(1) }}", "width"},
      {"{{ 'x' | indent(9223372036854775807) }}", "MiB"},
      {"{{ [1] | tojson(indent=9223372036854775807) }}", "indent"},
      {repeated("{{", kMiB / 2), "'{{' without '}}'"},
      {nested("(", "1", ")"), "nested"},
      {nested("[", "1", "]"), "nested"},
      {nested("{1:", "1", "}"), "nested"},
      {nested("-", "1", ""), "nested"},
      {nested("not ", "1", ""), "nested"},
      {nested("f(", "1", ")"), "nested"},
      {nested("a[", "1", "]"), "nested"},
      {nested("a[:", "1", "]"), "nested"},
      {nested("a if b else ", "1", ""), "nested"},
      {nested("a is b(", "1", ")"), "nested"},
      {nested("a|b(c=", "1", ")"), "nested"},
      {nested("a is b [", "1", "]"), "nested"},
      {"{% for " + repeated("(", 100000) + "a" + repeated(",)", 100000) + " in x %}{% endfor %}",
       "nested"},
      {repeated("{% if 1 %}", 50000), "nested"},
      {repeated("{% for x in y %}", 50000), "nested"},
      {repeated("{% macro f() %}", 50000), "nested"},
      {"{{ 1" + repeated("+1", 400000) + " }}", "deeply"},
      {"{{ a" + repeated(".a", 400000) + " }}", "deeply"},
      {"{{ 1" + repeated("|d", 400000) + " }}", "deeply"},
      {"{{ 1" + repeated(" is odd", 100000) + " }}", "chained"},
      {"{{ 1" + repeated(" if 1", 100000) + " }}", "deeply"},
      {"{% set x" + repeated("|d", 400000) + " %}{% endset %}", "deeply"},
      {repeated("{% set x = 1 %}", kMiB / 15), ""},
      {repeated("{#", kMiB / 2), "comment"},
      {repeated("{% raw", kMiB / 6), "'%}'"},
      {"{% raw %}" + repeated("{%- ", kMiB / 4 - 3), "raw"},
      {repeated("{% raw %}{%", kMiB / 11), "raw"},
      {repeated("x", kMiB + 1), "bytes"},
      {"{% set l = namespace(x=[0]) %}" + loop +
           "{% set l.x = (l.x + l.x) | sort | unique | list %}{% endfor %}",
       "steps"},
  };
  for (const auto& [source, problem] : cases) {
    CAPTURE(source.substr(0, 120), source.size(), problem);
    const std::clock_t start = std::clock();  // the processor's time: others may be busy
    if (problem.empty()) {
      CHECK_NOTHROW(render(source));
    } else {
      CHECK_THAT(message_of(source), contains_text(problem));
    }
    CHECK(std::clock() - start < 20 * CLOCKS_PER_SEC);  // typically under one second
  }
}

TEST_CASE("jinja: hostile input to a plain template is handled as text", "[text][template]") {
  ordered_json deep = 1;
  for (int i = 0; i < 5000; ++i) deep = ordered_json::array({std::move(deep)});
  const auto error =
      error_of([&] { ChatTemplate("x", "t").render(ordered_json::array({deep}), {}); });
  CHECK(error.code() == ExitCode::unsupported);
  RenderOptions options;
  options.extra = {{"v", std::string("a\xff\xc3\0b\xe2\x82", 7)}, {"big", std::uint64_t{1} << 63}};
  CHECK_THAT(error_of([&] { render("x", options); }).what(), contains_text("64 bits"));
  options.extra.erase("big");
  CHECK(render("{{ v | length }}{{ v[::-1] | length }}{{ (v | upper)[-4:] | length }}{{ v.split() "
               "| length }}",
               options) == "7741");
  CHECK(render("{{ v }}", options) == std::string("a\xff\xc3\0b\xe2\x82", 7));
  CHECK(render("{{ v | tojson }}", options) == "\"a\xff\xc3\\u0000b\xe2\x82\"");
}

}  // namespace
}  // namespace haikuda::test
