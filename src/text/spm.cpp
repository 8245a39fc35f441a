#include "text/spm.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/printable.h"
#include "base/utf8.h"
#include "text/tokenizer_queue.h"

namespace haikuda {
namespace {

constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";
constexpr std::string_view kSpace = "▁";  // U+2581, how pieces write a space

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (;;) {
    const std::size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

// The byte of "<0xNN>", strictly two hexadecimal digits.
std::optional<unsigned char> parse_byte(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || !text.ends_with('>')) return std::nullopt;
  unsigned value = 0;
  const char* end = text.data() + 5;
  const auto [stop, error] = std::from_chars(text.data() + 3, end, value, 16);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return static_cast<unsigned char>(value);
}

// A piece on its way to a longer one, in a list in the order of the text. Positions have 32 bits:
// Tokenizer::kMaxTextBytes.
struct Symbol {
  std::uint32_t begin, size;  // bytes of the text; size 0: merged into its left neighbour
  std::uint32_t prev, next;
  int id;  // -1: no piece
};
constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

struct Candidate {
  float score;
  std::uint32_t left;
  std::uint32_t size;  // of both: stale when one of them has changed
  int id;

  // The highest score merges first, there the leftmost.
  bool operator<(const Candidate& other) const {
    return score != other.score ? score > other.score : left < other.left;
  }
};

// Merges one text in O(n log n), as sentencepiece's bpe_model.cc.
class PieceMerger {
 public:
  PieceMerger(const Vocabulary& vocabulary, const std::vector<float>& scores, std::string_view text)
      : vocabulary_(vocabulary), scores_(scores), text_(text) {}

  const std::vector<Symbol>& run() {
    split_characters();
    for (std::uint32_t i = 0; i + 1 < symbols_.size(); ++i)
      if (const auto candidate = candidate_at(i)) queue_.add(*candidate);
    queue_.start();
    while (const auto candidate = queue_.pop()) merge(*candidate);
    return symbols_;
  }

 private:
  void split_characters() {
    for (std::uint32_t at = 0; at < text_.size();) {
      const auto size = static_cast<std::uint32_t>(decode_utf8(text_.substr(at)).length);
      const auto i = static_cast<std::uint32_t>(symbols_.size());
      if (i > 0) symbols_.back().next = i;
      const int id = vocabulary_.find_plain(text_.substr(at, size)).value_or(-1);
      symbols_.push_back({at, size, i == 0 ? kNone : i - 1, kNone, id});
      at += size;
    }
  }

  // The piece that the symbol at `left` makes with the one after it.
  std::optional<Candidate> candidate_at(std::uint32_t left) const {
    if (left == kNone || symbols_[left].next == kNone) return std::nullopt;
    const std::uint32_t size = symbols_[left].size + symbols_[symbols_[left].next].size;
    const auto id = vocabulary_.find_plain(text_.substr(symbols_[left].begin, size));
    if (!id) return std::nullopt;
    return Candidate{scores_[static_cast<std::size_t>(*id)], left, size, *id};
  }

  void merge(const Candidate& c) {
    Symbol& left = symbols_[c.left];
    if (left.size == 0 || left.next == kNone || left.size + symbols_[left.next].size != c.size)
      return;
    Symbol& right = symbols_[left.next];
    left.size = c.size;
    left.id = c.id;
    left.next = right.next;
    right.size = 0;
    if (left.next != kNone) symbols_[left.next].prev = c.left;
    for (const std::uint32_t i : {left.prev, c.left})
      if (const auto candidate = candidate_at(i)) queue_.push(*candidate);
  }

  const Vocabulary& vocabulary_;
  const std::vector<float>& scores_;
  std::string_view text_;
  std::vector<Symbol> symbols_;
  CandidateQueue<Candidate> queue_;
};

class SpmModel : public TokenizerModel {
 public:
  SpmModel(const Vocabulary& vocabulary, const Metadata& metadata) : vocabulary_(vocabulary) {
    read_scores(metadata);
    read_bytes(metadata);
  }

  void encode(std::string_view text, std::vector<int>& out) const override {
    const std::string escaped = replace_all(text, " ", kSpace);
    PieceMerger merger(vocabulary_, scores_, escaped);
    for (const Symbol& symbol : merger.run()) {
      if (symbol.size == 0) continue;
      if (symbol.id >= 0)
        out.push_back(symbol.id);
      else
        append_bytes(std::string_view(escaped).substr(symbol.begin, symbol.size), out);
    }
  }

  std::string decode(int id) const override {
    const std::string_view text = vocabulary_.text(id);
    if (vocabulary_.type(id) == TokenType::byte)
      return std::string(1, static_cast<char>(*parse_byte(text)));
    return replace_all(text, kSpace, " ");
  }

 private:
  void read_scores(const Metadata& metadata) {
    const std::vector<double>* scores = metadata.find_floats(kScoresKey);
    if (scores == nullptr) metadata.fail(kScoresKey, "missing; the file is incomplete");
    const auto n = static_cast<std::size_t>(vocabulary_.size());
    if (scores->size() < n)
      metadata.fail(kScoresKey,
                    fmt::format("expected {} elements, one per token, got {}", n, scores->size()));
    for (std::size_t i = 0; i < n; ++i) {
      if (std::isnan((*scores)[i]))
        metadata.fail(kScoresKey, fmt::format("element {} is not a number", i));
      scores_.push_back(static_cast<float>((*scores)[i]));
    }
  }

  void read_bytes(const Metadata& metadata) {
    byte_ids_.fill(-1);
    for (int id = 0; id < vocabulary_.size(); ++id) {
      if (vocabulary_.type(id) != TokenType::byte) continue;
      const auto byte = parse_byte(vocabulary_.text(id));
      if (!byte)
        metadata.fail("tokenizer.ggml.tokens",
                      fmt::format("byte token {} is \"{}\", expected <0xNN>", id,
                                  printable(vocabulary_.text(id))));
      byte_ids_[*byte] = id;
    }
    const bool all = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
    if (!all && !vocabulary_.unknown())
      metadata.fail("tokenizer.ggml.tokens",
                    "not every byte has a token, and there is no unknown token");
  }

  // A character that is no piece: its bytes, or the unknown token where one of them has none.
  void append_bytes(std::string_view character, std::vector<int>& out) const {
    const std::size_t before = out.size();
    for (const char c : character) {
      const int id = byte_ids_[static_cast<unsigned char>(c)];
      if (id < 0) {
        out.resize(before);
        out.push_back(vocabulary_.unknown().value());
        return;
      }
      out.push_back(id);
    }
  }

  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
  std::array<int, 256> byte_ids_{};  // -1: no such token
};

}  // namespace

std::unique_ptr<TokenizerModel> make_spm_model(const Vocabulary& vocabulary,
                                               const Metadata& metadata) {
  return std::make_unique<SpmModel>(vocabulary, metadata);
}

}  // namespace haikuda
