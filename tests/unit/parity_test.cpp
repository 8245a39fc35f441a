// Tokenizer and CPU backend against Hugging Face's: the goldens of scripts/parity.py, see
// golden/parity/README.md.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/find_model.h"
#include "base/error.h"
#include "cpu/cpu_backend.h"
#include "model/model.h"
#include "support/catch.h"
#include "support/nmse.h"
#include "support/skip_slow.h"
#include "text/tokenizer.h"

namespace haikuda::test {
namespace {

constexpr double kNmseBar = 1e-6;

std::filesystem::path golden_folder() {
  return std::filesystem::path(HAIKUDA_TEST_DIR) / "golden" / "parity";
}

nlohmann::json read_golden(const std::string& name) {
  std::ifstream file(golden_folder() / (name + ".json"));
  return nlohmann::json::parse(file);
}

// Names of the goldens whose model lies beside them.
std::vector<std::string> small_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder()))
    if (entry.path().extension() == ".gguf") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Logits of transformers after the prompt and `i` tokens: the whole row, or the greatest as [id,
// logit].
void check_row(const nlohmann::json& prompt, int i, std::span<const float> logits) {
  const std::string key = std::to_string(i);
  CAPTURE(i);
  if (prompt["rows"].contains(key)) {
    const std::vector<float> got(logits.begin(), logits.end());
    REQUIRE_THAT(got, NmseBelow(prompt["rows"][key].get<std::vector<float>>(), kNmseBar));
  }
  if (!prompt["top"].contains(key)) return;
  std::vector<float> got, want;
  for (const auto& [id, logit] :
       prompt["top"][key].get<std::vector<std::pair<std::size_t, float>>>()) {
    got.push_back(logits[id]);
    want.push_back(logit);
  }
  REQUIRE_THAT(got, NmseBelow(want, kNmseBar));
}

void check_prompt(Backend& backend, const Tokenizer& tokenizer, const nlohmann::json& prompt) {
  CAPTURE(prompt["name"].get<std::string>());
  const auto ids = prompt["ids"].get<std::vector<int>>();
  const EncodeOptions options{.add_special = true,
                              .parse_special = prompt["parse_special"].get<bool>()};
  REQUIRE(tokenizer.encode(prompt["text"].get<std::string>(), options) == ids);

  const auto tokens = prompt["tokens"].get<std::vector<int>>();
  std::vector<int> greedy;
  backend.truncate(0);
  backend.append(ids);
  while (greedy.size() < tokens.size()) {
    check_row(prompt, static_cast<int>(greedy.size()), backend.logits());
    greedy.push_back(backend.argmax());
    backend.append({&greedy.back(), 1});
  }
  REQUIRE(greedy == tokens);
}

void check_golden(const nlohmann::json& golden, ModelFiles files) {
  const Model model(std::move(files));
  const auto tokenizer = Tokenizer::create(model.files.metadata);
  const auto backend = make_cpu_backend(model, {.n_ctx = 1024});
  for (const nlohmann::json& prompt : golden["prompts"]) check_prompt(*backend, *tokenizer, prompt);
}

// nullopt when nobody fetched it.
std::optional<ModelFiles> open_fetched(const std::string& name) {
  try {
    return open_model(name);
  } catch (const Error& error) {
    if (std::string(error.what()).find("no fetched model of that name") == std::string::npos) throw;
    return std::nullopt;
  }
}

}  // namespace

TEST_CASE("parity: small random models match transformers", "[parity][small]") {
  const std::vector<std::string> names = small_models();
  REQUIRE(names.size() >= 5);
  for (const std::string& name : names) {
    CAPTURE(name);
    check_golden(read_golden(name),
                 open_model_files((golden_folder() / (name + ".gguf")).string()));
  }
}

TEST_CASE("parity: the model inside the executable matches transformers", "[parity][small]") {
  const nlohmann::json golden = read_golden("haiku");
  REQUIRE(golden["prompts"].size() >= 20);
  check_golden(golden, open_model_files(HAIKUDA_TEST_DIR "/../src/app/haiku.gguf"));
}

TEST_CASE("parity: SmolLM2 matches transformers", "[parity][smollm2]") {
  HAIKUDA_SKIP_SLOW();
  auto files = open_fetched("smollm2-135m");
  if (!files) HAIKUDA_SKIP("scripts/fetch_model.sh smollm2-135m fetches the model");
  const nlohmann::json golden = read_golden("smollm2-135m");
  REQUIRE(golden["prompts"].size() >= 20);
  check_golden(golden, std::move(*files));
}

}  // namespace haikuda::test
