#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/utf8.h"
#include "text/bpe_merges.h"
#include "text/tokenizer_queue.h"

namespace haikuda {
namespace {

// GPT-2's bytes_to_unicode: vocabularies write each byte as a printable character, which is itself
// where Latin-1 has one, and otherwise one of those from U+0100 on.
class ByteAlphabet {
 public:
  ByteAlphabet() {
    bytes_.fill(-1);
    char32_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      const char32_t c = printable ? b : next++;
      append_utf8(texts_[b], c);
      bytes_[c] = static_cast<int>(b);
    }
  }

  const std::string& text(unsigned char byte) const { return texts_[byte]; }
  // A text with any other character in it stands for itself, as in Hugging Face's ByteLevel.
  std::string decode(std::string_view text) const {
    std::string out;
    for (std::string_view rest = text; !rest.empty();) {
      const Utf8Char c = decode_utf8(rest);
      if (!c.valid || c.code_point >= bytes_.size() || bytes_[c.code_point] < 0)
        return std::string(text);
      out.push_back(static_cast<char>(bytes_[c.code_point]));
      rest.remove_prefix(static_cast<std::size_t>(c.length));
    }
    return out;
  }

 private:
  std::array<std::string, 256> texts_;
  std::array<int, 0x100 + 68> bytes_{};  // 68 bytes are not printable
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

// A token on its way to a longer one, in a list in the order of the text. Positions have 32 bits:
// Tokenizer::kMaxTextBytes.
struct Symbol {
  int id;  // -1: merged into its left neighbour
  std::uint32_t prev, next;
};
constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

struct Candidate {
  std::uint64_t order;    // rank above position: the lowest rank merges first, there the leftmost
  int left_id, right_id;  // what it was made for: stale when one of them has changed

  std::uint32_t left() const { return static_cast<std::uint32_t>(order); }
  bool operator<(const Candidate& other) const { return order < other.order; }
};

// Merges one word in O(n log n): each merge takes one symbol away and makes at most two candidates.
class WordMerger {
 public:
  explicit WordMerger(const BpeMerges& merges) : merges_(merges) {}

  void start() { symbols_.clear(); }
  void add(int id) {
    const auto i = static_cast<std::uint32_t>(symbols_.size());
    if (i > 0) symbols_.back().next = i;
    symbols_.push_back({id, i == 0 ? kNone : i - 1, kNone});
  }

  void finish(std::vector<int>& out) {
    queue_.clear();
    for (std::uint32_t i = 0; i + 1 < symbols_.size(); ++i)
      if (const auto candidate = candidate_at(i)) queue_.add(*candidate);
    queue_.start();
    while (const auto candidate = queue_.pop()) merge(*candidate);
    for (std::uint32_t i = symbols_.empty() ? kNone : 0; i != kNone; i = symbols_[i].next)
      out.push_back(symbols_[i].id);
  }

 private:
  // How the symbol at `left` merges with the one after it.
  std::optional<Candidate> candidate_at(std::uint32_t left) {
    if (left == kNone || symbols_[left].next == kNone) return std::nullopt;
    const int left_id = symbols_[left].id, right_id = symbols_[symbols_[left].next].id;
    const Merge merge = merges_.find(left_id, right_id);
    if (merge.merged < 0) return std::nullopt;
    return Candidate{std::uint64_t{merge.rank} << 32 | left, left_id, right_id};
  }

  void merge(const Candidate& c) {
    Symbol& left = symbols_[c.left()];
    if (left.id != c.left_id || left.next == kNone || symbols_[left.next].id != c.right_id) return;
    Symbol& right = symbols_[left.next];
    left.id = merges_.find(c.left_id, c.right_id).merged;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNone) symbols_[left.next].prev = c.left();
    for (const std::uint32_t i : {left.prev, c.left()})
      if (const auto candidate = candidate_at(i)) queue_.push(*candidate);
  }

  MergeCache merges_;
  std::vector<Symbol> symbols_;
  CandidateQueue<Candidate> queue_;
};

class BpeModel : public TokenizerModel {
 public:
  BpeModel(const Vocabulary& vocabulary, const Metadata& metadata, const PretokenizerSpec& spec)
      : vocabulary_(vocabulary),
        pretokenizer_(spec),
        ignore_merges_(spec.ignore_merges),
        merges_(vocabulary, metadata) {
    for (unsigned b = 0; b < 256; ++b)
      byte_ids_[b] =
          vocabulary.find_plain(byte_alphabet().text(static_cast<unsigned char>(b))).value_or(-1);
  }

  void encode(std::string_view text, std::vector<int>& out) const override {
    WordMerger merger(merges_);
    std::vector<std::string_view> words;
    while (!text.empty()) {
      const std::size_t valid = find_invalid_utf8(text).value_or(text.size());
      words.clear();
      if (valid > 0) pretokenizer_.split(text.substr(0, valid), words);
      for (const std::string_view word : words) encode_word(word, merger, out);
      if (valid < text.size()) encode_word(text.substr(valid, 1), merger, out);
      text.remove_prefix(std::min(valid + 1, text.size()));
    }
  }

  std::string decode(int id) const override { return byte_alphabet().decode(vocabulary_.text(id)); }

 private:
  void encode_word(std::string_view word, WordMerger& merger, std::vector<int>& out) const {
    if (ignore_merges_) {
      if (const auto id = find_word(word)) {
        out.push_back(*id);
        return;
      }
    }
    merger.start();
    for (const char c : word) {
      // A byte that the vocabulary lacks (SmolLM2 lacks some control characters) is dropped, as in
      // Hugging Face's tokenizers and llama.cpp.
      const int id = byte_ids_[static_cast<unsigned char>(c)];
      if (id >= 0) merger.add(id);
    }
    merger.finish(out);
  }

  std::optional<int> find_word(std::string_view word) const {
    if (word.size() > vocabulary_.max_text_bytes()) return std::nullopt;
    std::string text;
    for (const char c : word) text += byte_alphabet().text(static_cast<unsigned char>(c));
    return vocabulary_.find_plain(text);
  }

  const Vocabulary& vocabulary_;
  Pretokenizer pretokenizer_;
  bool ignore_merges_;
  BpeMerges merges_;
  std::array<int, 256> byte_ids_{};  // -1: no such token
};

}  // namespace

std::unique_ptr<TokenizerModel> make_bpe_model(const Vocabulary& vocabulary,
                                               const Metadata& metadata,
                                               const PretokenizerSpec& spec) {
  return std::make_unique<BpeModel>(vocabulary, metadata, spec);
}

}  // namespace haikuda
