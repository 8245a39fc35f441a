#include <fmt/format.h>

#include "app/commands.h"
#include "app/find_model.h"
#include "app/json_text.h"
#include "app/prompt.h"
#include "app/text_sink.h"
#include "base/printable.h"

namespace haikuda {
namespace {

// "[1, 2, 3]", as llama-tokenize --ids.
std::string ids_line(const std::vector<int>& ids) {
  std::string out = "[";
  for (std::size_t i = 0; i < ids.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "" : ", ", ids[i]);
  return out + "]\n";
}

std::string tokens_json(const std::vector<int>& ids, const Tokenizer& tokenizer, bool ascii) {
  Json tokens = Json::array();
  for (const int id : ids) tokens.push_back(token_json(id, tokenizer));
  return dump_json({{"schema", kSchemaVersion},
                    {"count", ids.size()},
                    {"ids", ids},
                    {"tokens", std::move(tokens)}},
                   ascii);
}

// "  9707 -> 'Hello'", as llama-tokenize; a token's bytes need not be UTF-8.
std::string token_lines(const std::vector<int>& ids, const Tokenizer& tokenizer) {
  std::string out;
  for (const int id : ids) {
    const std::string bytes = tokenizer.decode(id, true);
    out += fmt::format("{:>6} -> '{}'\n", id, printable(bytes, bytes.size()));
  }
  return out;
}

}  // namespace

ExitCode run_tokenize(const TokenizeOptions& options) {
  const Prompt prompt = gather_prompt(options.prompt);
  const ModelFiles files = open_model(options.model);
  const auto tokenizer = Tokenizer::create(files.metadata);
  const std::vector<int> ids = tokenizer->encode(
      prompt.text, {.add_special = options.add_special, .parse_special = options.parse_special});
  TextSink sink;
  if (options.json)
    sink.write(tokens_json(ids, *tokenizer, sink.is_terminal()));
  else
    sink.write(options.ids_only ? ids_line(ids) : token_lines(ids, *tokenizer));
  if (options.show_count && !options.json)
    sink.write(fmt::format("Total number of tokens: {}\n", ids.size()));
  sink.finish();
  return ExitCode::ok;
}

}  // namespace haikuda
