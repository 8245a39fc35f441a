// What no test should take the time for.
#pragma once

#include "support/catch.h"

// A token of a real model takes ThreadSanitizer seconds; small models run the same code.
#ifdef __SANITIZE_THREAD__
#define HAIKUDA_SKIP_SLOW() \
  HAIKUDA_SKIP("ThreadSanitizer takes seconds for a token of a real model")
#else
#define HAIKUDA_SKIP_SLOW() static_cast<void>(0)
#endif
