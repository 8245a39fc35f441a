// The command line: names as people type them, sources and their order, rules between options.
#include "app/options.h"

#include <stdlib.h>

#include <string>
#include <vector>

#include "app/argv_shim.h"
#include "app/llama_names.h"
#include "app/metadata_overrides.h"
#include "app/model_sampling.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace haikuda::test {
namespace {

// Set for a scope; the tests run in one process.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

Request parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "haikuda");
  return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

// Without the configuration of whoever runs the tests.
Options generate_options(const std::vector<const char*>& arguments) {
  const Variable config("HAIKUDA_CONFIG", "");
  return std::get<Options>(parse(arguments));
}

std::string usage_error(const std::vector<const char*>& arguments) {
  const Variable config("HAIKUDA_CONFIG", "");
  const Error error = error_of([&] { parse(arguments); });
  CHECK(error.code() == ExitCode::usage);
  return error.what();
}

std::string origin_of(const Options& options, const std::string& name) {
  for (const Setting& s : options.settings)
    if (s.name == name) return s.origin;
  return "none";
}

TEST_CASE("options: llama.cpp's short names", "[app]") {
  CHECK(generate_options({"-p", "x", "-ngl", "0"}).device.kind == DeviceKind::cpu);
  CHECK(*generate_options({"-p", "x", "-ngl", "99"}).gpu_layers == 99);
  CHECK(*generate_options({"x", "-sys", "be brief"}).prompt.system == "be brief");
  CHECK(generate_options({"-p", "x", "-st"}).prompt.style == PromptStyle::chat);
  CHECK(generate_options({"x", "-no-cnv"}).prompt.style == PromptStyle::raw);
  CHECK(generate_options({"-p", "x", "-ub", "64"}).ubatch == 64);
  CHECK(generate_options({"-p", "x", "-mg", "2"}).device.index == 2);
  CHECK(generate_options({"-p", "x", "-dev", "CUDA1"}).device.index == 1);
  CHECK(generate_options({"-p", "x", "--jinja", "--no-warmup"}).prompt.prompt == "x");
}

TEST_CASE("options: what is traced", "[app]") {
  const Options o = generate_options({"-p", "x", "--trace", "t", "--trace-layers", "0-1,5",
                                      "--trace-stages", "q,logits", "--trace-values", "3"});
  CHECK(o.trace.file == "t");
  CHECK((o.trace.filter.layers.contains(5) && !o.trace.filter.layers.contains(2)));
  CHECK(o.trace.filter.positions.is_all());
  CHECK(o.trace.filter.stages.size() == 2);
  CHECK(o.trace.filter.n_values == 3);
  CHECK(o.trace.filter.heads.empty());
  CHECK(
      generate_options({"-p", "x", "--trace", "t", "--trace-values", "-1"}).trace.filter.n_values ==
      -1);
  CHECK_THAT(usage_error({"-p", "x", "--trace-stages", "q"}), contains_text("needs --trace"));
  CHECK_THAT(usage_error({"-p", "x", "--trace", ""}), contains_text("empty"));
}

TEST_CASE("options: what is not supported says so", "[app]") {
  CHECK_THAT(usage_error({"-p", "x", "-md", "d.gguf"}),
             contains_text("-md is not supported: there is no speculative"));
  CHECK_THAT(usage_error({"-p", "x", "--grammar", "g"}), contains_text("grammars"));
  CHECK_THAT(usage_error({"-p", "x", "-cnv"}), contains_text("--chat"));
  CHECK_THAT(usage_error({"-p", "x", "-fa", "maybe"}), contains_text("none of on, off"));
  CHECK_THAT(usage_error({"-p", "x", "-rea", "off"}), contains_text("enable_thinking"));
  CHECK_THAT(usage_error({"-p", "x", "--chat-template-kwargs", "[]"}),
             contains_text("JSON object"));
}

