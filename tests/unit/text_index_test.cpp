// Texts of an array, found by their content, and the merges that are kept as texts.
#include "text/text_index.h"

#include <string>
#include <vector>

#include "support/catch.h"
#include "support/random.h"
#include "text/bpe_merges.h"
#include "unit/tokenizer_support.h"

namespace haikuda::test {
namespace {

StringArray array_of(const std::vector<std::string>& texts) {
  StringArray out;
  for (const std::string& text : texts) out.push_back(text);
  return out;
}

TEST_CASE("text index: texts of every length are found, others are not", "[tokenizer]") {
  std::vector<std::string> texts = {""};
  for (std::size_t size = 1; size < 40; ++size)
    for (const char c : {'a', 'b'}) texts.push_back(std::string(size - 1, 'x') + c);
  for (const std::size_t n : {std::size_t{1}, std::size_t{2}, texts.size()}) {
    const StringArray array = array_of({texts.begin(), texts.begin() + static_cast<long>(n)});
    const TextIndex index(array);
    CHECK_FALSE(index.duplicate());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(n, i);
      const bool is_there = i > 0 && i < n;
      CHECK(index.find(array, texts[i]) == (is_there ? std::optional(i) : std::nullopt));
    }
  }
  CHECK_FALSE(TextIndex(StringArray()).find(StringArray(), "a"));
}

TEST_CASE("text index: of equal texts the first is found, and they are told", "[tokenizer]") {
  const StringArray array = array_of({"", "one", "", "two", "one", "two"});
  const TextIndex index(array);
  CHECK(index.find(array, "two") == 3);
  REQUIRE(index.duplicate());
  CHECK((index.duplicate()->first == 1 && index.duplicate()->again == 4));
}

TEST_CASE("string arrays: a copy is not changed with the original", "[gguf]") {
  StringArray a = array_of({"one"});
  const StringArray b = a;
  a.push_back("two");
  CHECK((a.size() == 2 && b.size() == 1));
  CHECK((a[0] == "one" && a[1] == "two" && b[0] == "one"));
}

TEST_CASE("merges: their texts part at the first blank", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  for (const char* token : {"b c", "a b", "ab c"}) toy.add(token);
  toy.merges = {"nothing", "a b c", "a b", "a b"};
  const Metadata metadata = toy.metadata();
  const Vocabulary vocabulary(metadata);
  const BpeMerges merges(vocabulary, metadata);
  std::string text;
  const auto find = [&](const char* left, const char* right) {
    return merges.find(*vocabulary.find(left), *vocabulary.find(right), text);
  };
  CHECK(find("a", "b").merged == vocabulary.find("ab").value_or(-1));
  CHECK(find("a", "b c").rank == 1);
  CHECK(find("a", "b c").merged == *vocabulary.find("ab c"));
  CHECK(find("a b", "c").merged == -1);
  CHECK(find("b", "a").merged == -1);
}

}  // namespace
}  // namespace haikuda::test
