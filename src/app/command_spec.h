// What the command line accepts, as plain data: made once from the definitions in options*.cpp, and
// read by the argv shim, --help, the man page and the shell completions, so that these cannot
// disagree.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace haikuda {

struct OptionSpec {
  std::vector<std::string> names;    // "-n", "--predict", "--n-predict"; empty for a positional
  std::string positional;            // what a positional is called
  std::string value_name;            // "N", "FILE"; empty for a flag
  std::vector<std::string> choices;  // when only these values are allowed
  std::string description, default_text;
  std::string group;  // heading in --help; empty: accepted but not listed
  bool repeatable = false;

  bool is_positional() const { return names.empty(); }
  bool takes_value() const { return !value_name.empty(); }
  // The long name, which the other names stand for.
  const std::string& canonical() const;
};

struct CommandSpec {
  std::string name;     // empty: the command without a name, generate
  std::string summary;  // one line
  std::vector<OptionSpec> options;

  // Any of its names; nullptr when there is none.
  const OptionSpec* find(std::string_view name) const;
};

struct ProgramSpec {
  std::string version, examples, footer;
  std::vector<CommandSpec> commands;  // the first one is generate

  const CommandSpec* find(std::string_view command) const;
};

}  // namespace haikuda
