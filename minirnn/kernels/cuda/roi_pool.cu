// RoIPool: the largest cell of each bin of whole cells. A thread has one bin of one channel.
//
// The NumPy lines that it equals (minirnn/ops/roi_pool.py, roi_pool):
//
//     cells = features[images[r], :, top[r, i]:bottom[r, i], left[r, j]:right[r, j]]
//     place = cells.reshape(channels, -1).argmax(axis=1)       # of equal cells the first; no cells give 0
//     dx[image, channel, y, x] += dy[r, :, i, j]               # where the largest was

// top, bottom: (R, bins_y), left, right: (R, bins_x), in cells; winner: (R, C, bins_y, bins_x), the place y · width +
// x of the largest, -1 where a bin has no cells.
extern "C" __global__ void pool_forward(const REAL *features, const long long *image, const long long *top,
                                        const long long *bottom, const long long *left,
                                        const long long *right, REAL *out, long long *winner,
                                        long long count, long long images, long long channels,
                                        long long height, long long width, long long bins_y,
                                        long long bins_x) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long j = at % bins_x, i = at / bins_x % bins_y;
    long long c = at / (bins_x * bins_y) % channels, r = at / (bins_x * bins_y * channels);
    out[at] = (REAL)0;
    winner[at] = -1;
    if (image[r] < 0 || image[r] >= images) return;
    const REAL *map = features + (image[r] * channels + c) * height * width;
    long long down = min(bottom[r * bins_y + i], height), across = min(right[r * bins_x + j], width);
    for (long long y = max(top[r * bins_y + i], 0LL); y < down; y++)
        for (long long x = max(left[r * bins_x + j], 0LL); x < across; x++) {
            REAL value = map[y * width + x];
            bool is_nan = value != value && out[at] == out[at];  // the first NaN wins, as with argmax
            if (winner[at] < 0 || value > out[at] || is_nan) {
                out[at] = value;
                winner[at] = y * width + x;
            }
        }
}

// A thread has one cell, and collects in the order of the regions: the same bits in every run.
extern "C" __global__ void pool_backward(const REAL *dy, const long long *winner, const long long *image,
                                         const long long *top, const long long *bottom,
                                         const long long *left, const long long *right, REAL *dx,
                                         long long count, long long regions, long long channels,
                                         long long height, long long width, long long bins_y,
                                         long long bins_x) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long x = at % width, y = at / width % height;
    long long c = at / (width * height) % channels, n = at / (width * height * channels);
    REAL sum = (REAL)0;
    for (long long r = 0; r < regions; r++) {
        if (image[r] != n) continue;
        long long first = (r * channels + c) * bins_y * bins_x;
        for (long long i = 0; i < bins_y; i++) {
            if (y < top[r * bins_y + i] || y >= bottom[r * bins_y + i]) continue;
            for (long long j = 0; j < bins_x; j++) {
                if (x < left[r * bins_x + j] || x >= right[r * bins_x + j]) continue;
                long long bin = first + i * bins_x + j;
                if (winner[bin] == y * width + x) sum += dy[bin];
            }
        }
    }
    dx[at] = sum;
}
