#include <array>
#include <fstream>

#include <fmt/format.h>

#include "app/check_vocabulary.h"
#include "app/commands.h"
#include "app/device.h"
#include "app/diagnosis_text.h"
#include "app/find_model.h"
#include "app/prompt.h"
#include "app/text_sink.h"
#include "app/version.h"
#include "app/terminal.h"
#include "base/printable.h"
#include "inspect/comparison.h"
#include "inspect/report.h"
#include "inspect/rules.h"
#include "text/tokenizer.h"

namespace haikuda {
namespace {

// A model on a device, ready for a few tokens.
struct Patient {
  std::unique_ptr<Backend> backend;
  bool is_half = false;
};

Patient load(const Model& model,
             ModelOptions options,
             int n_tokens,
             Process& process,
             bool half_cache = false) {
  options.n_ctx = std::max(n_tokens, kRepeats);
  Placement placement = place_model(model, options, process);
  placement.half_cache = half_cache;
  if (!placement.note.empty()) tell(fmt::format("haikuda: note: {}\n", placement.note));
  check_fits(placement);
  return {make_backend(model, options, placement, process), placement.cuda_device.has_value()};
}

bool is_model_file(const std::string& path) {
  std::array<char, 4> magic{};
  std::ifstream in(path, std::ios::binary);
  return in.read(magic.data(), magic.size()) && std::string_view(magic.data(), 4) == "GGUF";
}

// The same tokens on the CPU, of this model or of another one; half_cache: as a GPU's.
OtherRun run_on_cpu(const DiagnoseOptions& options,
                    const Model& mine,
                    const Examination& exam,
                    bool half_cache,
                    Process& process) {
  std::optional<Model> other;
  if (options.against != "cpu") {
    other.emplace(open_model(options.against));
    const ModelConfig &a = mine.config, &b = other->config;
    if (a.n_layers != b.n_layers || a.n_embd != b.n_embd || a.n_vocab != b.n_vocab)
      throw Error(ExitCode::usage,
                  fmt::format("--against: '{}' has another shape ({} layers of {}, {} tokens) than "
                              "this model ({} layers of {}, {} tokens)",
                              printable(options.against), b.n_layers, b.n_embd, b.n_vocab,
                              a.n_layers, a.n_embd, a.n_vocab));
  }
  ModelOptions cpu = options;
  cpu.device = {DeviceKind::cpu, 0};
  const Model& model = other ? *other : mine;
  const Patient patient = load(model, cpu, exam.n_tokens(), process, half_cache);
  const std::span<const int> tokens = exam.tokens;
  const auto n_prompt = static_cast<std::size_t>(exam.n_prompt);
  OtherRun out;
  out.name = other ? printable(options.against) : "the CPU";
  out.rows =
      examine(*patient.backend, model.config, tokens.first(n_prompt), 0, tokens.subspan(n_prompt))
          .run;
  return out;
}

GeneratedText text_of(const std::vector<int>& ids, const Tokenizer& tokenizer) {
  GeneratedText out;
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  for (const int id : ids) {
    if (vocabulary.is_end_of_generation(id)) break;  // what follows is no text of the model
    if (vocabulary.type(id) == TokenType::control) ++out.n_special;
    out.bytes += tokenizer.decode(id);
  }
  return out;
}

void write_report(const std::string& path, const std::string& html) {
  TextSink sink(path);
  sink.write(html);
  sink.finish();
}

}  // namespace

ExitCode run_diagnose(const DiagnoseOptions& options, Process& process) {
  process.start_device(options.device);
  const Model model(open_model(options.model));
  const auto tokenizer = Tokenizer::create(model.files.metadata);
  check_vocabulary(model, *tokenizer);
  check_below(options.report_layers, model.config.n_layers, "--report-layers", "layer");
  check_below(options.report_heads, model.config.n_heads, "--report-heads", "head");
  const bool against_trace =
      !options.against.empty() && options.against != "cpu" && !is_model_file(options.against);
  std::optional<OtherRun> other;
  if (against_trace) other = read_trace(options.against, model.config);
  const std::vector<int> prompt = other ? other->prompt : tokenizer->encode(options.prompt);
  if (prompt.empty()) throw Error(ExitCode::usage, "--prompt: the text has no token");
  const std::vector<int> continuation = other ? other->continuation : std::vector<int>{};
  const int n_decode = other ? static_cast<int>(continuation.size()) : options.n_decode;

  const Patient patient = load(model, options, static_cast<int>(prompt.size()) + n_decode, process);
  const Examination exam = examine(*patient.backend, model.config, prompt, n_decode, continuation);
  const Checkup checkup{model, exam, patient.is_half ? kHalfRounding : kExactRounding};
  Diagnosis diagnosis = diagnose(checkup, text_of(exam.generated, *tokenizer));
  DiagnosisFacts facts{model.files.name,
                       model.description(),
                       patient.backend->device_name(),
                       exam.n_prompt,
                       exam.n_tokens() - exam.n_prompt,
                       std::nullopt};
  if (!options.against.empty()) {
    if (!other) other = run_on_cpu(options, model, exam, patient.is_half, process);
    facts.comparison =
        compare_runs(model.config, exam.run, *other,
                     patient.is_half || other->is_half ? kHalfComparison : kExactComparison);
    diagnosis.add(facts.comparison->verdict());
  }
  if (!options.report.empty())
    write_report(options.report, html_report({model, exam, diagnosis, facts.comparison,
                                              facts.device, fmt::format("haikuda {}", kVersion),
                                              [&](int id) { return tokenizer->decode(id, true); },
                                              options.report_layers, options.report_heads}));
  TextSink sink;
  sink.write(options.json ? diagnosis_json(facts, diagnosis, sink.is_terminal())
                          : diagnosis_text(facts, diagnosis));
  sink.finish();
  return diagnosis.is_healthy() ? ExitCode::ok : ExitCode::check_failed;
}

}  // namespace haikuda
