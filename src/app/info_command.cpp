#include <fmt/format.h>

#include "app/commands.h"
#include "app/find_model.h"
#include "app/json_text.h"
#include "app/model_facts.h"
#include "app/text_sink.h"
#include "base/printable.h"
#include "gguf/model_files.h"

namespace haikuda {
namespace {

constexpr std::size_t kShownElems = 4;     // of an array
constexpr std::size_t kLongestValue = 80;  // characters of a value on a line

Json scalar_or_null(const std::optional<std::int64_t>& n) {
  return n ? Json(*n) : Json(nullptr);
}

// A number, boolean or string as it is; an array as its type, its length and its first elements.
Json value_json(const MetaValue& value) {
  return std::visit(
      [&](const auto& v) -> Json {
        if constexpr (requires {
                        v.size();
                        v[0];
                      } &&
                      !std::is_same_v<std::decay_t<decltype(v)>, std::string>) {
          Json first = Json::array();
          for (std::size_t i = 0; i < std::min(v.size(), kShownElems); ++i) {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::vector<bool>>)
              first.push_back(static_cast<bool>(v[i]));
            else
              first.push_back(v[i]);
          }
          return {{"array", meta_type_name(value.elem_type)},
                  {"length", v.size()},
                  {"first", std::move(first)}};
        } else {
          return v;
        }
      },
      value.value);
}

std::size_t header_bytes(const ModelFiles& files) {
  std::size_t n = 0;
  for (const auto header : files.headers) n += header.size();
  return n;
}

Json tensors_json(const std::vector<TensorView>& tensors) {
  Json out = Json::array();
  for (const TensorView& t : tensors)
    out.push_back({{"name", t.name},
                   {"type", dtype_name(t.dtype)},
                   {"shape", {t.rows, t.cols}},
                   {"bytes", t.bytes()}});
  return out;
}

Json info_json(const ModelFacts& f, const ModelFiles& files, const InfoOptions& options) {
  Json types = Json::array();
  for (const TypeShare& s : f.types)
    types.push_back({{"type", dtype_name(s.dtype)},
                     {"tensors", s.n_tensors},
                     {"elements", s.n_elems},
                     {"bytes", s.bytes}});
  const std::string* chat_template = files.metadata.find_string("tokenizer.chat_template");
  Json json = {{"schema", kSchemaVersion},
               {"file", f.file},
               {"bytes", f.file_bytes},
               {"header_bytes", header_bytes(files)},
               {"arch", f.architecture},
               {"name", f.name},
               {"quant", f.quant()},
               {"parameters", f.n_params},
               {"tensor_count", files.tensors.size()},
               {"types", types},
               {"context_length", scalar_or_null(f.n_ctx_train)},
               {"layers", scalar_or_null(f.n_layers)},
               {"embedding_length", scalar_or_null(f.n_embd)},
               {"vocabulary", scalar_or_null(f.n_vocab)},
               {"tokenizer", f.tokenizer},
               {"pre_tokenizer", f.pre_tokenizer},
               {"chat_template", chat_template == nullptr ? Json(nullptr) : Json(*chat_template)}};
  if (options.tensors) json["tensors"] = tensors_json(files.tensors);
  if (options.metadata)
    for (const std::string& key : files.metadata.keys())
      json["metadata"][key] = value_json(*files.metadata.find(key));
  return json;
}

std::string or_none(const std::string& text) {
  return text.empty() ? "none" : printable(text);
}
std::string or_none(const std::optional<std::int64_t>& n) {
  return n ? fmt::format("{}", *n) : "unknown";
}

std::string info_text(const ModelFacts& f, const ModelFiles& files, const InfoOptions& options) {
  std::string types;
  for (const TypeShare& s : f.types)
    types += fmt::format("{}{} {} ({} tensors)", types.empty() ? "" : ", ", dtype_name(s.dtype),
                         human_bytes(s.bytes), s.n_tensors);
  std::string out =
      fmt::format("file           {}, {}\n", printable(f.file), human_bytes(f.file_bytes));
  out += fmt::format("name           {}\narchitecture   {}\n", or_none(f.name),
                     or_none(f.architecture));
  out += fmt::format("parameters     {} in {} tensors\ntypes          {}\n",
                     human_count(f.n_params), files.tensors.size(), types.empty() ? "none" : types);
  out += fmt::format("context        {}\nlayers         {}\nembedding      {}\n",
                     or_none(f.n_ctx_train), or_none(f.n_layers), or_none(f.n_embd));
  out += fmt::format("tokenizer      {} {}, {} tokens\n", or_none(f.tokenizer),
                     printable(f.pre_tokenizer), or_none(f.n_vocab));
  out += fmt::format("chat template  {}\n", f.has_chat_template ? "yes" : "no");
  if (options.tensors)
    for (const TensorView& t : files.tensors)
      out += fmt::format("tensor  {:<7} {:>8} x {:<8} {}\n", dtype_name(t.dtype), t.rows, t.cols,
                         t.name);
  if (options.metadata)
    for (const std::string& key : files.metadata.keys())
      out += fmt::format("key  {} = {}\n", key,
                         printable(value_json(*files.metadata.find(key))
                                       .dump(-1, ' ', false, Json::error_handler_t::replace),
                                   kLongestValue));
  return out;
}

}  // namespace

ExitCode run_info(const InfoOptions& options) {
  const ModelFiles files = open_model(options.model);
  const ModelFacts facts = model_facts(files);
  TextSink sink;
  sink.write(options.json ? dump_json(info_json(facts, files, options), sink.is_terminal(), true)
                          : info_text(facts, files, options));
  sink.finish();
  return ExitCode::ok;
}

}  // namespace haikuda
