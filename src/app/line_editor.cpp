// Line editing by libedit.
#include <histedit.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstring>
#include <langinfo.h>

#include <fmt/format.h>

#include "app/line_reader.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr int kHistoryLines = 1000;

// libedit cuts characters as the locale says; all texts here are UTF-8.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(::nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

class LineEditor : public LineReader {
 public:
  LineEditor(std::FILE* out, const std::string& history_file) : history_file_(history_file) {
    use_utf8();
    edit_ = ::el_init("haikuda", stdin, out, stderr);
    history_ = ::history_init();
    if (edit_ == nullptr || history_ == nullptr) {
      end();
      throw Error(ExitCode::internal, "line editing cannot be set up");
    }
    HistEvent event;
    ::history(history_, &event, H_SETSIZE, kHistoryLines);
    ::el_set(edit_, EL_CLIENTDATA, this);
    ::el_set(edit_, EL_PROMPT, &LineEditor::marker_of);
    ::el_set(edit_, EL_EDITOR, "emacs");
    ::el_set(edit_, EL_HIST, ::history, history_);
    ::el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    ::el_source(edit_, nullptr);  // ~/.editrc
  }
  ~LineEditor() override { end(); }
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  void load_history() {
    if (history_file_.empty()) return;
    std::FILE* file = std::fopen(history_file_.c_str(), "ae");  // whether it can be written
    if (file == nullptr) fail_history();
    std::fclose(file);
    HistEvent event;
    ::history(history_, &event, H_LOAD, history_file_.c_str());  // an empty file has no header yet
  }

  std::optional<std::string> read_line(const std::string& marker) override {
    marker_ = marker;
    ::el_resize(edit_);
    int n_bytes = 0;
    const char* line = nullptr;
    do {
      errno = 0;
      ::el_set(edit_, EL_PREP_TERM,
               1);  // before the marker: a Ctrl-D right after it is no end of file yet
      line = ::el_gets(edit_, &n_bytes);
    } while (line == nullptr && n_bytes < 0 && errno == EINTR);
    if (line == nullptr || n_bytes <= 0) return std::nullopt;
    std::string text(line, static_cast<std::size_t>(n_bytes));
    if (text.ends_with('\n')) text.pop_back();
    if (!text.empty()) remember(text);
    return text;
  }
  bool is_interactive() const override { return true; }

 private:
  static char* marker_of(EditLine* edit) {
    void* self = nullptr;
    ::el_get(edit, EL_CLIENTDATA, &self);
    return static_cast<LineEditor*>(self)->marker_.data();
  }

  // Saved at once, because Ctrl-C ends the program.
  void remember(const std::string& text) {
    HistEvent event;
    ::history(history_, &event, H_ENTER, text.c_str());
    if (history_file_.empty()) return;
    if (::history(history_, &event, H_SAVE, history_file_.c_str()) < 0) fail_history();
  }

  [[noreturn]] void fail_history() const {
    throw Error(ExitCode::io, fmt::format("cannot write the history '{}': {}",
                                          printable(history_file_), std::strerror(errno)));
  }

  void end() {
    if (history_ != nullptr) ::history_end(history_);
    if (edit_ != nullptr) ::el_end(edit_);
  }

  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
  std::string history_file_, marker_;
};

}  // namespace

std::unique_ptr<LineReader> make_line_editor(std::FILE* out, const std::string& history_file) {
  auto editor = std::make_unique<LineEditor>(out, history_file);
  editor->load_history();
  return editor;
}

}  // namespace haikuda
