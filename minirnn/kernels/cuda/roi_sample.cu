// Pooling regions by sampling (RoIAlign, RoIWarp), from all maps of a pyramid in one launch.
//
// A launch starts as many threads as it is asked for, in blocks; each runs this function once, and finds
// by blockIdx and threadIdx which one it is. Here a thread computes one number of the result, out[r, c, i, j].
// Neighbouring threads have neighbouring bins, so that what they read lies close together.
//
// The NumPy lines that it equals (minirnn/ops/roi_sampling.py):
//
//     samples = y_weights @ features[image] @ x_weights.T        # the bin's samples: see sampling.cuh
//     pooled[r] = samples.mean(axis=3)  or  samples.max(axis=3)

#include "sampling.cuh"

// What every kernel here is told of the regions; (R,) each, starts and sizes on the grid of the region's map.
#define REGIONS                                                                                       \
    const long long *level, const long long *image, const REAL *y_start, const REAL *y_size,          \
        const long long *y_samples, const REAL *x_start, const REAL *x_size, const long long *x_samples

// maps: address of each level's map (N, C, H, W), in the order of reading; sizes: (levels, 2), H and W.
// winner: for "max" the number of the sample that was largest, (R, C, bins_y, bins_x).
extern "C" __global__ void sample_forward(const REAL *const *maps, const long long *sizes, REGIONS, REAL *out,
                                          int *winner, long long count, long long images,
                                          long long channels, long long bins_y, long long bins_x,
                                          long long largest) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;  // the last block may have threads to spare
    long long j = at % bins_x, i = at / bins_x % bins_y;
    long long c = at / (bins_x * bins_y) % channels, r = at / (bins_x * bins_y * channels);
    long long height = sizes[2 * level[r]], width = sizes[2 * level[r] + 1];
    long long ny = samples_of(y_size[r], y_samples[r]), nx = samples_of(x_size[r], x_samples[r]);
    out[at] = (REAL)0;
    if (largest) winner[at] = 0;
    if (image[r] < 0 || image[r] >= images || ny == 0 || nx == 0) return;
    const REAL *map = maps[level[r]] + (image[r] * channels + c) * height * width;
    REAL sum = (REAL)0, best = (REAL)0;
    for (long long k = 0; k < ny; k++) {
        Reading y = reading_at(position_of(y_start[r], y_size[r], bins_y, ny, i, k), height);
        for (long long l = 0; l < nx; l++) {
            Reading x = reading_at(position_of(x_start[r], x_size[r], bins_x, nx, j, l), width);
            REAL value = (REAL)0;
            if (y.reads && x.reads) {
                const REAL *upper = map + y.low * width, *lower = map + y.high * width;
                REAL left = upper[x.low] * (1 - y.t) + lower[x.low] * y.t;
                REAL right = upper[x.high] * (1 - y.t) + lower[x.high] * y.t;
                value = left * (1 - x.t) + right * x.t;
            }
            sum += value;
            if ((k == 0 && l == 0) || value > best) {  // of equal ones the first
                best = value;
                if (largest) winner[at] = (int)(k * nx + l);
            }
        }
    }
    out[at] = largest ? best : sum / (REAL)(ny * nx);
}

