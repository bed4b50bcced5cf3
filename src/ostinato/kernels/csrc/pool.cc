#include "pool.h"

#if !defined(_WIN32)
#include <time.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "float_mode.h"

namespace ostinato {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
constexpr auto kLinger = microseconds(100);   // a helper without work looks for some this long, then sleeps
constexpr auto kPatience = microseconds(20);  // after so long without work it offers its core to others
constexpr auto kStall = microseconds(50);     // a thread that others wait for so long, and longer than for two of their
                                              // own chunks, has lost its core to another process
constexpr microseconds kLook{1'000};          // how often the calling thread asks how long it was off its core
constexpr microseconds kDebt{1'000}, kCredit{5'000};
constexpr microseconds kFirstRest{10'000}, kLongestRest{1'000'000};
constexpr int kSpins = 16;                    // looks at memory between two looks at the clock

// Time that the calling thread has run on a core. Windows counts it in steps of 16 ms, which say nothing here: there a thread
// counts as on its core at all times.
Clock::duration time_on_core() {
#if defined(_WIN32)
  return Clock::now().time_since_epoch();
#else
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::duration_cast<Clock::duration>(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
#endif
}

// The process as far as threads are concerned: a fork makes another.
long this_process() {
#if defined(_WIN32)
  return 1;
#else
  return getpid();
#endif
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A range of chunks. `left` holds the number of the job in its upper half and how many chunks nobody has taken yet in the
// lower: a late thread finds 0 left of an earlier job, or another number.
struct alignas(64) Range {
  std::atomic<uint64_t> left{0};
  uint32_t begin = 0, size = 0;
};

struct Job {
  Range ranges[kMaxThreads];
  alignas(64) std::atomic<int64_t> done{0};
  void (*work)(const void*, int64_t) = nullptr;
  const void* context = nullptr;
  uint32_t number = 0;
  bool backward = false;
};

class Pool {
 public:
  // Everything is leaked on purpose: helpers may run until the process ends.
  static Pool& instance() {
    static Pool* pool = new Pool;
    return *pool;
  }

  bool open(int threads) {
    if (!session_.try_lock()) return false;
    if (resting()) {
      session_.unlock();
      return false;
    }
    if (owner_ != this_process()) {  // first use, or first use after a fork, which leaves the helpers behind
      owner_ = this_process();
      helpers_ = 0;
      sleepers_ = new Sleepers;
    }
    while (helpers_ < threads - 1) {
      try {
        std::thread(&Pool::help, this, helpers_ + 1).detach();
      } catch (const std::system_error&) {
        break;
      }
      ++helpers_;
    }
    wake_sleepers(threads);  // so that they look for work when there is some
    fresh_ = true;
    return true;
  }

  void close() { session_.unlock(); }

  void run(int threads, int64_t chunks, bool backward, void (*work)(const void*, int64_t), const void* context) {
    job_.work = work;
    job_.context = context;
    job_.backward = backward;
    job_.done.store(0, std::memory_order_relaxed);
    const uint64_t number = ++job_.number;
    const Clock::time_point begin = Clock::now();
    if (fresh_) {
      looked_ = begin;
      on_core_ = time_on_core();
      fresh_ = false;
    }
    for (int t = 0; t < threads; ++t) {
      Range& range = job_.ranges[t];
      range.begin = uint32_t(chunks * t / threads);
      range.size = uint32_t(chunks * (t + 1) / threads) - range.begin;
    }
    for (int t = threads; t-- > 0;) {
      job_.ranges[t].left.store(number << 32 | job_.ranges[t].size, std::memory_order_seq_cst);
    }
    wake_sleepers(threads);
    const int64_t mine = take(0, uint32_t(number));
    const Clock::time_point end = Clock::now();
    if (job_.done.load(std::memory_order_acquire) == chunks) return account(begin, end, end, mine, chunks);
    wait(chunks, end, std::max<Clock::duration>(kStall, 2 * (end - begin) / std::max<int64_t>(mine, 1)));
    account(begin, end, Clock::now(), mine, chunks);
  }

  // Whether helpers are to be left out for now.
  bool resting() const { return rest_ > kFirstRest && Clock::now() < rest_until_; }

 private:
  struct Sleepers {
    std::mutex mutex;
    std::condition_variable wake[kMaxThreads], done;
    std::atomic<uint32_t> asleep{0};  // a bit for each helper
    uint64_t calls[kMaxThreads] = {};
  };

  // Wakes those of the first `threads` that sleep; others have no part in the session.
  void wake_sleepers(int threads) {
    const uint32_t asleep = sleepers_->asleep.load(std::memory_order_seq_cst) & ((1u << threads) - 1);
    if (asleep == 0) return;
    const std::lock_guard<std::mutex> lock(sleepers_->mutex);
    for (int t = 1; t < threads; ++t) {
      if (!(asleep >> t & 1)) continue;
      ++sleepers_->calls[t];
      sleepers_->wake[t].notify_one();
    }
  }

  // Waits for chunks that helpers have begun: at first by looking, then asleep, so that a helper whose core another process has
  // taken can go on where this thread was.
  void wait(int64_t chunks, Clock::time_point begin, Clock::duration stall) {
    auto done = [&] { return job_.done.load(std::memory_order_seq_cst) == chunks; };
    for (int spins = 0; !done(); ++spins) {
      pause();
      if (spins % kSpins < kSpins - 1 || Clock::now() - begin < stall) continue;
      std::unique_lock<std::mutex> lock(sleepers_->mutex);
      waiting_.store(true, std::memory_order_seq_cst);
      sleepers_->done.wait(lock, done);
      waiting_.store(false, std::memory_order_relaxed);
    }
  }

  // Whether helpers pay. What they do for the calling thread is its gain; what it waits for them, and what it is off its core while
  // they are at work, is its loss: on a busy machine they take a core from it as well. Where losses outweigh, work goes on without
  // helpers, for longer each time; a credit earned before excuses a short disturbance.
  void account(Clock::time_point begin, Clock::time_point end, Clock::time_point finish, int64_t mine, int64_t chunks) {
    Clock::duration off{0};
    if (finish - looked_ >= kLook) {
      const Clock::duration now = time_on_core();
      off = std::max<Clock::duration>((finish - looked_) - (now - on_core_), Clock::duration{0});
      looked_ = finish;
      on_core_ = now;
    }
    const Clock::duration own = std::max<Clock::duration>(end - begin - off, Clock::duration{0});
    const Clock::duration gain = mine > 0 ? std::min<Clock::duration>(own * (chunks - mine) / mine, finish - begin) : own;
    balance_ = std::min<Clock::duration>(balance_ + gain - std::max(off, finish - end), kCredit);
    if (balance_ < -kDebt) {
      balance_ = Clock::duration{0};
      fresh_ = true;
      rest_ = std::min(2 * rest_, kLongestRest);
      rest_until_ = finish + rest_;
    } else if (balance_ == kCredit) {
      rest_ = kFirstRest;
    }
  }

  // Works on job `number`: first thread `self`'s own range, then what is left of the others'. Returns how many chunks it did.
  int64_t take(int self, uint32_t number) {
    int64_t mine = 0;
    for (int turn = 0; turn < kMaxThreads; ++turn) {
      Range& range = job_.ranges[(self + turn) % kMaxThreads];
      uint64_t seen = range.left.load(std::memory_order_acquire);
      while (uint32_t(seen >> 32) == number && uint32_t(seen) > 0) {
        if (!range.left.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
        // The claim holds: the job cannot end, nor its fields change, before this chunk is done.
        const uint32_t left = uint32_t(seen);
        job_.work(job_.context, int64_t(range.begin) + (job_.backward ? left - 1 : range.size - left));
        job_.done.fetch_add(1, std::memory_order_seq_cst);
        if (self > 0 && waiting_.load(std::memory_order_seq_cst)) tell_waiting();
        ++mine;
        seen = range.left.load(std::memory_order_acquire);
      }
    }
    return mine;
  }

  void help(int self) {
    const FlushDenormals flush;
    uint32_t last = 0;
    Clock::time_point idle_since = Clock::now();
    for (int spins = 0;; ++spins) {
      const uint32_t number = uint32_t(job_.ranges[self].left.load(std::memory_order_acquire) >> 32);
      if (number != last) {
        take(self, number);
        last = number;
        idle_since = Clock::now();
      }
      pause();
      if (spins % kSpins < kSpins - 1) continue;
      const auto idle = Clock::now() - idle_since;
      if (idle < kPatience) continue;
      if (idle < kLinger) {
        std::this_thread::yield();
      } else {
        sleep(self, last);
        idle_since = Clock::now();
      }
    }
  }

  void sleep(int self, uint32_t last) {
    Sleepers& all = *sleepers_;
    std::unique_lock<std::mutex> lock(all.mutex);
    const uint64_t calls = all.calls[self];
    all.asleep.fetch_or(1u << self, std::memory_order_seq_cst);
    // A job that was published before this thread was counted wakes nobody.
    if (uint32_t(job_.ranges[self].left.load(std::memory_order_seq_cst) >> 32) == last)
      all.wake[self].wait(lock, [&] { return all.calls[self] != calls; });
    all.asleep.fetch_and(~(1u << self), std::memory_order_seq_cst);
  }

  void tell_waiting() {
    const std::lock_guard<std::mutex> lock(sleepers_->mutex);
    sleepers_->done.notify_one();
  }

  std::mutex session_;
  Job job_;
  Sleepers* sleepers_ = nullptr;
  std::atomic<bool> waiting_{false};  // the calling thread is asleep until all chunks are done
  bool fresh_ = true;  // nothing is known of the time before the next job
  Clock::time_point looked_{};
  Clock::duration on_core_{0}, balance_{0};
  microseconds rest_ = kFirstRest;
  Clock::time_point rest_until_{};
  int helpers_ = 0;
  long owner_ = 0;
};

}  // namespace

Session::Session(int threads) : threads_(threads < 1 ? 1 : threads > kMaxThreads ? kMaxThreads : threads) {
  if (threads_ > 1 && !Pool::instance().open(threads_)) threads_ = 1;
}

Session::~Session() {
  if (threads_ > 1) Pool::instance().close();
}

bool helpers_rest() { return Pool::instance().resting(); }

void Session::share(int64_t chunks, bool backward, Function work, const void* context) {
  if (threads_ > 1 && chunks > 1 && !Pool::instance().resting()) {
    Pool::instance().run(threads_, chunks, backward, work, context);
    return;
  }
  for (int64_t i = 0; i < chunks; ++i) work(context, backward ? chunks - 1 - i : i);
}

}  // namespace ostinato
