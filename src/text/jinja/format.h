// Python's two string formatters, for the conversions that templates use: [0][width][.precision]
// and one of s, r, d, i, f (after a colon in braces). Anything else is an Error.
#pragma once

#include "text/jinja/runtime.h"

namespace haikuda::jinja {

struct Args;

// format % value
Text format_percent(Runtime& runtime, const Text& format, const Value& value);
// format.format(*args, **kwargs)
Text format_braces(Runtime& runtime, const Text& format, const Args& args);

}  // namespace haikuda::jinja
