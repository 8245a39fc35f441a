#include "app/help_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace haikuda {
namespace {

constexpr std::size_t kColumn = 30;  // where descriptions begin

bool is_listed(const OptionSpec& option) {
  return !option.is_positional() && !option.group.empty();
}

// "-n, --predict N"
std::string heading(const OptionSpec& option) {
  const std::string& canonical = option.canonical();
  const bool has_short = option.names.front() != canonical;
  std::string out = (has_short ? option.names.front() + ", " : "    ") + canonical;
  if (option.takes_value()) out += " " + option.value_name;
  return out;
}

std::string described(const OptionSpec& option) {
  return option.default_text.empty()
             ? option.description
             : fmt::format("{} [{}]", option.description, option.default_text);
}

std::vector<std::string> groups_of(const CommandSpec& command) {
  std::vector<std::string> groups;
  for (const OptionSpec& option : command.options)
    if (is_listed(option) && std::find(groups.begin(), groups.end(), option.group) == groups.end())
      groups.push_back(option.group);
  return groups;
}

std::string synopsis(const CommandSpec& command) {
  std::string out = "haikuda";
  if (!command.name.empty()) out += " " + command.name;
  out += " [options]";
  for (const OptionSpec& option : command.options)
    if (option.is_positional()) out += fmt::format(" [{}]", option.value_name);
  return out;
}

std::string indented(const std::string& text) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    out += "  " + text.substr(begin, end - begin);
    begin = end;
  }
  return out;
}

void add_options(std::string& out, const CommandSpec& command) {
  for (const std::string& group : groups_of(command)) {
    out += fmt::format("\n{}:\n", group);
    for (const OptionSpec& option : command.options) {
      if (!is_listed(option) || option.group != group) continue;
      const std::string left = "  " + heading(option);
      out += fmt::format("{:<{}}{}{}\n", left, kColumn, left.size() >= kColumn ? "  " : "",
                         described(option));
    }
  }
}

// --- roff ---

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool at_line_start = out.empty() || out.back() == '\n';
    if (at_line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out;
}

std::string names_of(const OptionSpec& option) {
  std::string out;
  for (const std::string& name : option.names)
    out += fmt::format("{}\\fB{}\\fR", out.empty() ? "" : ", ", escaped(name));
  if (option.takes_value()) out += fmt::format(" \\fI{}\\fR", escaped(option.value_name));
  return out;
}

void add_man_options(std::string& out, const CommandSpec& command) {
  for (const std::string& group : groups_of(command)) {
    out += fmt::format(".SS {}\n", group);
    for (const OptionSpec& option : command.options)
      if (is_listed(option) && option.group == group)
        out += fmt::format(".TP\n{}\n{}\n", names_of(option), escaped(described(option)));
  }
}

}  // namespace

std::string help_text(const ProgramSpec& program, const CommandSpec& command) {
  if (!command.name.empty()) {
    std::string out = fmt::format("{}: {}\n", synopsis(command), command.summary);
    add_options(out, command);
    return out;
  }
  std::string out = fmt::format("haikuda: {}\n{}{}\n", command.summary, indented(program.examples),
                                synopsis(command));
  for (const CommandSpec& c : program.commands)
    if (!c.name.empty())
      out += fmt::format("{:<{}}{}\n", "haikuda " + c.name + " --help", kColumn, c.summary);
  add_options(out, command);
  return out +
         "stdout carries the generated text alone. llama.cpp's options "
         "work as there or say why not.\n" +
         program.footer;
}

std::string man_page(const ProgramSpec& program) {
  const CommandSpec& generate = program.commands.front();
  std::string out = fmt::format(
      ".TH HAIKUDA 1 \"\" \"haikuda {}\" \"User Commands\"\n.SH NAME\nhaikuda \\- {}\n.SH "
      "SYNOPSIS\n",
      program.version, escaped(generate.summary));
  for (const CommandSpec& c : program.commands) out += escaped(synopsis(c)) + "\n.br\n";
  out +=
      ".SH DESCRIPTION\nWrites generated text to stdout and everything else to stderr.\n.SH "
      "EXAMPLES\n.nf\n" +
      escaped(program.examples) + ".fi\n.SH OPTIONS\n";
  add_man_options(out, generate);
  for (const CommandSpec& c : program.commands) {
    if (c.name.empty()) continue;
    out += fmt::format(".SH HAIKUDA {}\n{}\n", c.name, escaped(c.summary));
    add_man_options(out, c);
  }
  return out + ".SH NOTES\n" + escaped(program.footer);
}

}  // namespace haikuda
