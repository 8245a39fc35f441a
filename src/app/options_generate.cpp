#include <charconv>
#include <cmath>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/option_groups.h"

namespace haikuda {

CLI::Validator number_in(double min, double max) {
  return {[=](std::string& text) -> std::string {
            double value = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), value);
            const bool is_number =
                error == std::errc{} && end == text.data() + text.size() && std::isfinite(value);
            if (is_number && value >= min && value <= max) return {};
            return fmt::format("'{}' is not a number from {} to {}", text, min, max);
          },
          ""};
}

CLI::Validator one_of(std::vector<std::string> values) {
  return {[values = std::move(values)](std::string& text) -> std::string {
            std::string all;
            for (const std::string& value : values) {
              if (value == text) return {};
              all += (all.empty() ? "" : ", ") + value;
            }
            return fmt::format("'{}' is none of {}", text, all);
          },
          ""};
}

void add_model_option(CLI::App& app, std::string& model) {
  app.add_option("-m,--model", model,
                 "GGUF file, or the name of a fetched model [the model inside]")
      ->type_name("FILE")
      ->group("Model");
}

void add_device_options(CLI::App& app, RawOptions& raw) {
  app.add_option("--device", raw.device, "Where to run: auto, cpu, cuda or cuda:N")
      ->type_name("auto|cpu|cuda|cuda:N")
      ->capture_default_str();
  app.add_option("-t,--threads", raw.options.n_threads, "Host threads; 0: one for each core")
      ->type_name("N")
      ->check(number_in(0, 1024))
      ->capture_default_str();
}

void add_chunk_options(CLI::App& app, RawOptions& raw) {
  app.add_option("-b,--batch-size", raw.options.batch,
                 "Tokens of a prompt before signals are looked at")
      ->type_name("N")
      ->check(number_in(1, 1e9))
      ->capture_default_str();
  app.add_option("--ubatch-size", raw.options.ubatch,
                 "Tokens of a prompt computed at once; 0: as the device likes")
      ->type_name("N")
      ->check(number_in(0, 65536))
      ->capture_default_str();
}

void add_hidden_device_options(CLI::App& app, RawOptions& raw) {
  app.option_defaults()->group("");
  app.add_option("--gpu-layers", raw.gpu_layers, "auto, all or 0")->type_name("auto|all|N");
  app.add_option("--main-gpu", raw.main_gpu, "As --device cuda:N")
      ->type_name("N")
      ->check(number_in(0, 1023));
  ModelOptions& o = raw.options;
  app.add_option("--flash-attn", o.flash_attention, "Refuse a device that does otherwise")
      ->type_name("on|off|auto")
      ->check(one_of({"on", "off", "auto", "1", "0"}));
  for (const auto& [name, type] :
       {std::pair("--cache-type-k", &o.cache_type_k), std::pair("--cache-type-v", &o.cache_type_v)})
    app.add_option(name, *type, "Refuse a device that caches another type")->type_name("TYPE");
  app.add_option("--override-kv", o.overrides, "KEY=TYPE:VALUE in place of the file's metadata")
      ->type_name("KEY=TYPE:VALUE")
      ->take_all()
      ->allow_extra_args(false);
  app.add_flag("--check-tensors", o.check_tensors, "Look at all weights before they are used");
}

void add_model_options(CLI::App& app, RawOptions& raw) {
  Options& o = raw.options;
  add_model_option(app, o.model);
  app.option_defaults()->group("Model");
  app.add_option("-c,--ctx-size", o.n_ctx,
                 "Context in tokens; 0: the model's own, as far as it fits")
      ->type_name("N")
      ->check(number_in(0, 1e9))
      ->capture_default_str();
  add_device_options(app, raw);
  add_chunk_options(app, raw);
  app.add_flag("--deterministic", o.deterministic,
               "Same bytes whatever -b and -ub say; the CPU gives them always");
  app.add_flag("--plan", o.plan, "Say what the run would need, from the header alone, and stop");
  add_hidden_device_options(app, raw);
  app.add_flag("--list-devices")->description("As the command devices");
  app.add_flag("--system-info")->description("The same, and how the program was built");
}

