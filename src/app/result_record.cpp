#include "app/result_record.h"

#include <cmath>

#include <fmt/format.h>

#include "app/json_text.h"
#include "app/sampler_json.h"
#include "app/statistics.h"
#include "base/utf8.h"

namespace haikuda {
namespace {

double milliseconds(double seconds) {
  return std::round(seconds * 1e6) / 1e3;
}
double rate(int n, double seconds) {
  return seconds > 0 ? std::round(n / seconds * 100) / 100 : 0;
}

Json logprobs_json(const Logprobs& logprobs, const Tokenizer& tokenizer) {
  const auto one = [&](const TokenLogprob& p) {
    Json out = token_json(p.id, tokenizer);
    out["lp"] = p.logprob;
    return out;
  };
  Json out = one(logprobs.chosen);
  out["top"] = Json::array();
  for (const TokenLogprob& p : logprobs.top) out["top"].push_back(one(p));
  return out;
}

// Times between tokens; null for fewer than two.
Json itl_json(const std::vector<double>& token_s) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < token_s.size(); ++i) gaps.push_back(token_s[i] - token_s[i - 1]);
  if (gaps.empty()) return nullptr;
  const auto p = [&](double share) { return milliseconds(percentile(gaps, share)); };
  return {{"p50", p(0.50)}, {"p90", p(0.90)}, {"p99", p(0.99)}};
}

Json timings_json(const RunFacts& run, const GenerateResult& r) {
  Json ttft = nullptr;
  if (!r.token_s.empty()) ttft = milliseconds(r.prefill_s + r.token_s.front());
  return {{"load_ms", milliseconds(run.load_s)},
          {"prefill_ms", milliseconds(r.prefill_s)},
          {"ttft_ms", ttft},
          {"decode_ms", milliseconds(r.decode_s)},
          {"prompt_tps", rate(r.n_prompt, r.prefill_s)},
          {"gen_tps", rate(r.n_decoded, r.decode_s)},
          {"itl_ms", itl_json(r.token_s)}};
}

// The bytes of the tokens where they are no UTF-8, so that `text` has U+FFFD in their place.
void set_bytes(Json& record, const GenerateResult& r, const Tokenizer& tokenizer) {
  if (!r.stop.empty()) return;
  std::string bytes;
  bool at_start = false;
  for (const int id : r.tokens) bytes += tokenizer.decode_next(id, at_start);
  if (find_invalid_utf8(bytes)) record["bytes"] = base64(bytes);
}

}  // namespace

std::string result_line(const RunFacts& run,
                        const SampleFacts& sample,
                        const Tokenizer& tokenizer,
                        bool as_event,
                        bool ascii) {
  const GenerateResult& r = sample.result;
  Json record = Json::object();  // null that becomes an object cannot be destroyed without memory
  if (as_event) record["type"] = "result";
  record["schema"] = kSchemaVersion;
  record["id"] = fmt::format("{}-{}", run.id, sample.index);
  record["sample"] = sample.index;
  record["model"] = {{"file", run.model.file},
                     {"name", run.model.name},
                     {"arch", run.model.architecture},
                     {"quant", run.model.quant()},
                     {"sha_header", run.header_sha256}};
  record["device"] = run.device;
  record["n_ctx"] = run.n_ctx;
  record["prompt_tokens"] = r.n_prompt;
  record["tokens"] = r.tokens;
  record["text"] = sample.text;
  set_bytes(record, r, tokenizer);
  record["finish_reason"] = sample.finish_reason;
  if (sample.error != nullptr)
    record["error"] = {{"code", static_cast<int>(sample.error->code())},
                       {"message", sample.error->what()}};
  record["stop"] = r.stop.empty() ? Json(nullptr) : Json(r.stop);
  record["seed"] = sample.sampler.greedy() ? Json(nullptr) : Json(sample.sampler.seed);
  record["sampler"] = sampler_json(sample.sampler);
  if (!r.logprobs.empty()) {
    record["logprobs"] = Json::array();
    for (const Logprobs& l : r.logprobs) record["logprobs"].push_back(logprobs_json(l, tokenizer));
  } else {
    record["logprobs"] = nullptr;
  }
  record["timings"] = timings_json(run, r);
  record["vram_mib"] = run.on_gpu ? Json(run.device_bytes >> 20) : Json(nullptr);
  return dump_json(record, ascii);
}

std::string token_line(int sample,
                       const TokenEvent& event,
                       const Tokenizer& tokenizer,
                       bool ascii) {
  Json json = {{"type", "token"},
               {"sample", sample},
               {"index", event.index},
               {"id", event.id},
               {"text", event.text}};
  const std::string bytes = tokenizer.decode(event.id);
  if (find_invalid_utf8(bytes)) json["bytes"] = base64(bytes);
  if (event.logprobs != nullptr) json["logprobs"] = logprobs_json(*event.logprobs, tokenizer);
  return dump_json(json, ascii);
}

std::string rest_line(int sample, const std::string& text, bool ascii) {
  return dump_json({{"type", "text"}, {"sample", sample}, {"text", text}}, ascii);
}

}  // namespace haikuda