TEST_CASE("options: what is not supported passes where it asks for what is done anyway", "[app]") {
  CHECK(*generate_options({"--keep", "0", "-p", "x", "--parallel=1"}).prompt.prompt == "x");
  CHECK(*generate_options({"-sm", "none", "-np", "1", "-p", "x"}).prompt.prompt == "x");
  CHECK_THAT(usage_error({"-p", "x", "--keep", "1"}), contains_text("--keep is not supported"));
  CHECK_THAT(usage_error({"-p", "x", "--keep=4"}), contains_text("--keep is not supported"));
  CHECK_THAT(usage_error({"-p", "x", "--keep"}), contains_text("--keep is not supported"));
  CHECK_THAT(usage_error({"-p", "x", "-np", "4"}), contains_text("--num-samples"));
}

TEST_CASE("options: how a device is to compute is kept for when it is known", "[app]") {
  const Options o =
      generate_options({"-p", "x", "-fa", "on", "-ctk", "f16", "-ctv", "q8_0", "--override-kv",
                        "a=int:1", "--override-kv", "b=str:x=y:z", "--check-tensors"});
  CHECK((o.flash_attention == "on" && o.cache_type_k == "f16" && o.cache_type_v == "q8_0"));
  CHECK(o.overrides == std::vector<std::string>{"a=int:1", "b=str:x=y:z"});
  CHECK(o.check_tensors);
}

TEST_CASE("options: metadata in place of the file's", "[app]") {
  Metadata metadata("model.gguf");
  metadata.insert("a", {MetaType::string, {}, std::string("old")});
  const std::vector<std::string> overrides = {"a=int:-3", "b=str:x=y:z", "c=bool:true",
                                              "d=float:0.5"};
  apply_overrides(overrides, metadata);
  CHECK(metadata.get_int("a", -9, 9) == -3);
  CHECK(metadata.get_string("b") == "x=y:z");
  CHECK(*metadata.find_bool("c"));
  CHECK(metadata.get_float("d") == 0.5);
  CHECK(metadata.keys() == std::vector<std::string>{"a", "b", "c", "d"});
  const char* wrong =
      GENERATE("", "a", "a=", "a=int", "a=int:", "a=int:x", "=int:1", "a=bool:yes", "a=float:nan",
               "a=float:1e999", "a=text:x", "a=int:1.5", "a=str:\xff");
  CAPTURE(wrong);
  const std::vector<std::string> one = {wrong};
  CHECK(error_of([&] { apply_overrides(one, metadata); }).code() == ExitCode::usage);
}

TEST_CASE("options: spellings of one option", "[app]") {
  CHECK(generate_options({"-p", "x", "--top_k=7"}).sampler.top_k == 7);
  CHECK(generate_options({"-p", "x", "--n_predict", "5"}).n_predict == 5);
  CHECK(generate_options({"-p", "x", "-n5"}).n_predict == 5);
  CHECK(generate_options({"-p", "x", "-n-1"}).n_predict == -1);
  CHECK(generate_options({"-p", "x", "-qv"}).quiet);
  CHECK(generate_options({"-p", "x", "-qv"}).verbose);
}

TEST_CASE("options: a value is never touched", "[app]") {
  CHECK(*generate_options({"-p", "--no_such-flag"}).prompt.prompt == "--no_such-flag");
  CHECK(*generate_options({"-p", "--"}).prompt.prompt == "--");
  CHECK(*generate_options({"-p", "-ngl"}).prompt.prompt == "-ngl");
  CHECK(generate_options({"-p", ""}).prompt.prompt == "");
  CHECK(*generate_options({"--prompt=-a=b_c"}).prompt.prompt == "-a=b_c");
  CHECK(generate_options({"-p", "x", "--stop", "[INST]", "--stop", "[a,b]"}).stop ==
        std::vector<std::string>{"[INST]", "[a,b]"});
  CHECK(generate_options({"--", "-p is a flag"}).prompt.request == "-p is a flag");
  CHECK(generate_options({"-f", "a", "the request"}).prompt.request == "the request");
  CHECK(generate_options({"-f", "a", "-f", "b"}).prompt.files ==
        std::vector<std::string>{"a", "b"});
}

