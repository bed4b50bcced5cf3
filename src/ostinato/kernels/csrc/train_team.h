// The threads of a kernel, and how work is split. Each file's copy has internal linkage, since each is compiled for
// another instruction set.
#pragma once
#include "pool.h"
#include "train.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace ostinato::train {
namespace {

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

struct Range {
  int64_t begin, end;
};

// While it lives, denormal numbers are zero on this thread (helpers of the pool always have it so).
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
#elif defined(__aarch64__) && defined(__GNUC__)
  FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" ::"r"(saved_ | 1ull << 24));
  }
  ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" ::"r"(saved_)); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t saved_;
#endif
};

// The threads of one kernel call. What is computed never depends on how many there are: every sum has one order.
class Team {
 public:
  explicit Team(int64_t threads) : session_(int(threads)) {}

  // Calls work(slice) once for every slice in 0 .. slices-1, on whichever threads are free, and returns when all are done.
  template <class Work>
  void share(int64_t slices, const Work& work) {
    session_.share(slices, false, work);
  }

  // Calls work(range) for pieces of at most `piece` of 0 .. count-1.
  template <class Work>
  void share_ranges(int64_t count, int64_t piece, const Work& work) {
    share(ceil_div(count, piece), [&](int64_t i) { work(Range{i * piece, least((i + 1) * piece, count)}); });
  }

 private:
  Session session_;
  FlushDenormals flush_;
};

// Hands out pieces of one workspace, 64-byte aligned; with a null start it only counts.
class Arena {
 public:
  explicit Arena(void* start) : start_(static_cast<char*>(start)) {}
  template <class T>
  T* take(int64_t count) {
    char* piece = start_ ? start_ + used_ : nullptr;
    used_ += round_up(count * int64_t(sizeof(T)), 64) + 64;
    return reinterpret_cast<T*>(piece);
  }
  int64_t used() const { return used_; }

 private:
  char* start_;
  int64_t used_ = 0;
};

}  // namespace
}  // namespace ostinato::train
