// The memory of tensors on the CPU. The C library hands big blocks back to the system when they are freed, and the
// system clears every page of them when they are wanted again: in the training of a small convolutional network a fifth
// of the time. A training step wants the same blocks as the one before, so they are kept here for it.

#include "memory.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

namespace {

// Smaller ones the C library keeps by itself.
constexpr size_t SMALLEST = size_t{1} << 20;
constexpr size_t PAGE = size_t{1} << 12;

class Keeping final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t wanted) override {
    if (wanted < SMALLEST) return base->allocate(wanted);
    const size_t size = (wanted + PAGE - 1) / PAGE * PAGE;
    void *start = take(size);
    if (start == nullptr) start = fresh(size);
    // The message of the one below says that there is no room.
    if (start == nullptr) return base->allocate(wanted);
    return {start, start, &give_back, c10::Device(c10::DeviceType::CPU)};
  }

  // For what was released from its DataPtr: blocks of both kinds.
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void *to, const void *from, size_t count) const override { default_copy_data(to, from, count); }

 private:
  struct Block {
    void *start;
    size_t size;
  };

  // A kept block of this size, or one that is larger by an eighth at most; null when there is none.
  void *take(size_t size) {
    const std::lock_guard guard(lock);
    const auto found = by_size.lower_bound(size);
    if (found == by_size.end() || found->first > size + size / 8) return nullptr;
    const Block block = *found->second;
    by_age.erase(found->second);
    by_size.erase(found);
    kept -= block.size;
    use(block);
    return block.start;
  }

  // A new block; null when there is no room.
  void *fresh(size_t size) {
    const std::lock_guard guard(lock);
    // Blocks of other sizes are freed for it, so that the process grows by a half at most over what it needs: with a
    // quarter, a step whose blocks have many sizes would still clear pages anew.
    const size_t room = std::max(most, used + size) / 2 * 3;
    keep_below(room - std::min(room, used + size));
    void *start = map(size);
    if (start == MAP_FAILED) {
      keep_below(0);
      start = map(size);
    }
    if (start == MAP_FAILED) return nullptr;
    use({start, size});
    return start;
  }

  static void *map(size_t size) {
    return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }

  void use(Block block) {
    live.emplace(block.start, block.size);
    used += block.size;
    most = std::max(most, used);
  }

  static void give_back(void *start);

  // False when the block is none of ours.
  bool keep(void *start) {
    const std::lock_guard guard(lock);
    const auto found = live.find(start);
    if (found == live.end()) return false;
    const Block block{start, found->second};
    live.erase(found);
    used -= block.size;
    kept += block.size;
    by_age.push_back(block);
    by_size.emplace(block.size, std::prev(by_age.end()));
    return true;
  }

  // Frees the oldest until not more than this many bytes are kept.
  void keep_below(size_t limit) {
    while (kept > limit) {
      const auto oldest = by_age.begin();
      auto place = by_size.lower_bound(oldest->size);
      while (place->second != oldest) ++place;
      by_size.erase(place);
      kept -= oldest->size;
      munmap(oldest->start, oldest->size);
      by_age.erase(oldest);
    }
  }

  c10::Allocator *const base = c10::GetDefaultCPUAllocator();
  std::mutex lock;
  // What tensors hold: its sizes, their sum, and the largest sum there was.
  std::unordered_map<void *, size_t> live;
  size_t used = 0, most = 0;
  // What is kept for the next ones: first to last as it was given back, by size, and the sum.
  std::list<Block> by_age;
  std::multimap<size_t, std::list<Block>::iterator> by_size;
  size_t kept = 0;
};

// Never destroyed: tensors may outlive every other object of the program.
Keeping &keeping() {
  static Keeping *const one = new Keeping;
  return *one;
}

void Keeping::give_back(void *start) {
  if (start != nullptr && !keeping().keep(start)) c10::free_cpu(start);
}

}  // namespace

void runner_keep_memory() { c10::SetCPUAllocator(&keeping()); }
