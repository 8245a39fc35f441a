#include <charconv>

#include <fmt/format.h>

#include "app/commands.h"
#include "app/find_model.h"
#include "app/json_text.h"
#include "app/prompt.h"
#include "app/text_sink.h"
#include "base/printable.h"

namespace haikuda {
namespace {

// What --ids and --json of tokenize write, and numbers between blanks and commas.
std::vector<std::int64_t> parse_ids(const std::string& text) {
  constexpr std::string_view kBlank = " \t\r\n,";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin != std::string::npos && (text[begin] == '[' || text[begin] == '{')) {
    const Json json = Json::parse(text, nullptr, false);
    const Json* ids = json.is_object() && json.contains("ids") ? &json["ids"] : &json;
    std::vector<std::int64_t> out;
    if (!ids->is_array())
      throw Error(ExitCode::io,
                  "the ids are neither a JSON array nor an object with an array \"ids\"");
    for (const Json& id : *ids) {
      if (!id.is_number_integer())
        throw Error(ExitCode::io, fmt::format("ids[{}] is no integer", out.size()));
      out.push_back(id.get<std::int64_t>());
    }
    return out;
  }
  std::vector<std::int64_t> out;
  for (std::size_t at = begin; at != std::string::npos; at = text.find_first_not_of(kBlank, at)) {
    const std::size_t end = std::min(text.find_first_of(kBlank, at), text.size());
    std::int64_t id = 0;
    const auto [rest, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc{} || rest != text.data() + end)
      throw Error(ExitCode::io,
                  fmt::format("'{}' is no token id", printable(text.substr(at, end - at), 40)));
    out.push_back(id);
    at = end;
  }
  return out;
}

std::vector<int> read_ids(const DetokenizeOptions& options, int n_vocab) {
  std::string text;
  for (const std::string& id : options.ids) text += id + " ";
  if (!options.file.empty() && !options.ids.empty())
    throw Error(ExitCode::usage, "give ids or -f FILE, not both");
  if (options.ids.empty()) text = read_input(options.file.empty() ? "-" : options.file, "the ids");
  std::vector<int> ids;
  for (const std::int64_t id : parse_ids(text)) {
    if (id < 0 || id >= n_vocab)
      throw Error(ExitCode::io, fmt::format("there is no token {}; the model's ids are 0 to {}", id,
                                            n_vocab - 1));
    ids.push_back(static_cast<int>(id));
  }
  return ids;
}

}  // namespace

ExitCode run_detokenize(const DetokenizeOptions& options) {
  const ModelFiles files = open_model(options.model);
  const auto tokenizer = Tokenizer::create(files.metadata);
  const std::vector<int> ids = read_ids(options, tokenizer->vocabulary().size());
  TextSink sink;
  sink.write(tokenizer->decode(ids, options.special));
  sink.finish();
  return ExitCode::ok;
}

}  // namespace haikuda
