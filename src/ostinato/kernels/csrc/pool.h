// Threads that share the chunks of a short piece of work, some thousand times per second.
#pragma once
#include <cstdint>

namespace ostinato {

constexpr int kMaxThreads = 16;

// While it lives, this thread and up to `threads` - 1 helpers share work; when another thread is at it, this one works alone.
// Helpers spin between pieces of work while a session lives and a moment longer, then sleep. A helper that is asleep, late
// or (after a fork) gone is never waited for: its chunks are taken by the others.
class Session {
 public:
  explicit Session(int threads);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Calls work(context, chunk) once for every chunk in 0 .. chunks-1, and returns when all are done. Each thread begins in a
  // range of its own, the same for equal `chunks` each time, so that its weights stay in its core's cache; backwards when
  // `backward`, so that of a range larger than the cache the end that was read last is read first.
  template <class Work>
  void share(int64_t chunks, bool backward, const Work& work) {
    share(chunks, backward, [](const void* w, int64_t chunk) { (*static_cast<const Work*>(w))(chunk); }, &work);
  }

  int threads() const { return threads_; }

 private:
  using Function = void (*)(const void* context, int64_t chunk);
  void share(int64_t chunks, bool backward, Function work, const void* context);
  int threads_;
};

// Whether helpers are left out for now, because the cores they would run on are busy with other work.
bool helpers_rest();

}  // namespace ostinato