TEST_CASE("options: unknown names and the nearest one", "[app]") {
  CHECK_THAT(usage_error({"-p", "x", "--top_kk", "3"}),
             contains_text("unknown option --top-kk; did you mean --top-k?"));
  CHECK_THAT(usage_error({"-p", "x", "--temprature", "3"}),
             contains_text("did you mean --temperature?"));
  CHECK_THAT(usage_error({"-p", "x", "--xyzzy"}), contains_text("unknown option --xyzzy; see"));
  CHECK_THAT(usage_error({"-p", "x", "-Z"}), contains_text("unknown option -Z"));
  CHECK_THAT(usage_error({"-p=x"}), contains_text("--prompt=VALUE"));
  CHECK_THAT(usage_error({"-p"}), contains_text("--prompt needs a value"));
  CHECK_THAT(usage_error({"-p", "x", "--quiet=yes"}), contains_text("takes no value"));
  CHECK_THAT(usage_error({"two", "words"}), contains_text("quote"));
  CHECK_THAT(usage_error({"-m", "x.gguf", "info"}), contains_text("the command comes first"));
}

TEST_CASE("options: numbers are finite and in range", "[app]") {
  const char* value =
      GENERATE("nan", "inf", "-inf", "1e999", "", "1x", "0x10", " 1", "-0.5", "101");
  CAPTURE(value);
  CHECK_THAT(usage_error({"-p", "x", "--temp", value}), contains_text("--temp"));
}

TEST_CASE("options: a repeated scalar counts last, with a warning", "[app]") {
  const Options o = generate_options({"-p", "x", "--temp", "1", "--temperature", "0.5"});
  CHECK(o.sampler.temperature == 0.5);
  REQUIRE(o.warnings.size() == 1);
  CHECK_THAT(o.warnings[0], contains_text("--temp was given 2 times"));
}

TEST_CASE("options: flag before environment before config before default", "[app]") {
  const TempDir dir;
  const std::string path = dir.write(
      "config.ini", "temp = 0.1\ntop_k=11\nmin-p = 0.2\n# comment\n[tokenize]\nids = true\n");
  const Variable config("HAIKUDA_CONFIG", path), temp("HAIKUDA_TEMP", "0.3"),
      top_k("LLAMA_ARG_TOP_K", "12");
  const auto o = std::get<Options>(parse({"-p", "x", "--temp", "0.7"}));
  CHECK(o.sampler.temperature == 0.7);
  CHECK(o.sampler.top_k == 12);
  CHECK(o.sampler.min_p == 0.2);
  CHECK(o.sampler.top_p == 0.95);
  CHECK(origin_of(o, "--temp") == "flag");
  CHECK(origin_of(o, "--top-k") == "environment LLAMA_ARG_TOP_K");
  CHECK(origin_of(o, "--min-p") == "config " + path);
  CHECK(origin_of(o, "--top-p") == "default");
  CHECK(o.is_set("--min-p"));
  CHECK_FALSE(o.is_set("--top-p"));
  CHECK(std::get<TokenizeOptions>(parse({"tokenize", "x"})).ids_only);
}

TEST_CASE("model sampling: below everything the user has set", "[app]") {
  Metadata metadata("model.gguf");
  metadata.insert("general.sampling.temp", {MetaType::f32, MetaType::u8, 0.6});
  metadata.insert("general.sampling.top_k", {MetaType::i32, MetaType::u8, std::int64_t{20}});
  metadata.insert("general.sampling.sequence",
                  {MetaType::string, MetaType::u8, std::string("top_k;temperature")});
  Options o = generate_options({"-p", "x", "--top-k", "7"});
  apply_model_sampling(o, metadata);
  CHECK(o.sampler.temperature == 0.6);
  CHECK(o.sampler.top_k == 7);
  CHECK(format_samplers(o.sampler.samplers) == "top_k;temperature");
  CHECK(origin_of(o, "--temp") == "model general.sampling.temp");
  CHECK(origin_of(o, "--top-k") == "flag");
  CHECK(origin_of(o, "--min-p") == "default");
}

