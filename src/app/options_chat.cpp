#include <algorithm>
#include <array>

#include <CLI/CLI.hpp>

#include "app/option_groups.h"

namespace haikuda {
namespace {

// The options of generate that concern every turn of a conversation; all samplers' are among them.
constexpr std::array kKept = {"--model",
                              "--ctx-size",
                              "--device",
                              "--threads",
                              "--batch-size",
                              "--ubatch-size",
                              "--gpu-layers",
                              "--main-gpu",
                              "--flash-attn",
                              "--cache-type-k",
                              "--cache-type-v",
                              "--override-kv",
                              "--check-tensors",
                              "--system",
                              "--system-file",
                              "--chat-template",
                              "--chat-template-kwargs",
                              "--reasoning",
                              "--color",
                              "--predict",
                              "--stop",
                              "--ignore-eos",
                              "--stream",
                              "--stats",
                              "--no-stats",
                              "--quiet",
                              "--verbose"};

bool is_kept(const CLI::Option& option) {
  return option.get_group() == "Sampling" ||
         std::any_of(kKept.begin(), kKept.end(),
                     [&](const char* name) { return option.check_lname(name + 2); });
}

}  // namespace

void add_chat_options(CLI::App& app, RawOptions& raw) {
  add_prompt_options(app, raw);
  add_model_options(app, raw);
  add_generation_options(app, raw);
  add_sampler_options(app, raw);
  add_output_options(app, raw);
  for (CLI::Option* option : app.get_options([](const CLI::Option* o) { return !is_kept(*o); }))
    app.remove_option(option);
  app.add_option("--history", raw.history, "Keep the lines typed in FILE")
      ->type_name("FILE")
      ->group("Prompt");
}

}  // namespace haikuda
