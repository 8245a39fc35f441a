// Pieces that the JSON of several commands shares. Included in .cpp files alone, as nlohmann's
// header is large.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "text/tokenizer.h"

namespace haikuda {

using Json = nlohmann::ordered_json;

inline constexpr int kSchemaVersion = 1;  // of result.schema.json

std::string base64(std::string_view bytes);
// Sets "text", with U+FFFD for what is not UTF-8, and then "bytes" in base64 too.
void set_text(Json& object, std::string_view bytes);
// {"id", "text", "bytes"?}, special tokens as they are written.
Json token_json(int id, const Tokenizer& tokenizer);
// The object that an option's value is; throws Error(usage) when it is none.
Json parse_json_object(const std::string& text, const char* option);
// On one line, or indented; never throws. `ascii`: for a terminal, everything but ASCII is escaped.
std::string dump_json(const Json& json, bool ascii, bool indented = false);

}  // namespace haikuda
