// Models in several files that do not fit together.
#include <fmt/format.h>

#include "support/hostile_cases.h"

namespace haikuda::test {
namespace {

constexpr ExitCode kBad = ExitCode::model_file;

std::string shard_name(int number) {
  return fmt::format("model-{:05}-of-00002.gguf", number);
}

// The good model in two files: the second holds output_norm.weight.
struct Split {
  GgufWriter first = good_model(), second;

  Split() {
    second.add_raw_tensor(first.tensor("output_norm.weight"));
    first.erase_tensor("output_norm.weight");
    set(first, "split.no", std::uint16_t{0});
    set(second, "split.no", std::uint16_t{1});
    set(first, "split.tensors.count", std::int32_t{26});
    for (GgufWriter* w : {&first, &second}) set(*w, "split.count", std::uint16_t{2});
  }
  template <class T>
  static void set(GgufWriter& w, const std::string& key, T value) {
    w.erase(key).set(key, value);
  }
  HostileCase finish(const std::string& name,
                     std::optional<ExitCode> code,
                     const std::string& message) const {
    return {"63 " + name,
            {{shard_name(1), first.finish()}, {shard_name(2), second.finish()}},
            code,
            message,
            {}};
  }
};

// Of the two files, changed.
template <class Change>
HostileCase changed(const std::string& name,
                    Change change,
                    std::optional<ExitCode> code,
                    const std::string& message) {
  Split split;
  change(split);
  return split.finish(name, code, message);
}

}  // namespace

std::vector<HostileCase> hostile_shards() {
  std::vector<HostileCase> cases;
  const auto add = [&](const std::string& name, auto change, const std::string& message) {
    cases.push_back(changed(name, change, kBad, message));
  };
  cases.push_back(changed(
      "two shards", [](Split&) {}, std::nullopt, ""));
  cases.push_back(Split().finish("no second shard", kBad, shard_name(2)));
  cases.back().files.pop_back();
  cases.push_back(Split().finish("opened at the second", kBad, "is shard 2 of 2; open the first"));
  std::swap(cases.back().files[0], cases.back().files[1]);
  cases.push_back(Split().finish("second is no GGUF", kBad, shard_name(2) + ": not a GGUF file"));
  cases.back().files[1].bytes.assign(100, std::byte{'x'});
  cases.push_back(Split().finish("second is empty", kBad, "the file is empty"));
  cases.back().files[1].bytes.clear();
  cases.push_back(
      Split().finish("second is truncated", kBad, "tensor output_norm.weight: its data"));
  cases.back().files[1].bytes.resize(cases.back().files[1].bytes.size() - 33);
  cases.push_back(Split().finish("under another name", kBad, "NAME-00001-of-00002.gguf"));
  cases.back().files[0].name = "renamed.gguf";
  add(
      "split.no of another", [](Split& s) { s.set(s.second, "split.no", std::uint16_t{0}); },
      "key split.no: expected 1, got 0");
  add(
      "split.no as string", [](Split& s) { s.set(s.second, "split.no", "1"); },
      "key split.no: expected an integer, got string");
  add(
      "split.no -1", [](Split& s) { s.set(s.first, "split.no", std::int16_t{-1}); },
      "key split.no: expected 0 to 512, got -1");
  add(
      "no split.no", [](Split& s) { s.second.erase("split.no"); }, "key split.no: missing");
  add(
      "split.count 60000", [](Split& s) { s.set(s.first, "split.count", std::uint16_t{60000}); },
      "key split.count: expected 0 to 512, got 60000");
  add(
      "split.count 3 of 2", [](Split& s) { s.set(s.first, "split.count", std::uint16_t{3}); },
      "key split.count: the model has 3 shards");
  add(
      "split.count differs", [](Split& s) { s.set(s.second, "split.count", std::uint16_t{3}); },
      "key split.count: expected 2, got 3");
  add(
      "split.count as float", [](Split& s) { s.set(s.first, "split.count", 2.0f); },
      "key split.count: expected an integer, got f32");
  add(
      "split.count 0", [](Split& s) { s.set(s.first, "split.count", std::uint16_t{0}); },
      "tensor output_norm.weight is missing");
  add(
      "wrong number of tensors",
      [](Split& s) { s.set(s.first, "split.tensors.count", std::int32_t{2}); },
      "key split.tensors.count: expected 2 tensors over all shards, got 26");
  add(
      "a tensor in both",
      [](Split& s) { s.second.add_raw_tensor(s.first.tensor("blk.0.attn_q.bias")); },
      "tensor blk.0.attn_q.bias is in an earlier shard too");
  add(
      "tensor name with ESC",
      [](Split& s) { s.second.tensor("output_norm.weight").name = "\x1b[2J"; },
      "bad tensor name \"\\x1b[2J\"");
  return cases;
}

}  // namespace haikuda::test
