#include "app/json_text.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "base/utf8.h"
#include "text/utf8_stream.h"

namespace haikuda {

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j) out += j <= n ? digits[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

void set_text(Json& object, std::string_view bytes) {
  if (!find_invalid_utf8(bytes)) {
    object["text"] = bytes;
    return;
  }
  Utf8Stream stream;
  const std::string text = stream.push(bytes);
  object["text"] = text + stream.flush();
  object["bytes"] = base64(bytes);
}

Json token_json(int id, const Tokenizer& tokenizer) {
  Json token = {{"id", id}};
  set_text(token, tokenizer.decode(id, true));
  return token;
}

Json parse_json_object(const std::string& text, const char* option) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    throw Error(ExitCode::usage,
                fmt::format("{}: '{}' is not a JSON object", option, printable(text)));
  return json;
}

std::string dump_json(const Json& json, bool ascii, bool indented) {
  return json.dump(indented ? 2 : -1, ' ', ascii, Json::error_handler_t::replace) + "\n";
}

}  // namespace haikuda
