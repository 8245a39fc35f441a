// The Error that a call throws, for tests of messages and exit codes.
#pragma once

#include <utility>

#include "base/error.h"
#include "support/catch.h"

namespace haikuda::test {

// Fails the test when `call` does not throw an Error.
template <class Call>
Error error_of(Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (const Error& error) {
    return error;
  }
  FAIL("expected an Error, nothing was thrown");
  throw Error(ExitCode::internal, "not reached");
}

}  // namespace haikuda::test
