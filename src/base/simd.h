// One function compiled for several x86-64 levels, the best one chosen when the program starts.
// Not for code whose result may change with the level: compile it with -ffp-contract=off.
#pragma once

#include <cstddef>  // defines __GLIBC__

// Needs ifunc (glibc) and GCC's target_clones; sanitizers run before ifuncs are resolved. `flatten`
// inlines what the function calls, so that the helpers are compiled for each level too.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                       \
    !defined(HAIKUDA_NO_SIMD_CLONES)
#define HAIKUDA_SIMD_CLONES \
  __attribute__((flatten, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HAIKUDA_SIMD_CLONES
#endif
