// How fast this machine reads memory: the limit of a step that goes once through its weights.
#include <chrono>

#include "api.h"
#include "buffer.h"
#include "model.h"

// Seconds for one pass of `threads` threads over `bytes` bytes, the mean of `passes` after a first one; below 0: out of memory.
OSTINATO_API double ostinato_read_seconds(int32_t isa, int32_t threads, int64_t bytes, int64_t passes) {
  using ostinato::kChunkBytes;
  constexpr int64_t kChunk = kChunkBytes / int64_t(sizeof(double));
  const int64_t chunks = (bytes + kChunkBytes - 1) / kChunkBytes;
  const ostinato::Buffer<double> memory(chunks * kChunk);
  if (!memory.data()) return -1;
  for (int64_t i = 0; i < chunks * kChunk; ++i) memory[i] = 1;
  const ostinato::DecodeTable& table = ostinato::decode_table(isa);
  ostinato::Session session(threads);
  auto pass = [&] {
    session.share(chunks, false, [&](int64_t chunk) { (void)table.sum(&memory[chunk * kChunk], kChunk); });
  };
  pass();
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < passes; ++i) pass();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / double(passes);
}
