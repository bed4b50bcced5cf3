// Zeroed memory that starts at a multiple of 64 bytes.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace ostinato {

// data() is null where there was no memory to be had.
template <class T>
class Buffer {
 public:
  Buffer() = default;

  // calloc, so that what is never touched takes no memory; the pointer to free is kept just before the data.
  explicit Buffer(int64_t size) {
    char* raw = static_cast<char*>(std::calloc(size_t(size) * sizeof(T) + sizeof(void*) + 63, 1));
    if (!raw) return;
    const uintptr_t start = (reinterpret_cast<uintptr_t>(raw) + sizeof(void*) + 63) & ~uintptr_t(63);
    std::memcpy(reinterpret_cast<char*>(start) - sizeof(void*), &raw, sizeof(void*));
    data_.reset(reinterpret_cast<T*>(start));
  }

  T* data() const { return data_.get(); }
  T& operator[](int64_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* p) const {
      void* raw;
      std::memcpy(&raw, reinterpret_cast<char*>(p) - sizeof(void*), sizeof(void*));
      std::free(raw);
    }
  };
  std::unique_ptr<T, Free> data_;
};

}  // namespace ostinato
