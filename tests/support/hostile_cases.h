// Whole models, and the files around them, that are wrong in one way each, with the end a run owes:
// the corpus of the test "hostile", which gives every case to the executable. Files that the parser
// itself refuses are malformed_gguf.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/gguf_writer.h"

namespace haikuda::test {

struct HostileFile {
  std::string name;
  std::vector<std::byte> bytes;
};

struct HostileCase {
  std::string name;                    // begins with the row of the list of malformed files, if any
  std::vector<HostileFile> files;      // the first is the model
  std::optional<ExitCode> code;        // nullopt: it answers
  std::string message;                 // a part of the error's line: the field and what is wrong
  std::vector<std::string> arguments;  // of the run; "{dir}" is the folder of the files
};

// All of them; malformed_gguf_cases() come first.
std::vector<HostileCase> hostile_cases();

// The groups, each in a file of its own.
std::vector<HostileCase> hostile_configs();
std::vector<HostileCase> hostile_tensors();
std::vector<HostileCase> hostile_tokenizers();
std::vector<HostileCase> hostile_templates();
std::vector<HostileCase> hostile_shards();
std::vector<HostileCase> hostile_texts();

// A tiny model that answers, for a case to change.
GgufWriter good_model(const std::string& architecture = "qwen2");
// A case of one file, model.gguf.
HostileCase model_case(std::string name,
                       const GgufWriter& model,
                       std::optional<ExitCode> code,
                       std::string message);

}  // namespace haikuda::test
