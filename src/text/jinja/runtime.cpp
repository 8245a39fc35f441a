#include "text/jinja/runtime.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda::jinja {

void fail_at(std::string_view template_name, int line, std::string_view problem) {
  const std::string where = line > 0 ? fmt::format("line {}: ", line) : "";
  throw Error(ExitCode::unsupported,
              fmt::format("{}: {}{}", printable(template_name), where, problem));
}

void Runtime::refuse(std::string_view message) const {
  throw Error(ExitCode::usage,
              fmt::format("{}: line {}: the chat template refuses these messages: {}",
                          printable(template_name_), line, printable(message)));
}

void Runtime::fail_too_long() const {
  fail(fmt::format("the text exceeds {} MiB", kMaxTextBytes >> 20));
}

void Runtime::pay(std::size_t bytes) {
  paid_ += bytes;
  if (paid_ > kMaxSteps * kBytesPerStep)
    fail(fmt::format("the template takes more than {} steps", kMaxSteps));
}

void Runtime::append(Text& out, const Text& piece, std::size_t begin, std::size_t end) {
  make_room(out, end - begin);
  out.append(piece, begin, end);
}

void Runtime::append(Text& out, std::string_view bytes, bool from_input) {
  make_room(out, bytes.size());
  out.append(bytes, from_input);
}

void Runtime::make_room(const Text& out, std::size_t bytes) {
  constexpr std::size_t kPerAppend = 16;  // the cost of a call, in bytes
  pay(bytes + kPerAppend);
  if (out.size() + bytes > kMaxTextBytes) fail_too_long();
}

Value Runtime::text(Text text) {
  charge(text.size());
  if (text.size() > kMaxTextBytes) fail_too_long();
  return static_cast<const Text*>(&texts_.emplace_back(std::move(text)));
}

List* Runtime::list(std::vector<Value> items, List::Kind kind) {
  charge(items.size() * sizeof(Value));
  return &lists_.emplace_back(List{kind, std::move(items)});
}

Dict* Runtime::dict() {
  charge();
  return &dicts_.emplace_back();
}

}  // namespace haikuda::jinja
