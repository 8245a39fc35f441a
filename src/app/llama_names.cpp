#include "app/llama_names.h"

#include <algorithm>
#include <array>

namespace haikuda {
namespace {

constexpr std::string_view kOneGpu =
    "a model is not spread over several GPUs; --device cuda:N chooses one";
constexpr std::string_view kNoGrammar = "output is not constrained by grammars or schemas";
constexpr std::string_view kNoSpeculation = "there is no speculative decoding";
constexpr std::string_view kNoPromptCache = "prompts are not cached in files";
constexpr std::string_view kMapped = "models are always memory-mapped";
constexpr std::string_view kNoDownload =
    "models are not downloaded; scripts/fetch_model.sh fetches known ones";
constexpr std::string_view kNoShift = "generation ends where the context does; -c sets its size";
constexpr std::string_view kFileRope = "RoPE is as the model's file says";
constexpr std::string_view kNotInteractive =
    "conversations are a command of their own, haikuda chat; --chat puts one request through the "
    "chat template";
constexpr std::string_view kNoLogs =
    "there are no logs; -v says more on stderr and 2>FILE keeps it";
constexpr std::string_view kOneSequence =
    "one sequence is decoded at a time; --num-samples N gives several in turn";
constexpr std::string_view kThinking =
    "thinking is as the chat template has it, --chat-template-kwargs "
    "'{\"enable_thinking\":false}'; "
    "--reasoning stderr or hide takes it out of the answer";
constexpr std::string_view kNoAdapters = "adapters are not supported";
constexpr std::string_view kMixture = "mixtures of experts are not supported";

// Names and arity of llama.cpp de3ff81, common/arg.cpp.
constexpr std::array kNames = {
    LlamaName{"-ngl", "--gpu-layers"},
    LlamaName{"-fa", "--flash-attn"},
    LlamaName{"-bf", "--binary-file"},
    LlamaName{"-sp", "--special"},
    LlamaName{"-sys", "--system"},
    LlamaName{"--system-prompt", "--system"},
    LlamaName{"-sysf", "--system-file"},
    LlamaName{"--system-prompt-file", "--system-file"},
    LlamaName{"-st", "--chat"},
    LlamaName{"--single-turn", "--chat"},
    LlamaName{"-no-cnv", "--raw"},
    LlamaName{"--no-conversation", "--raw"},
    LlamaName{"-ub", "--ubatch-size"},
    LlamaName{"-mg", "--main-gpu"},
    LlamaName{"-dev", "--device"},
    LlamaName{"--log-disable", "--quiet"},
    LlamaName{"--no-perf", "--no-stats"},
    LlamaName{"--verbose-prompt", "--print-prompt"},
    LlamaName{"--chat-template-file", "--chat-template"},
    LlamaName{"--n-gpu-layers", "--gpu-layers"},
    LlamaName{"--typical", "--typical-p"},
    LlamaName{"-pg", "--prompt-gen"},
    LlamaName{"--output", "--format"},
    LlamaName{"--jinja", ""},
    LlamaName{"--perf", ""},
    LlamaName{"--show-timings", ""},
    LlamaName{"--simple-io", ""},
    LlamaName{"--no-warmup", ""},
    LlamaName{"--no-escape", ""},
    LlamaName{"--no-display-prompt", ""},
    LlamaName{"--no-context-shift", ""},
    LlamaName{"--mmap", ""},
    LlamaName{"-cnv", kNotInteractive},
    LlamaName{"--conversation", kNotInteractive},
    LlamaName{"-i", kNotInteractive},
    LlamaName{"--interactive", kNotInteractive},
    LlamaName{"-if", kNotInteractive},
    LlamaName{"--interactive-first", kNotInteractive},
    LlamaName{"-ctk", "--cache-type-k"},
    LlamaName{"-ctv", "--cache-type-v"},
    LlamaName{"-co", "--color"},
    LlamaName{"-sm", kOneGpu, "none"},
    LlamaName{"--split-mode", kOneGpu, "none"},
    LlamaName{"-ts", kOneGpu},
    LlamaName{"--tensor-split", kOneGpu},
    LlamaName{"-ot", "a model lies on one device as a whole"},
    LlamaName{"--override-tensor", "a model lies on one device as a whole"},
    LlamaName{"-fit", "a context that does not fit is refused with the largest one that does"},
    LlamaName{"-tb", "prompts use as many threads as decoding; -t sets their number"},
    LlamaName{"--threads-batch", "prompts use as many threads as decoding; -t sets their number"},
    LlamaName{"-ncmoe", kMixture},
    LlamaName{"--n-cpu-moe", kMixture},
    LlamaName{"-cmoe", kMixture},
    LlamaName{"-np", kOneSequence, "1"},
    LlamaName{"--parallel", kOneSequence, "1"},
    LlamaName{"--grammar", kNoGrammar},
    LlamaName{"--grammar-file", kNoGrammar},
    LlamaName{"-j", kNoGrammar},
    LlamaName{"--json-schema", kNoGrammar},
    LlamaName{"-jf", kNoGrammar},
    LlamaName{"--json-schema-file", kNoGrammar},
    LlamaName{"--keep", kNoShift, "0"},
    LlamaName{"--context-shift", kNoShift},
    LlamaName{"--prompt-cache", kNoPromptCache},
    LlamaName{"--prompt-cache-all", kNoPromptCache},
    LlamaName{"--prompt-cache-ro", kNoPromptCache},
    LlamaName{"-md", kNoSpeculation},
    LlamaName{"--model-draft", kNoSpeculation},
    LlamaName{"--spec-type", kNoSpeculation},
    LlamaName{"--draft", kNoSpeculation},
    LlamaName{"--draft-max", kNoSpeculation},
    LlamaName{"--draft-min", kNoSpeculation},
    LlamaName{"--spec-draft-n-max", kNoSpeculation},
    LlamaName{"-hf", kNoDownload},
    LlamaName{"--hf-repo", kNoDownload},
    LlamaName{"-hff", kNoDownload},
    LlamaName{"--hf-file", kNoDownload},
    LlamaName{"-mu", kNoDownload},
    LlamaName{"--model-url", kNoDownload},
    LlamaName{"-dr", kNoDownload},
    LlamaName{"--no-mmap", kMapped},
    LlamaName{"--mlock", kMapped},
    LlamaName{"-lm", kMapped},
    LlamaName{"--load-mode", kMapped},
    LlamaName{"--numa", "memory is placed as the system decides; numactl changes that"},
    LlamaName{"--lora", kNoAdapters},
    LlamaName{"--lora-scaled", kNoAdapters},
    LlamaName{"--control-vector", kNoAdapters},
    LlamaName{"--rope-scaling", kFileRope},
    LlamaName{"--rope-scale", kFileRope},
    LlamaName{"--rope-freq-base", kFileRope},
    LlamaName{"--rope-freq-scale", kFileRope},
    LlamaName{"--log-colors", "--color"},
    LlamaName{"--log-file", kNoLogs},
    LlamaName{"-lv", kNoLogs},
    LlamaName{"--verbosity", kNoLogs},
    LlamaName{"--log-verbosity", kNoLogs},
    LlamaName{"-rea", kThinking},
    LlamaName{"--reasoning-effort", kThinking},
    LlamaName{"--reasoning-format", kThinking, "none"},
    LlamaName{"--reasoning-budget", kThinking, "-1"},
    LlamaName{"-gan", "self-extended attention is not supported"},
};

}  // namespace

const LlamaName* find_llama_name(std::string_view name) {
  const auto at = std::find_if(kNames.begin(), kNames.end(),
                               [&](const LlamaName& n) { return n.name == name; });
  return at == kNames.end() ? nullptr : &*at;
}

}  // namespace haikuda