void add_prompt_options(CLI::App& app, RawOptions& raw) {
  PromptOptions& p = raw.options.prompt;
  app.option_defaults()->group("Prompt");
  app.add_option("request", p.request,
                 "A request, put through the model's chat template when it has one")
      ->type_name("REQUEST");
  app.add_option("-p,--prompt", raw.prompt, "Text to complete, as it stands; '-': stdin")
      ->type_name("TEXT");
  app.add_option("-f,--file", p.files, "The same from FILE, without its last newline; repeatable")
      ->type_name("FILE")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--binary-file", p.exact_files, "The same with its last newline (-bf)")
      ->type_name("FILE")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--stdin-sep", p.stdin_separator,
                 "Between stdin and -f, -p or a request [newline]")
      ->type_name("TEXT");
  app.add_flag("--lossy-utf8", p.lossy_utf8, "Read bytes that are not UTF-8 as U+FFFD");
  app.add_option("--system", raw.system, "System message; implies --chat")->type_name("TEXT");
  app.add_option("--system-file", p.system_file, "The same from FILE")->type_name("FILE");
  app.add_flag("--chat", raw.chat, "Put the text through the chat template");
  app.add_flag("--raw", raw.raw, "Complete the text as it stands, a request too");
  app.add_option("--chat-template", p.chat_template.source,
                 "Jinja template: a file, chatml, or one the model names")
      ->type_name("NAME|FILE");
  app.add_option("--chat-template-kwargs", p.chat_template.variables,
                 "Its variables: {\"enable_thinking\":false}")
      ->type_name("JSON");
  app.add_flag("-e,--escape", p.escapes, "Read \\n, \\t, \\xHH and the like in -p and --stdin-sep");
  app.add_flag("--no-stdin", p.no_stdin, "Do not read stdin, even when it is a pipe");
  app.add_option("--truncate", raw.truncate, "A prompt too long loses its head or its middle")
      ->type_name("no|head|middle")
      ->check(one_of({"no", "head", "middle"}))
      ->capture_default_str();
  app.add_flag("--print-prompt", p.print, "Show the prompt, as the model sees it, on stderr");
}

void add_generation_options(CLI::App& app, RawOptions& raw) {
  Options& o = raw.options;
  app.option_defaults()->group("Generation");
  app.add_option("-n,--predict,--n-predict", o.n_predict,
                 "Tokens to generate at most; -1: until the model ends")
      ->type_name("N")
      ->check(number_in(-2, 1e9))  // -2: until the context is full, which is where -1 ends too
      ->capture_default_str();
  app.add_option("-r,--stop,--reverse-prompt", o.stop,
                 "End before TEXT, which is not printed; repeatable")
      ->type_name("TEXT")
      ->take_all()
      ->allow_extra_args(false);
  app.add_flag("--stop-keep", o.keep_stop, "Print TEXT of --stop too");
  app.add_flag("--ignore-eos", o.ignore_eos, "Go on where the model would end");
  app.add_option("--timeout", o.timeout_s, "End after S seconds with exit code 124; 0: never")
      ->type_name("S")
      ->check(number_in(0, 1e9))
      ->capture_default_str();
  app.add_flag("--fail-on-length", o.fail_on_length,
               "Exit with 10 when -n or the context cut a text");
  app.add_option("--num-samples", o.n_samples,
                 "Several texts for one prompt, with seeds S, S+1 and so on")
      ->type_name("N")
      ->check(number_in(1, 1e6))
      ->capture_default_str();
}

void add_output_options(CLI::App& app, RawOptions& raw) {
  Options& o = raw.options;
  app.option_defaults()->group("Output");
  app.add_option("-o,--output", o.output.file, "Write to FILE instead of stdout")
      ->type_name("FILE");
  app.add_flag("--json", raw.json, "One JSON record a sample: text, tokens, reason, timings");
  app.add_flag("--jsonl", raw.jsonl, "A JSON line for each token, then the record");
  app.add_option("--logprobs", raw.n_logprobs,
                 "Log probabilities of each token and the K likeliest, in JSON")
      ->type_name("K")
      ->check(number_in(0, 1000));
  app.add_flag("--stream", o.output.stream, "Write each token at once to a pipe too");
  app.add_flag("--echo,--display-prompt", o.output.echo, "Write the prompt before the text");
  app.add_flag("--special", o.output.special, "Write special tokens too");
  app.add_option("--reasoning", raw.reasoning, "Where text in a leading <think> goes")
      ->type_name("stdout|stderr|hide")
      ->check(one_of({"stdout", "stderr", "hide"}))
      ->capture_default_str();
  app.add_flag("--stats", raw.stats, "The line of numbers on stderr, with --quiet too");
  app.add_flag("--no-stats", raw.no_stats, "No line of numbers on stderr");
  app.add_flag("-q,--quiet", o.quiet, "Nothing on stderr but errors");
  app.add_flag("-v,--verbose", o.verbose,
               "Say more on stderr: the model, and where each option came from");
  app.add_option("--color", raw.color, "Of errors")
      ->type_name("auto|on|off")
      ->check(one_of({"auto", "on", "off"}))
      ->group("");
}

}  // namespace haikuda
