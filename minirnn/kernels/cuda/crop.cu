// Cutting mask targets: what each proposal sees of its object's mask. A thread has one cell of one target.
//
// The masks are read where they are, a byte a pixel; in NumPy they first become floats.
//
// The NumPy lines that it equals (minirnn/masks/crop.py):
//
//     targets, _ = roi_align.raw(masks[:, None].astype(boxes.dtype), boxes, gt_index, output_size=size, …)
//     clip(targets[:, 0], 0, 1)

#include "sampling.cuh"

extern "C" __global__ void crop(const unsigned char *masks, const long long *index, const REAL *y_start,
                                const REAL *y_size, const long long *y_samples, const REAL *x_start,
                                const REAL *x_size, const long long *x_samples, REAL *targets,
                                long long count, long long objects, long long height, long long width,
                                long long size) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long j = at % size, i = at / size % size, r = at / (size * size);
    long long ny = samples_of(y_size[r], y_samples[r]), nx = samples_of(x_size[r], x_samples[r]);
    targets[at] = (REAL)0;
    if (index[r] < 0 || index[r] >= objects || ny == 0 || nx == 0) return;
    const unsigned char *mask = masks + index[r] * height * width;
    REAL sum = (REAL)0;
    for (long long k = 0; k < ny; k++) {
        Reading y = reading_at(position_of(y_start[r], y_size[r], size, ny, i, k), height);
        if (!y.reads) continue;
        const unsigned char *upper = mask + y.low * width, *lower = mask + y.high * width;
        for (long long l = 0; l < nx; l++) {
            Reading x = reading_at(position_of(x_start[r], x_size[r], size, nx, j, l), width);
            if (!x.reads) continue;
            REAL left = (REAL)upper[x.low] * (1 - y.t) + (REAL)lower[x.low] * y.t;
            REAL right = (REAL)upper[x.high] * (1 - y.t) + (REAL)lower[x.high] * y.t;
            sum += left * (1 - x.t) + right * x.t;
        }
    }
    targets[at] = min(max(sum / (REAL)(ny * nx), (REAL)0), (REAL)1);
}