// The way back, fast: each thread adds its share of dy[r, c, i, j] to the cells that it has read. Many threads
// add to one cell, so each addition is atomic (nobody comes in between); but their order is left to chance,
// and with it the last digits. `grads` holds the addresses of the maps' gradients.
extern "C" __global__ void sample_backward_atomic(REAL *const *grads, const long long *sizes, REGIONS,
                                                  const REAL *dy, const int *winner, long long count,
                                                  long long images, long long channels, long long bins_y,
                                                  long long bins_x, long long largest) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long j = at % bins_x, i = at / bins_x % bins_y;
    long long c = at / (bins_x * bins_y) % channels, r = at / (bins_x * bins_y * channels);
    long long height = sizes[2 * level[r]], width = sizes[2 * level[r] + 1];
    long long ny = samples_of(y_size[r], y_samples[r]), nx = samples_of(x_size[r], x_samples[r]);
    if (image[r] < 0 || image[r] >= images || ny == 0 || nx == 0) return;
    REAL *grad = grads[level[r]] + (image[r] * channels + c) * height * width;
    REAL share = largest ? dy[at] : dy[at] / (REAL)(ny * nx);
    for (long long k = 0; k < ny; k++) {
        Reading y = reading_at(position_of(y_start[r], y_size[r], bins_y, ny, i, k), height);
        for (long long l = 0; l < nx; l++) {
            if (largest && winner[at] != k * nx + l) continue;
            Reading x = reading_at(position_of(x_start[r], x_size[r], bins_x, nx, j, l), width);
            if (!y.reads || !x.reads) continue;
            atomicAdd(grad + y.low * width + x.low, share * (1 - y.t) * (1 - x.t));
            atomicAdd(grad + y.low * width + x.high, share * (1 - y.t) * x.t);
            atomicAdd(grad + y.high * width + x.low, share * y.t * (1 - x.t));
            atomicAdd(grad + y.high * width + x.high, share * y.t * x.t);
        }
    }
}

// What the samples k of one bin take from one cell, together.
__device__ inline REAL taken(REAL start, REAL size, long long bins, long long samples, long long bin,
                             long long cell, long long length) {
    REAL weight = (REAL)0;
    for (long long k = 0; k < samples; k++)
        weight += weight_of(reading_at(position_of(start, size, bins, samples, bin, k), length), cell);
    return weight;
}

// The way back, the same bits in every run: a thread has one cell of one level's map, looks at all regions in
// their order, and collects what they have for it. Nobody else writes to its cell.
//
//     dx[y, x] = Σ_r Σ_i Σ_j dy[r, c, i, j] · (Σ_k weight of y) · (Σ_l weight of x) / (samples of a bin)
extern "C" __global__ void sample_backward_gather(REAL *grad, long long own_level, long long height,
                                                  long long width, REGIONS, const REAL *dy,
                                                  const int *winner, long long count, long long regions,
                                                  long long channels, long long bins_y, long long bins_x,
                                                  long long largest) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long x = at % width, y = at / width % height;
    long long c = at / (width * height) % channels, n = at / (width * height * channels);
    REAL sum = (REAL)0;
    for (long long r = 0; r < regions; r++) {
        if (level[r] != own_level || image[r] != n) continue;
        // Samples lie in the region, and reach one cell farther. One more covers all rounding.
        if ((REAL)y < y_start[r] - 2 || (REAL)y > y_start[r] + y_size[r] + 2) continue;
        if ((REAL)x < x_start[r] - 2 || (REAL)x > x_start[r] + x_size[r] + 2) continue;
        long long ny = samples_of(y_size[r], y_samples[r]), nx = samples_of(x_size[r], x_samples[r]);
        if (ny == 0 || nx == 0) continue;
        long long first = (r * channels + c) * bins_y * bins_x;
        for (long long i = 0; i < bins_y; i++) {
            REAL of_y = taken(y_start[r], y_size[r], bins_y, ny, i, y, height);
            if (of_y == (REAL)0) continue;
            for (long long j = 0; j < bins_x; j++) {
                long long bin = first + i * bins_x + j;
                if (!largest) {
                    REAL of_x = taken(x_start[r], x_size[r], bins_x, nx, j, x, width);
                    sum += dy[bin] * of_y * of_x / (REAL)(ny * nx);
                } else {
                    REAL py = position_of(y_start[r], y_size[r], bins_y, ny, i, winner[bin] / nx);
                    REAL px = position_of(x_start[r], x_size[r], bins_x, nx, j, winner[bin] % nx);
                    sum += dy[bin] * weight_of(reading_at(py, height), y) * weight_of(reading_at(px, width), x);
                }
            }
        }
    }
    grad[at] = sum;
}
