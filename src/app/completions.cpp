#include "app/completions.h"

#include <fmt/format.h>

#include "base/error.h"

namespace haikuda {
namespace {

bool is_listed(const OptionSpec& option) {
  return !option.is_positional() && !option.group.empty();
}

bool takes_file(const OptionSpec& option) {
  return option.value_name.find("FILE") != std::string::npos;
}

std::string joined(const std::vector<std::string>& words, const char* separator = " ") {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : separator) + word;
  return out;
}

std::string command_names(const ProgramSpec& program) {
  std::vector<std::string> names;
  for (const CommandSpec& c : program.commands)
    if (!c.name.empty()) names.push_back(c.name);
  return joined(names);
}

std::vector<std::string> listed_names(const CommandSpec& command) {
  std::vector<std::string> names;
  for (const OptionSpec& option : command.options)
    if (is_listed(option)) names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

// Inside single quotes of a shell.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return "'" + out + "'";
}

// --- bash ---

// case "$prev" in: what may follow an option.
std::string bash_values(const CommandSpec& command) {
  std::string out;
  for (const OptionSpec& option : command.options) {
    if (option.is_positional() || !option.takes_value()) continue;
    const std::string reply = !option.choices.empty()
                                  ? fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))",
                                                quoted(joined(option.choices)))
                              : takes_file(option) ? "COMPREPLY=($(compgen -f -- \"$cur\"))"
                                                   : "COMPREPLY=()";
    out += fmt::format("        {}) {}; return ;;\n", joined(option.names, "|"), reply);
  }
  return out;
}

std::string bash_command(const CommandSpec& command) {
  std::string words = joined(listed_names(command));
  for (const OptionSpec& option : command.options)
    if (option.is_positional())
      words += (option.choices.empty() ? "" : " ") + joined(option.choices);
  return fmt::format(
      "    {})\n"
      "      case \"$prev\" in\n{}      esac\n"
      "      COMPREPLY=($(compgen -W {} -- \"$cur\"))\n"
      "      [[ $cur == -* ]] || COMPREPLY+=($(compgen -f -- \"$cur\")) ;;\n",
      command.name.empty() ? "*" : command.name, bash_values(command), quoted(words));
}

std::string bash_script(const ProgramSpec& program) {
  std::string out =
      "# haikuda completions bash\n"
      "_haikuda() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  COMPREPLY=()\n"
      "  case \"${COMP_WORDS[1]}\" in\n";
  for (std::size_t i = 1; i < program.commands.size(); ++i)
    out += bash_command(program.commands[i]);
  out += bash_command(program.commands.front());
  out += fmt::format(
      "  esac\n"
      "  if ((COMP_CWORD == 1)); then COMPREPLY+=($(compgen -W {} -- \"$cur\")); fi\n"
      "}}\n"
      "complete -o filenames -F _haikuda haikuda\n",
      quoted(command_names(program)));
  return out;
}

// --- zsh ---

std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const OptionSpec& option) {
  if (!option.choices.empty()) return fmt::format("({})", joined(option.choices));
  // A blank shows what is expected; beside options that would keep them from being completed.
  return takes_file(option) || option.is_positional() ? "_files" : " ";
}

std::string zsh_command(const CommandSpec& command) {
  std::string out = "      _arguments";
  for (const OptionSpec& option : command.options) {
    if (option.is_positional()) {
      out += " \\\n        " +
             quoted(fmt::format("*:{}:{}", zsh_text(option.positional), zsh_action(option)));
      continue;
    }
    if (option.group.empty()) continue;
    for (const std::string& name : option.names) {
      std::string spec = fmt::format("*{}[{}]", name, zsh_text(option.description));
      if (option.takes_value())
        spec += fmt::format(":{}:{}", zsh_text(option.value_name), zsh_action(option));
      out += " \\\n        " + quoted(spec);
    }
  }
  return out + "\n";
}

std::string zsh_script(const ProgramSpec& program) {
  std::string out =
      "#compdef haikuda\n"
      "# haikuda completions zsh\n"
      "_haikuda() {\n";
  out += "  if ((CURRENT == 2)); then\n    local -a commands\n    commands=(";
  for (std::size_t i = 1; i < program.commands.size(); ++i)
    out += fmt::format("\n      {}", quoted(program.commands[i].name + ":" +
                                            zsh_text(program.commands[i].summary)));
  out += ")\n    _describe command commands\n  fi\n  case \"$words[2]\" in\n";
  for (std::size_t i = 1; i < program.commands.size(); ++i)
    out += fmt::format("    {})\n{}      ;;\n", program.commands[i].name,
                       zsh_command(program.commands[i]));
  out += fmt::format(
      "    *)\n{}      ;;\n  esac\n}}\n"
      // Loaded as a function of fpath, or sourced.
      "if [[ $funcstack[1] == _haikuda ]]; then _haikuda \"$@\"; else compdef _haikuda haikuda; "
      "fi\n",
      zsh_command(program.commands.front()));
  return out;
}

// --- fish ---

std::string fish_option(const OptionSpec& option, const std::string& condition) {
  std::string out = fmt::format("complete -c haikuda -n {}", quoted(condition));
  for (const std::string& name : option.names)
    out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  if (!option.choices.empty())
    out += " -x -a " + quoted(joined(option.choices));
  else if (option.takes_value())
    out += takes_file(option) ? " -r -F" : " -x";
  return out + " -d " + quoted(option.description) + "\n";
}

std::string fish_script(const ProgramSpec& program) {
  const std::string no_command = "not __fish_seen_subcommand_from " + command_names(program);
  std::string out = "# haikuda completions fish\n";
  for (const CommandSpec& command : program.commands) {
    if (!command.name.empty())
      out += fmt::format("complete -c haikuda -n __fish_is_first_token -a {} -d {}\n", command.name,
                         quoted(command.summary));
    const std::string condition =
        command.name.empty() ? no_command : "__fish_seen_subcommand_from " + command.name;
    for (const OptionSpec& option : command.options) {
      if (is_listed(option)) out += fish_option(option, condition);
      if (option.is_positional() && !option.choices.empty())
        out += fmt::format("complete -c haikuda -n {} -f -a {}\n", quoted(condition),
                           quoted(joined(option.choices)));
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const ProgramSpec& program, std::string_view shell) {
  if (shell == "bash") return bash_script(program);
  if (shell == "zsh") return zsh_script(program);
  HAIKUDA_CHECK(shell == "fish");
  return fish_script(program);
}

}  // namespace haikuda
