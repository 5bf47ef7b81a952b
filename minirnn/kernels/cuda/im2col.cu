// A convolution's patches as columns of a matrix, so that one product with the weights is left to do; and the
// way back. A thread has one number of the result.
//
// The NumPy lines that it equals (minirnn/ops/convolution.py): for each place (u, v) of the kernel,
//
//     columns[n, c, u, v] = padded[n, c, u * d : u * d + height * s : s, v * d : v * d + width * s : s]   _products
//     dx[place] += columns[:, :, u, v]                                                                    _stamps

// maps: (N, C, height, width); columns: (N, C, kh, kw, rows, across), of rows · across patches.
extern "C" __global__ void im2col(const REAL *maps, REAL *columns, long long count, long long height,
                                  long long width, long long kh, long long kw, long long rows,
                                  long long across, long long sy, long long sx, long long py, long long px,
                                  long long dy, long long dx) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long j = at % across, i = at / across % rows, v = at / (across * rows) % kw;
    long long u = at / (across * rows * kw) % kh, map = at / (across * rows * kw * kh);
    long long y = i * sy + u * dy - py, x = j * sx + v * dx - px;
    bool inside = y >= 0 && y < height && x >= 0 && x < width;  // outside of the map is 0
    columns[at] = inside ? maps[(map * height + y) * width + x] : (REAL)0;
}

// Each cell collects what the patches that it is in have for it, in the order of u and v.
extern "C" __global__ void col2im(const REAL *columns, REAL *maps, long long count, long long height,
                                  long long width, long long kh, long long kw, long long rows,
                                  long long across, long long sy, long long sx, long long py, long long px,
                                  long long dy, long long dx) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= count) return;
    long long x = at % width, y = at / width % height, map = at / (width * height);
    REAL sum = (REAL)0;
    for (long long u = 0; u < kh; u++) {
        long long top = y + py - u * dy;  // is it the start of a row of patches?
        if (top < 0 || top % sy || top / sy >= rows) continue;
        for (long long v = 0; v < kw; v++) {
            long long left = x + px - v * dx;
            if (left < 0 || left % sx || left / sx >= across) continue;
            sum += columns[(((map * kh + u) * kw + v) * rows + top / sy) * across + left / sx];
        }
    }
    maps[at] = sum;
}