TEST_CASE("model sampling: a value that cannot be is refused", "[app]") {
  Metadata metadata("model.gguf");
  metadata.insert("general.sampling.top_p", {MetaType::f32, MetaType::u8, 7.0});
  Options o = generate_options({"-p", "x"});
  const Error error = error_of([&] { apply_model_sampling(o, metadata); });
  CHECK(error.code() == ExitCode::model_file);
  CHECK_THAT(error.what(), contains_text("general.sampling.top_p"));
}

TEST_CASE("options: a source that is wrong is named", "[app]") {
  const TempDir dir;
  const std::string bad_value = dir.write("value.ini", "temp = hot\n"),
                    bad_name = dir.write("name.ini", "tempo = 1\n");
  {
    const Variable config("HAIKUDA_CONFIG", bad_value);
    CHECK_THAT(error_of([] { parse({"-p", "x"}); }).what(), contains_text("value.ini"));
  }
  {
    const Variable config("HAIKUDA_CONFIG", bad_name);
    CHECK_THAT(error_of([] { parse({"-p", "x"}); }).what(), contains_text("'tempo' is no option"));
  }
  const Variable variable("HAIKUDA_IGNORE_EOS", "perhaps");
  CHECK_THAT(usage_error({"-p", "x"}), contains_text("HAIKUDA_IGNORE_EOS"));
  CHECK(error_of([] { parse({"-p", "x", "--config", "no-such.ini"}); }).code() == ExitCode::io);
}

TEST_CASE("options: a flag hides its alternatives of lower sources", "[app]") {
  const Variable config("HAIKUDA_CONFIG", ""), chat("HAIKUDA_CHAT", "1"),
      device("HAIKUDA_DEVICE", "cuda");
  CHECK(generate_options({"x", "--raw"}).prompt.style == PromptStyle::raw);
  CHECK(generate_options({"x", "-ngl", "0"}).device.kind == DeviceKind::cpu);
}

TEST_CASE("options: contradictions", "[app]") {
  CHECK_THAT(usage_error({"hello", "-p", "x"}), contains_text("not both"));
  CHECK_THAT(usage_error({"hello", "--raw", "--chat"}), contains_text("--raw"));
  CHECK_THAT(usage_error({"-p", "x", "--json", "--jsonl"}), contains_text("--jsonl"));
  CHECK_THAT(usage_error({"-p", "x", "--logprobs", "2"}), contains_text("--json"));
  CHECK_THAT(usage_error({"-p", "x", "--device", "cpu", "-ngl", "99"}),
             contains_text("contradicts"));
  CHECK_THAT(usage_error({"-p", "x", "--stop", ""}), contains_text("empty"));
  CHECK_THAT(usage_error({"-p", "x", "--samplers", "top_k;top_q"}), contains_text("top_q"));
}

TEST_CASE("options: no name of llama.cpp's is also one of ours", "[app]") {
  for (const char* name : {"-m", "-p", "-f", "-n", "-c", "-s", "-t", "-v", "-e", "-r", "-l",
                           "--device", "--stop", "--json"})
    CHECK(find_llama_name(name) == nullptr);
}

TEST_CASE("nearest_name: nothing is near to a long or a very different name", "[app]") {
  const std::vector<std::string> names = {"--temp", "--top-k", "-n"};
  CHECK(nearest_name("--tmp", names) == "--temp");
  CHECK(nearest_name("-x", names).empty());
  CHECK(nearest_name(std::string(100000, 'x'), names).empty());
}

}  // namespace
}  // namespace haikuda::test
