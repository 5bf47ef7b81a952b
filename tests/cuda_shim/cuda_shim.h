// CUDA on the host, for tests: what the .cu files use of it, so that g++ builds them and its sanitizers see
// every access. A block's threads are fibers: each runs until it waits for the others (a barrier or a
// shuffle), then it is the next one's turn. Blocks run one after the other, threads never at the same time:
// this finds wrong numbers, wrong addresses and barriers that not all threads reach, but no races.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __shared__ static
using std::floor;
using std::max;
using std::min;
using std::sqrt;

struct dim3 {
    unsigned x, y, z;
};
static dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace shim {

constexpr size_t STACK = 128 * 1024;
enum Stop { RUNNING, AT_BARRIER, AT_SHUFFLE, ENDED };

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    dim3 index;
    Stop stop;
    double handed;  // what it hands on in a shuffle
};

static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static size_t current;
static void (*body)();

#ifdef __SANITIZE_ADDRESS__  // the sanitizer is told which stack is in use
static const void *main_bottom;
static size_t main_size;
static void leave(void **fake, const void *bottom, size_t size) { __sanitizer_start_switch_fiber(fake, bottom, size); }
static void arrive(void *fake, bool note) {
    __sanitizer_finish_switch_fiber(fake, note ? &main_bottom : nullptr, note ? &main_size : nullptr);
}
#else
static const void *main_bottom;
static size_t main_size;
static void leave(void **, const void *, size_t) {}
static void arrive(void *, bool) {}
#endif

static void wait_at(Stop stop) {
    Fiber &own = fibers[current];
    void *fake = nullptr;
    own.stop = stop;
    leave(stop == ENDED ? nullptr : &fake, main_bottom, main_size);
    swapcontext(&own.context, &scheduler);
    arrive(fake, true);
}

static void enter() {
    arrive(nullptr, true);
    body();
    wait_at(ENDED);
}

static void run_block(bool waits) {
    size_t count = (size_t)blockDim.x * blockDim.y * blockDim.z;
    if (!waits) {  // no thread waits for another: they can run as they are
        for (unsigned x = 0; x < blockDim.x; x++) {
            threadIdx = {x, 0, 0};
            body();
        }
        return;
    }
    if (fibers.size() != count) fibers = std::vector<Fiber>(count);
    for (size_t k = 0; k < count; k++) {
        Fiber &fiber = fibers[k];
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        fiber.index = {(unsigned)k, 0, 0};
        fiber.stop = RUNNING;
        makecontext(&fiber.context, enter, 0);
    }
    for (size_t left = count; left > 0;) {
        Stop met = RUNNING;
        for (current = 0; current < count; current++) {
            Fiber &fiber = fibers[current];
            if (fiber.stop == ENDED) continue;
            threadIdx = fiber.index;
            void *fake = nullptr;
            leave(&fake, fiber.stack.data(), STACK);
            swapcontext(&scheduler, &fiber.context);
            arrive(fake, false);
            if (fiber.stop == ENDED) {
                left--;
                continue;
            }
            if (met != RUNNING && met != fiber.stop) {
                fprintf(stderr, "threads of a block wait for each other at different places\n");
                abort();
            }
            met = fiber.stop;
        }
    }
}

// Arguments come as an array of their addresses, as with cudaLaunchKernel.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*(A *)arguments[I]...);
}

static void **given;

template <auto kernel>
struct Bound;
template <class... A, void (*kernel)(A...)>
struct Bound<kernel> {
    static void now() { call(kernel, given, std::index_sequence_for<A...>()); }
};

template <auto kernel>
void launch(const unsigned *sizes, void **arguments, bool waits) {
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    given = arguments;
    body = &Bound<kernel>::now;
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x; x++) {
                blockIdx = {x, y, z};
                run_block(waits);
            }
}

}  // namespace shim

static inline void __syncthreads() { shim::wait_at(shim::AT_BARRIER); }

template <class T>
T __shfl_down_sync(unsigned, T value, int step) {
    size_t own = shim::current;
    shim::fibers[own].handed = (double)value;
    shim::wait_at(shim::AT_SHUFFLE);
    bool there = own % 32 + step < 32 && own + step < shim::fibers.size();
    T found = there ? (T)shim::fibers[own + step].handed : value;
    shim::wait_at(shim::AT_SHUFFLE);
    return found;
}

template <class T>
T atomicAdd(T *place, T value) {
    T before = *place;
    *place = before + value;
    return before;
}
