// main() of the test executable.
#include "support/session.h"

int main(int argc, char** argv) {
  return haikuda::test::run_session(argc, argv);
}
