// A team of threads inside a kernel: its barrier, and how it splits work. Each file's copy has internal linkage, since
// each is compiled for another instruction set.
#pragma once
#include <sched.h>

#include <atomic>

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

// Threads meet here once a time step, so they spin; one whose partner is not running gives the core away.
class Barrier {
 public:
  void wait(int size) {
    const uint32_t turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == uint32_t(size)) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins < 20000) pause();
      else sched_yield();
    }
  }

 private:
  static void pause() {
#if defined(__SSE2__)
    _mm_pause();
#endif
  }
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> turn_{0};
};

struct Range {
  int64_t begin, end;
};

struct Team {
  int rank, size;
  Barrier* barrier;
  void wait() const {
    if (size > 1) barrier->wait(size);
  }
  Range share(int64_t count) const { return {count * rank / size, count * (rank + 1) / size}; }
};

// While it lives, denormal numbers are zero on this thread.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#endif
};

// Runs `work(team)` on the threads of a call.
template <class Work>
void run(int64_t threads, Work work) {
  struct Context {
    Work* work;
    Barrier barrier;
  } context{&work, {}};
  run_team(
      threads,
      [](void* given, int rank, int size) {
        FlushDenormals flush;
        Context& shared = *static_cast<Context*>(given);
        (*shared.work)(Team{rank, size, &shared.barrier});
      },
      &context);
}

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
