// Depthwise convolution: a kernel for each channel, which sees that channel alone. It is no matrix product, and has
// few multiplications for each number that is read, so a thread computes one number and reads what it needs;
// neighbouring threads read neighbouring numbers, and what several read lies in the GPU's cache.
//
// The NumPy lines that it equals (minirnn/ops/convolution.py, _products, _stamps and _weight_products), with one
// channel in each group: for each place (u, v) of the kernel,
//
//     y  += w[..., u, v] * padded[place]                          then + bias + add, ReLU: _finished
//     dx[place] += w[..., u, v] * dy
//     dw[..., u, v] = (dy * padded[place]).sum()

// maps: (N, C, height, width); weights: (C, kh, kw); y: (N, C, rows, across).
extern "C" __global__ void depthwise(const REAL *maps, const REAL *weights, const REAL *bias, const REAL *add,
                                     REAL *y, long long count, long long channels, long long height,
                                     long long width, long long kh, long long kw, long long rows,
                                     long long across, long long sy, long long sx, long long py, long long px,
                                     long long dy, long long dx, long long has_bias, long long has_add,
                                     double limit) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long j = at % across, i = at / across % rows, map = at / (across * rows), c = map % channels;
    REAL value = (REAL)0;
    for (long long u = 0; u < kh; u++) {
        long long row = i * sy + u * dy - py;
        if (row < 0 || row >= height) continue;  // outside of the map is 0
        for (long long v = 0; v < kw; v++) {
            long long column = j * sx + v * dx - px;
            if (column < 0 || column >= width) continue;
            value += weights[(c * kh + u) * kw + v] * maps[(map * height + row) * width + column];
        }
    }
    if (has_bias) value = value + bias[c];
    if (has_add) value = value + add[at];
    if (limit > 0) {  // NaN stays NaN: no comparison with it holds
        value = value < (REAL)0 ? (REAL)0 : value;
        value = value > (REAL)limit ? (REAL)limit : value;
    }
    y[at] = value;
}

// The way back to the map: each cell collects what the places that see it have for it, in the order of u and v.
extern "C" __global__ void depthwise_to_map(const REAL *gradient, const REAL *weights, REAL *maps,
                                            long long count, long long channels, long long height,
                                            long long width, long long kh, long long kw, long long rows,
                                            long long across, long long sy, long long sx, long long py,
                                            long long px, long long dy, long long dx) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long x = at % width, y = at / width % height, map = at / (width * height), c = map % channels;
    REAL sum = (REAL)0;
    for (long long u = 0; u < kh; u++) {
        long long top = y + py - u * dy;  // is it the start of a row of patches?
        if (top < 0 || top % sy || top / sy >= rows) continue;
        for (long long v = 0; v < kw; v++) {
            long long left = x + px - v * dx;
            if (left < 0 || left % sx || left / sx >= across) continue;
            sum += weights[(c * kh + u) * kw + v] * gradient[(map * rows + top / sy) * across + left / sx];
        }
    }
    maps[at] = sum;
}

// The way back to the weights: a block for each of them, whose threads take every 256th place of all images, and
// add their sums up in pairs, always in the same order.
extern "C" __global__ void depthwise_to_weights(const REAL *maps, const REAL *gradient, REAL *weights,
                                                long long images, long long channels, long long height,
                                                long long width, long long kh, long long kw, long long rows,
                                                long long across, long long sy, long long sx, long long py,
                                                long long px, long long dy, long long dx) {
    __shared__ REAL sums[256];
    long long block = blockIdx.x, v = block % kw, u = block / kw % kh, c = block / (kw * kh);
    long long places = rows * across;
    REAL sum = (REAL)0;
    for (long long k = threadIdx.x; k < images * places; k += blockDim.x) {
        long long place = k % places, map = k / places * channels + c;
        long long row = place / across * sy + u * dy - py, column = place % across * sx + v * dx - px;
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        sum += gradient[map * places + place] * maps[(map * height + row) * width + column];
    }
    sums[threadIdx.x] = sum;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) weights[block] = sums[0];
}
